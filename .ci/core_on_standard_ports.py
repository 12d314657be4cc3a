"""Runs the core tests a second time, against a PostgreSQL and a Redis that are installed on this machine, if there are.

PGUSER and PGPASSWORD are used where they are set. The tests have databases and Redis databases of their own, one for
each worker of pytest-xdist; all are gone or empty afterwards, and nothing else on these servers is touched.
"""

import getpass
import os
import subprocess
import sys

import psycopg
from psycopg.sql import SQL, Identifier
from redis import Redis
from redis.exceptions import RedisError

HOST = "127.0.0.1"
OLDEST_POSTGRES = 15_00_00
OLDEST_REDIS = (6, 2)
REDIS_DATABASES = range(1, 16)  # the servers come with sixteen; 0 is everybody's
MOST_WORKERS = 4


def main() -> int:
    user = postgres_user()
    numbers = empty_redis_databases(min(os.cpu_count() or 1, MOST_WORKERS))
    if user is None or not numbers:
        return 0
    name = f"marketplace_ci_{os.getpid()}"
    login = {"user": user, "password": os.environ.get("PGPASSWORD", "")}
    environment = {
        **{variable: value for variable, value in os.environ.items() if not variable.startswith("PG")},
        "DATABASE_URL": f"postgresql://{login['user']}:{login['password']}@{HOST}:5432/{name}",
        "REDIS_URL": f"redis://{HOST}:6379/{numbers[0]}",
    }
    print(f"The core tests once more, on the PostgreSQL and Redis of {HOST} …", flush=True)
    try:
        return subprocess.run(  # noqa: S603 - a command of ours
            [
                *(sys.executable, "-m", "pytest", "-m", "core and not e2e and not chaos"),
                *("--numprocesses", str(len(numbers))),
            ],
            env=environment,
            check=False,
        ).returncode
    finally:
        with psycopg.connect(host=HOST, dbname="postgres", autocommit=True, **login) as connection:
            for worker in range(len(numbers)):
                made = Identifier(f"test_{name}_gw{worker}")
                connection.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(made))
        for number in numbers:
            with Redis(HOST, 6379, db=number) as client:
                client.flushdb()


def postgres_user() -> str | None:
    """The first of the usual users who may make a database on port 5432."""
    problem = ""
    for user in dict.fromkeys([os.environ.get("PGUSER", ""), getpass.getuser(), "postgres"]):
        if not user:
            continue
        try:
            connection = psycopg.connect(
                host=HOST, user=user, password=os.environ.get("PGPASSWORD"), dbname="postgres", connect_timeout=3
            )
        except psycopg.OperationalError as error:
            problem = str(error).splitlines()[0]
            continue
        with connection:
            row = connection.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
            if connection.info.server_version < OLDEST_POSTGRES:
                problem = f"it is PostgreSQL {connection.info.server_version // 10_000}"
            elif row.fetchone() == (True,):
                return user
            else:
                problem = f"{user} may not make a database there"
    print(f"No PostgreSQL to test against on port 5432: {problem}")
    return None


def empty_redis_databases(most: int) -> list[int]:
    """The numbers of Redis databases that nobody uses: the last `most` that follow each other, or fewer."""
    try:
        with Redis(HOST, 6379, socket_connect_timeout=3) as client:
            version = str(client.info("server")["redis_version"])
            used = set(client.info("keyspace"))
    except RedisError as error:
        print(f"No Redis to test against on port 6379: {error}")
        return []
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        print(f"No Redis to test against on port 6379: it is Redis {version}")
        return []
    free = [number for number in REDIS_DATABASES if f"db{number}" not in used]
    rows = [free[at : at + count] for count in range(most, 0, -1) for at in reversed(range(len(free) - count + 1))]
    return next((row for row in rows if row[-1] - row[0] == len(row) - 1), [])


if __name__ == "__main__":
    sys.exit(main())
