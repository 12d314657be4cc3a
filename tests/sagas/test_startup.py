"""Nothing starts that would strand a saga, or with a configuration that can't be right: each process by itself."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connection
from redis import Redis

from marketplace.embedded import prepare
from marketplace.embedded.testing import free_port
from marketplace.kernel.starting import Obstacle, refuse_to_start
from marketplace.sagas import startup
from marketplace.sagas.tests.driving import begin_one, change, committing, run_sql

pytestmark = [committing, pytest.mark.timeout(180)]

ADVICE = "Deploy the definitions they started with, or `manage.py sagas ignore` what is in NEEDS_ATTENTION."
QUEUES = "orders,inventory,payments,fulfillment"
CELERY = ("-m", "celery", "-A", "marketplace", "worker", "-c", "1", "--without-gossip", "--without-mingle")

PROCESSES: dict[str, tuple[str, ...]] = {
    "web": ("-m", "granian", "--interface", "wsgi", "marketplace.wsgi:application", "--host", "127.0.0.1", "--port"),
    "web, asgi": ("-c", "import marketplace.asgi"),
    "worker": (*CELERY, "-Q", QUEUES),
    "relay": ("manage.py", "relay"),
    "prepare": ("-m", "marketplace.embedded.prepare"),
}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(process_environment: dict[str, str], redis: "Redis[bytes]") -> Run:
    """Run a process of ours to its end: `run("worker", SAGA_BATCH_SIZE="0")`."""

    def to_its_end(which: str, *arguments: str, **environment: str) -> Any:
        command = (*(PROCESSES.get(which, (which,))), *arguments)
        return subprocess.run(
            [sys.executable, *command, *([str(free_port())] if command[-1] == "--port" else [])],
            env=process_environment | environment,
            cwd=django_settings.BASE_DIR,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return to_its_end


def stranded_one() -> UUID:
    """A saga under way whose definition no process knows."""
    one = begin_one()
    change(one, name="long_gone")
    return one


@pytest.mark.parametrize("which", PROCESSES)
def test_no_process_starts_with_code_that_would_strand_a_saga(run: Run, which: str) -> None:
    one = stranded_one()
    ended = run(which)
    assert ended.returncode != 0
    line = (
        "Not starting: this code would strand 1 unfinished saga of 'long_gone' version 1: there is no such definition "
        f"here (one of them: {one})."
    )
    assert f"{line}\n{ADVICE}" in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr


def test_the_preparation_refuses_before_it_changes_a_table(run: Run) -> None:
    """Whoever goes back to the code before finds its tables as they were: the last migration isn't made."""
    stranded_one()
    run_sql("DELETE FROM django_migrations WHERE app = 'sagas' AND name = '0004_decisions_of_a_person'")
    try:
        ended = run("prepare")
        assert "Not starting: this code would strand 1 unfinished saga" in ended.stderr
        assert "already exists" not in ended.stderr  # what the migration would have said
        applied = run_sql("SELECT 1 FROM django_migrations WHERE app = 'sagas' AND name = '0004_decisions_of_a_person'")
        assert applied == []
    finally:
        run_sql(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('sagas', '0004_decisions_of_a_person', now())"
        )


def test_a_worker_of_an_unknown_queue_does_not_start(run: Run) -> None:
    ended = run(CELERY[0], *CELERY[1:], "-Q", "orders,paymnets")
    assert ended.returncode != 0
    assert (
        "Not starting: there is no queue 'paymnets' for a worker to serve: there are orders, inventory, payments, "
        "fulfillment, messages." in ended.stderr
    )
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"SAGA_BATCH_SIZE": "0"}, "The environment has a bad setting"),
        ({"SAGA_TIMEOUT_SECONDS": "20"}, "Not starting: SAGA_TIMEOUT_SECONDS is 20, and one answer to "),
    ],
)
def test_a_worker_with_a_bad_setting_does_not_start(run: Run, setting: dict[str, str], says: str) -> None:
    ended = run("worker", **setting)
    assert ended.returncode != 0
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_was_ignored_is_in_nobodys_way(run: Run) -> None:
    one = stranded_one()
    change(one, status="NEEDS_ATTENTION", due_at=None, acknowledged_at=connection_time())
    assert startup.obstacles() == []
    assert run("web, asgi").returncode == 0


def connection_time() -> Any:
    return run_sql("SELECT now()")[0][0]


# --- who can't be asked -----------------------------------------------------------------------------------------------


def test_where_there_are_no_tables_yet_nothing_can_be_stranded() -> None:
    stranded_one()
    run_sql("ALTER TABLE sagas_sagainstance RENAME TO elsewhere")
    try:
        assert startup.obstacles() == []
    finally:
        run_sql("ALTER TABLE elsewhere RENAME TO sagas_sagainstance")
    assert len(startup.obstacles()) == 1


def test_where_the_database_is_down_the_process_may_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Web says by itself that it isn't ready; a worker waits: to refuse would take the shop down for longer."""

    def down() -> None:
        raise OperationalError("no connection")

    monkeypatch.setattr(startup, "stranded", down)
    assert startup.obstacles() == []


def test_no_connection_is_left_to_be_shared_with_the_processes_that_follow() -> None:
    startup.obstacles()
    assert connection.connection is None


def test_each_obstacle_is_a_line_and_each_advice_is_given_once() -> None:
    with pytest.raises(SystemExit) as end:
        refuse_to_start([Obstacle("one.", "Do this."), Obstacle("two.", "Do this."), Obstacle("three.")])
    assert end.value.code == "Not starting: one.\nNot starting: two.\nNot starting: three.\nDo this."
    refuse_to_start([])


def test_the_preparation_asks_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(prepare, "call_command", lambda name, **options: asked.append(name))
    monkeypatch.setattr(prepare, "refuse_to_start", lambda: asked.append("refuse"))
    prepare.main()
    assert asked[asked.index("refuse") + 1] == "migrate"
