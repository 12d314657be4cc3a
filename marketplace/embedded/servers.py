"""The two servers together: which of them are wanted, and how they come up."""

from collections.abc import Mapping
from dataclasses import dataclass

from marketplace.embedded import postgres, valkey
from marketplace.embedded.account import server_account
from marketplace.embedded.folder import make_sockets_folder
from marketplace.embedded.layout import Layout
from marketplace.embedded.supervisor import Supervisor


@dataclass(frozen=True)
class Wanted:
    """Which servers are to be embedded ones."""

    postgres: bool
    valkey: bool

    @classmethod
    def by(cls, environment: Mapping[str, str]) -> "Wanted":
        """A server that the environment names is not ours to start."""
        return cls(postgres=not environment.get("DATABASE_URL"), valkey=not environment.get("REDIS_URL"))


async def start(
    supervisor: Supervisor, layout: Layout, wanted: Wanted, *, environment: Mapping[str, str], durable: bool
) -> None:
    """Start the wanted servers and return when they let us in; PostgreSQL has the project's database then.

    `durable` False is for servers that are thrown away. Raises CannotStart.
    """
    if not (wanted.postgres or wanted.valkey):
        return
    programs = [postgres.PROGRAMS / "postgres"] * wanted.postgres + [valkey.PROGRAM] * wanted.valkey
    data = layout.postgres_data if layout.postgres_data.exists() else layout.valkey_data
    account = server_account(data=data, programs=programs)
    make_sockets_folder(layout.sockets, account)
    services = []
    if wanted.postgres:
        postgres.check_version(layout)
        job = postgres.initdb(layout, account=account, environment=environment, durable=durable)
        if job is not None:
            await supervisor.run(job)
            postgres.adopt(layout)
        services.append(postgres.service(layout, account=account, environment=environment, durable=durable))
    if wanted.valkey:
        services.append(valkey.service(layout, account=account, environment=environment))
    await supervisor.start(services)
    if wanted.postgres:
        postgres.create_database(layout)
