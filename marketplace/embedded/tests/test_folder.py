"""Holding a data folder, and finding in it what a killed supervisor left: the very processes, and no others."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from marketplace.embedded import folder, processes
from marketplace.embedded.account import Account
from marketplace.embedded.errors import CannotStart
from marketplace.embedded.layout import SOCKET_PATH_LIMIT, Layout

SLEEP = [sys.executable, "-c", "import time; print('on', flush=True); time.sleep(600)"]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path)


def begun(**options):
    """A process that is itself by now: its environment can be read only then."""
    process = subprocess.Popen(SLEEP, stdout=subprocess.PIPE, **options)
    assert process.stdout.readline() == b"on\n"
    return process


@pytest.fixture
def stranger():
    with begun() as process:
        yield process
        process.kill()


def test_two_supervisors_never_share_a_folder(layout):
    with (
        folder.taken(layout),
        pytest.raises(CannotStart, match=rf"is in use \(process {os.getpid()}\).*DATA_DIR"),
        folder.taken(layout),
    ):
        pass
    with folder.taken(layout):  # it was given back
        pass


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    inside = folder.taken(Layout(tmp_path / "file" / "var"))
    with pytest.raises(CannotStart, match=r"file/var can't be used: Not a directory\. Set DATA_DIR"), inside:
        pass


def test_a_recycled_pid_is_left_alone(layout, stranger):
    started = psutil.Process(stranger.pid).create_time()
    layout.processes_file.write_text(json.dumps({"web": [stranger.pid, started - 100, "SIGTERM"]}))
    assert folder.end_leftovers(layout) == 0
    assert stranger.poll() is None
    assert not layout.processes_file.exists()


def test_a_recorded_process_is_ended(layout, stranger):
    record = processes.Record(layout.processes_file)
    record.add("web", stranger.pid, stop_signal=signal.SIGTERM)
    assert folder.end_leftovers(layout) == 1
    assert not psutil.pid_exists(stranger.pid)


def test_a_forgotten_process_is_not_ended(layout, stranger):
    record = processes.Record(layout.processes_file)
    record.add("web", stranger.pid, stop_signal=signal.SIGTERM)
    record.remove("web")
    assert folder.end_leftovers(layout) == 0
    assert stranger.poll() is None


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"web": 5}', '{"web": [1, 2, "SIGNONE"]}', '{"web": ["x", 2, "SIGTERM"]}']
)
def test_a_broken_record_is_an_empty_one(layout, text):
    layout.processes_file.write_text(text)
    assert folder.end_leftovers(layout) == 0


def test_a_process_with_our_mark_is_ended_and_another_folders_is_not(layout, tmp_path, stranger):
    ours = begun(env={**os.environ, processes.MARK: str(tmp_path)})
    theirs = begun(env={**os.environ, processes.MARK: str(tmp_path) + "2"})
    try:
        assert folder.end_leftovers(layout) == 1
        assert not psutil.pid_exists(ours.pid)
        assert theirs.poll() is None
        assert stranger.poll() is None
    finally:
        theirs.kill()
        for process in (ours, theirs):
            process.wait()
            process.stdout.close()


def test_a_deep_folder_has_its_sockets_elsewhere(tmp_path):
    deep = Layout(tmp_path / ("deep" * 30))
    assert len(bytes(deep.sockets / ".s.PGSQL.5432.lock")) <= SOCKET_PATH_LIMIT
    assert deep.sockets != Layout(tmp_path / ("deep" * 29)).sockets
    assert Layout(tmp_path).sockets == tmp_path / "run"


def test_a_folder_with_a_comma_has_its_sockets_elsewhere(tmp_path):
    assert "," not in str(Layout(tmp_path / "a,b").sockets)


def test_the_sockets_folder_is_closed_to_others(tmp_path):
    path = tmp_path / "sockets"
    path.mkdir(mode=0o777)
    folder.make_sockets_folder(path, Account())
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_file_in_the_place_of_the_sockets_folder_gives_way(tmp_path):
    path = tmp_path / "sockets"
    path.write_text("left by something")
    folder.make_sockets_folder(path, Account())
    assert path.is_dir()


@as_root
def test_somebody_elses_sockets_folder_is_refused(tmp_path):
    path = tmp_path / "sockets"
    path.mkdir()
    os.chown(path, 12345, 12345)
    with pytest.raises(CannotStart, match="belongs to somebody else"):
        folder.make_sockets_folder(path, Account(uid=65534, gid=65534))
    assert path.stat().st_uid == 12345


def test_secrets_are_made_once_and_for_their_owner_alone(layout):
    assert layout.password() == layout.password() != layout.secret_key()
    for path in (layout.password_file, layout.secret_key_file):
        assert path.stat().st_mode & 0o777 == 0o600
