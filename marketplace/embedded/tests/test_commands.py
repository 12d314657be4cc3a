"""`python -m marketplace.embedded`: what stops it from starting, a command with private servers, and the whole shop."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from marketplace.embedded import processes
from marketplace.embedded.testing import BASE_DIR, OF_THE_TEST_RUN, Site, free_port, running_site

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
WHAT_IT_WAS_GIVEN = """
import os, sys
from pathlib import Path
import psycopg, redis
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    fsync = connection.execute("SELECT current_setting('fsync')").fetchone()[0]
client = redis.Redis.from_url(os.environ["REDIS_URL"])
client.ping()
folder = Path(client.connection_pool.connection_kwargs["path"]).parents[1]
print(fsync, folder.is_dir(), folder)
sys.exit(7)
"""


def embedded(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if name not in OF_THE_TEST_RUN}
    return subprocess.run(
        [sys.executable, "-m", "marketplace.embedded", *arguments],
        cwd=BASE_DIR,
        env={**clean, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def listener():
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the port is kept for who asks for that
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        yield taken.getsockname()[1]


def refusal(data_dir: Path, *, port: int | None = None, **environment: str) -> str:
    """The one line with which it refuses to start."""
    done = embedded("run", **{"DATA_DIR": str(data_dir), "PORT": str(port or free_port()), **environment})
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert processes.marked(data_dir) == []
    assert not (data_dir / "postgres").exists(), "it went further than it had to"
    return line


def test_a_taken_port_is_told(tmp_path, listener):
    line = refusal(tmp_path, port=listener)
    assert line.startswith(f"Port {listener} of 127.0.0.1, for the shop, can't be used: Address already in use.")


def test_a_taken_port_of_the_sandbox_gateway_is_told(tmp_path, listener):
    line = refusal(tmp_path, port=listener - 1000)
    assert line.startswith(f"Port {listener} of 127.0.0.1, for the sandbox gateway, can't be used")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://buyer:secret@127.0.0.1:1/shop", "DATABASE_URL can't be reached: connection "),
        ("postgresql://buyer:secret@%2Fnowhere/shop", "DATABASE_URL can't be reached: "),
    ],
)
def test_a_database_that_cannot_be_used_is_told(tmp_path, url, told):
    line = refusal(tmp_path, DATABASE_URL=url)
    assert line.startswith(told)
    assert "secret" not in line


@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:1/0", "unix:///nowhere/redis.sock"])
def test_a_redis_that_cannot_be_used_is_told(tmp_path, url):
    line = refusal(tmp_path, REDIS_URL=url)
    assert line.startswith("REDIS_URL can't be reached: ")
    assert "secret" not in line


def test_a_secret_for_webhooks_that_is_no_base64_is_told_but_not_shown(tmp_path):
    line = refusal(tmp_path, SANDBOX_WEBHOOK_SECRET=f"whsec_{'A' * 33}")
    assert line.startswith("The environment has a bad setting")
    assert "SANDBOX_WEBHOOK_SECRET" in line
    assert "AAA" not in line


STRIPE = {"PAYMENT_GATEWAY": "stripe", "STRIPE_WEBHOOK_SECRET": "whsec_1", "STRIPE_SECRET_KEY": "sk_test_1"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (STRIPE, "PAYMENT_GATEWAY=stripe needs STRIPE_PUBLISHABLE_KEY to be set"),
        ({**STRIPE, "STRIPE_PUBLISHABLE_KEY": "sk_test_1"}, "STRIPE_PUBLISHABLE_KEY"),
        ({**STRIPE, "STRIPE_PUBLISHABLE_KEY": "pk_live_1"}, "must both be for tests, or both live"),
        ({"PAYMENT_GATEWAY": "paypal", "PAYPAL_CLIENT_ID": "one two"}, "PAYPAL_CLIENT_ID"),
        ({"PAYMENT_GATEWAY": "paypal"}, "PAYPAL_CLIENT_ID and PAYPAL_CLIENT_SECRET and PAYPAL_WEBHOOK_ID to be set"),
    ],
)
def test_a_gateway_without_its_keys_is_told(tmp_path, settings, says):
    line = refusal(tmp_path, **settings)
    assert line.startswith("The environment has a bad setting")
    assert says in line
    assert "sk_test_1" not in line


@pytest.mark.parametrize(("name", "value"), [("DATABASE_URL", "sqlite:///shop.db"), ("REDIS_URL", "nonsense")])
def test_an_address_of_something_else_is_told(tmp_path, name, value):
    assert refusal(tmp_path, **{name: value}).startswith(f"The environment has a bad setting: {name} ")


def test_a_bad_setting_is_told(tmp_path):
    line = refusal(tmp_path, RESERVATION_TTL_SECONDS="soon", PORT="many")
    assert line.startswith("The environment has a bad setting")
    assert "RESERVATION_TTL_SECONDS" in line
    assert "PORT" in line


def test_a_command_has_servers_of_its_own_for_as_long_as_it_runs():
    done = embedded("exec", "--", sys.executable, "-c", WHAT_IT_WAS_GIVEN)
    assert (done.returncode, done.stderr) == (7, "")
    fsync, existed, folder = done.stdout.split()
    assert (fsync, existed) == ("off", "True")
    assert not Path(folder).exists()
    assert processes.marked(Path(folder)) == []


def test_a_command_keeps_the_servers_it_has():
    given = {"DATABASE_URL": "postgresql://elsewhere/shop", "REDIS_URL": "redis://elsewhere"}
    shows = "import os; print(os.environ['DATABASE_URL'], os.environ['REDIS_URL'])"
    done = embedded("exec", "--", sys.executable, "-c", shows, **given)
    assert (done.returncode, done.stdout.split()) == (0, list(given.values()))


def test_a_command_is_stopped_with_its_servers(tmp_path):
    note = tmp_path / "note"
    waits = f"open({str(note)!r}, 'w').write(os.environ['REDIS_URL']); time.sleep(600)"
    clean = {name: value for name, value in os.environ.items() if name not in OF_THE_TEST_RUN}
    process = subprocess.Popen(
        [sys.executable, "-m", "marketplace.embedded", "exec", "--", sys.executable, "-c", f"import os, time; {waits}"],
        cwd=BASE_DIR,
        env=clean,
    )
    while not (note.exists() and note.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    folder = Path(note.read_text().removeprefix("unix://")).parents[1]
    assert processes.marked(folder) != []
    process.terminate()
    assert process.wait(120) == 128 + signal.SIGTERM
    assert not folder.exists()
    assert processes.marked(folder) == []


TOLD_AT_ONCE = """
import os, signal, subprocess, sys
from marketplace.embedded import private
start = subprocess.Popen
def popen(*command, **options):
    process = start(*command, **options)
    os.kill(os.getpid(), signal.SIGTERM)
    return process
private.subprocess.Popen = popen
sys.exit(private.run([sys.executable, "-c", "import time; time.sleep(60)"]))
"""


def test_a_command_is_stopped_also_by_who_asks_at_the_very_moment_of_its_start():
    given = {"DATABASE_URL": "postgresql://elsewhere/shop", "REDIS_URL": "redis://elsewhere"}
    process = subprocess.run(
        [sys.executable, "-c", TOLD_AT_ONCE], cwd=BASE_DIR, env={**os.environ, **given}, timeout=300, check=False
    )
    assert process.returncode == 128 + signal.SIGTERM


def test_the_whole_shop(tmp_path):
    """It opens, survives the death of its parts and of its supervisor, and closes with nothing left behind."""
    everybody = {"web", "worker", "beat", "relay", "sandbox", "postgres", "valkey"}
    with running_site(tmp_path) as site:
        assert {name for name in everybody if psutil.pid_exists(site.pid(name))} == everybody
        assert httpx.get(f"{site.url}/health/ready", timeout=60).status_code == 200

        worker = site.pid("worker")
        os.kill(worker, signal.SIGKILL)
        deadline = time.monotonic() + 120
        while worker_of(site) in {None, worker}:
            assert time.monotonic() < deadline, site.said.read_text()
            time.sleep(0.1)
        assert httpx.get(f"{site.url}/health/ready", timeout=60).status_code == 200

        site.kill()
        site.start()
        assert httpx.get(f"{site.url}/health/ready", timeout=60).status_code == 200
        assert site.stop() == 0
        deadline = time.monotonic() + 60
        while site.running():  # who was killed is gone when the kernel comes to it
            assert time.monotonic() < deadline, site.running()
            time.sleep(0.1)
        assert site.said.read_text().rstrip().endswith("Stopped.")


def worker_of(site: Site) -> int | None:
    try:
        return site.pid("worker")
    except KeyError:
        return None
