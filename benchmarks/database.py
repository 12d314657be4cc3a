"""A database of the benchmarks' own, on the server that DATABASE_URL names: what is in the other one stays as it is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, unquote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql


@contextmanager
def own() -> Iterator[str]:
    """Make the database `…_benchmark`, name it in DATABASE_URL, and drop it in the end."""
    given = os.environ["DATABASE_URL"]
    url = beside(given, "benchmark")
    name = name_in(url)
    with psycopg.connect(given, autocommit=True) as server:
        _drop(server, name)
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    os.environ["DATABASE_URL"] = url
    try:
        yield url
    finally:
        os.environ["DATABASE_URL"] = given
        with psycopg.connect(given, autocommit=True) as server:
            for used in (name, name_in(beside(url, "dbos"))):
                _drop(server, used)


def name_in(url: str) -> str:
    """Return the name of the database that `url` means."""
    return unquote(urlsplit(url).path.lstrip("/")) or "marketplace"


def beside(url: str, what: str) -> str:
    """Return `url` with another database of the same server: the one of that name with `_what` after it."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{quote(name_in(url))}_{what}"))


def folder_beside(url: str) -> str:
    """Return `url` in the form that SQLAlchemy takes too: a socket's folder not as the host but as `?host=/path`.

    libpq understands both; SQLAlchemy does not undo the quoting of a host, and looks it up as a name.
    """
    parts = urlsplit(url)
    credentials, _, address = parts.netloc.rpartition("@")
    folder, _, port = address.partition(":")
    if not unquote(folder).startswith("/"):
        return url
    options = {"host": unquote(folder)} | ({"port": port} if port else {})
    query = "&".join(filter(None, [parts.query, urlencode(options, quote_via=quote)]))
    owner = f"{credentials}@" if credentials else ""
    return f"{parts.scheme}://{owner}{parts.path}?{query}"


def durable(url: str) -> str:
    """Say in words whether the server waits for the disk."""
    with psycopg.connect(url) as connection:
        shown = [connection.execute(f"SHOW {name}").fetchone()[0] for name in ("fsync", "synchronous_commit")]  # type: ignore[index]
        version = connection.info.server_version // 10000
    return f"PostgreSQL {version}, fsync {shown[0]}, synchronous_commit {shown[1]}"


def _drop(server: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
