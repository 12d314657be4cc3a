"""What can be in the way before anything is started: taken ports, servers that don't answer. One line each."""

import socket
from collections.abc import Mapping
from typing import Any

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from marketplace.embedded.errors import CannotStart

OLDEST_POSTGRES = 15
OLDEST_REDIS = (6, 2)
CONNECT_SECONDS = 5


def port_is_free(host: str, port: int, *, purpose: str) -> None:
    """Raise CannotStart when nobody could listen there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise CannotStart(
            f"Port {port} of {host}, for {purpose}, can't be used: {error.strerror}. Set another: make run PORT=8100"
        ) from error


def database_answers(database: Mapping[str, Any]) -> None:
    """Raise CannotStart when Django's `DATABASES` entry leads to no PostgreSQL that we can use."""
    try:
        connection = psycopg.connect(
            host=database["HOST"] or None,
            port=database["PORT"] or None,
            user=database["USER"] or None,
            password=database["PASSWORD"] or None,
            dbname=database["NAME"],
            connect_timeout=CONNECT_SECONDS,
            **{name: value for name, value in database["OPTIONS"].items() if name.startswith("ssl")},
        )
    except psycopg.Error as error:
        raise CannotStart(f"DATABASE_URL can't be reached: {_first_line(error)}") from error
    with connection:
        version = connection.info.server_version // 10_000
    if version < OLDEST_POSTGRES:
        raise CannotStart(f"DATABASE_URL is PostgreSQL {version}; {OLDEST_POSTGRES} or later is needed.")


def redis_answers(url: str) -> None:
    """Raise CannotStart when the address leads to no Redis or Valkey that we can use."""
    try:
        with Redis.from_url(url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=CONNECT_SECONDS) as client:
            version = str(client.info("server")["redis_version"])
    except (RedisError, ValueError) as error:  # ValueError: no address at all
        raise CannotStart(f"REDIS_URL can't be reached: {_first_line(error)}") from error
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        raise CannotStart(f"REDIS_URL is Redis {version}; 6.2 or later is needed.")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
