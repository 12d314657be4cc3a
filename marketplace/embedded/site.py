"""The whole shop on one machine: what runs, in which order, and what is said when it is ready.

Imported when the data folder is ours already, because the settings are read here and may write into it.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping

from marketplace import settings
from marketplace.embedded import checks, servers
from marketplace.embedded.layout import Layout
from marketplace.embedded.output import say
from marketplace.embedded.processes import MARK, Record
from marketplace.embedded.supervisor import Service, Supervisor, stop_signals, together

QUEUES = "orders,inventory,payments,fulfillment,messages"
PROBE_SECONDS = 5.0
BANK_LATENCY_MS = "400"  # unless PAYMENT_LATENCY_MS says otherwise: a real bank takes about as long
_MANAGE = [sys.executable, "manage.py"]


def run(layout: Layout) -> int:
    """Run the shop until it is told to stop; return the exit code. The caller holds the data folder.

    Raises CannotStart; whatever was started is stopped by then.
    """
    wanted = servers.Wanted.by(os.environ)
    _check(wanted)
    layout.password()
    return asyncio.run(_run(layout, wanted))


def _check(wanted: servers.Wanted) -> None:
    checks.port_is_free(settings.HOST, settings.PORT, purpose="the shop")
    if _sandbox_is_ours():
        checks.port_is_free("127.0.0.1", settings.PORT + 1000, purpose="the sandbox gateway")
    if _carrier_is_ours():
        checks.port_is_free("127.0.0.1", settings.PORT + 1001, purpose="the sandbox carrier")
    if not wanted.postgres:
        checks.database_answers(settings.DATABASES["default"])
    if not wanted.valkey:
        checks.redis_answers(settings.REDIS_URL)


async def _run(layout: Layout, wanted: servers.Wanted) -> int:
    supervisor = Supervisor(directory=settings.BASE_DIR, logs=layout.logs, record=Record(layout.processes_file))
    patient = True

    def on_signal(_: signal.Signals) -> None:
        nonlocal patient
        if patient and not living.done():
            say("\nStopping. (Once more, and it is done at once.)")
            living.cancel()
        else:
            supervisor.kill()
        patient = False

    async def live() -> None:
        await _start(supervisor, layout, wanted)
        say(_welcome(layout))
        await supervisor.watch()

    living = asyncio.create_task(live())
    with stop_signals(on_signal):
        async with supervisor:
            with contextlib.suppress(asyncio.CancelledError):
                await living
    say("Stopped.")
    return 0


async def _start(supervisor: Supervisor, layout: Layout, wanted: servers.Wanted) -> None:
    environment = {
        **os.environ,
        MARK: str(layout.data_dir),
        "DATA_DIR": str(layout.data_dir),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore:::celery.platforms",  # what it thinks of root, at every start
    }
    say("Starting …")
    prepare = Service("prepare", [sys.executable, "-m", "marketplace.embedded.prepare"], environment, quiet=True)
    await together(
        servers.start(supervisor, layout, wanted, environment=environment, durable=True), supervisor.run(prepare)
    )
    for stage in stages(layout, environment):
        await supervisor.start(stage)


def stages(layout: Layout, environment: Mapping[str, str]) -> list[list[Service]]:
    """Return the shop's own processes in the order they start in; they stop in the opposite one."""
    host = _a_name_of_ours()
    sandbox = Service(
        "sandbox",
        [
            *(sys.executable, "-m", "payments.gateways.sandbox"),
            *("--listen", f"127.0.0.1:{settings.PORT + 1000}", "--data", str(layout.sandbox_data)),
        ],
        {
            "PAYMENT_LATENCY_MS": BANK_LATENCY_MS,
            "SANDBOX_WEBHOOK_URL": f"http://{_here()}:{settings.PORT}/api/payments/webhooks/sandbox",
            "SANDBOX_WEBHOOK_HOST": host,
            **environment,
            "SANDBOX_WEBHOOK_SECRET": settings.SANDBOX_WEBHOOK_SECRET,
        },
    )
    carrier = Service(
        "carrier",
        [
            *(sys.executable, "-m", "fulfillment.carriers.sandbox"),
            *("--listen", f"127.0.0.1:{settings.PORT + 1001}", "--data", str(layout.carrier_data)),
        ],
        {
            "SANDBOX_CARRIER_WEBHOOK_URL": f"http://{_here()}:{settings.PORT}/api/fulfillment/webhooks/sandbox",
            "SANDBOX_CARRIER_WEBHOOK_HOST": host,
            **environment,
            "SANDBOX_CARRIER_WEBHOOK_SECRET": settings.SANDBOX_CARRIER_WEBHOOK_SECRET,
        },
    )
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "marketplace"]
    worker = Service(
        "worker",
        [
            *(*celery, "worker", "--queues", QUEUES, "--pool", "prefork", "--concurrency", "2"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ],
        environment,
        stop_seconds=30.0,  # SIGTERM lets running tasks end
        death_signal=signal.SIGQUIT,  # without a supervisor nobody would stop the waiting for them
    )
    beat = Service("beat", [*celery, "beat", "--pidfile", ""], environment, stop_seconds=5.0)
    relay = Service("relay", [*_MANAGE, "relay"], environment)
    web = Service(
        "web",
        [
            *(sys.executable, "-m", "granian", "--interface", "wsgi", "marketplace.wsgi:application"),
            *("--host", settings.HOST, "--port", str(settings.PORT), "--no-ws"),
            *("--workers", str(settings.WEB_WORKERS), "--blocking-threads", str(settings.WEB_THREADS)),
            # It warns that sixteen threads are many for two cores; they wait for the database most of the time.
            *("--workers-kill-timeout", "5", "--log-level", "error"),
        ],
        environment,
        ready=_web_answers,
        stop_seconds=15.0,
    )
    outside = [*([sandbox] if _sandbox_is_ours() else []), *([carrier] if _carrier_is_ours() else [])]
    return [*([outside] if outside else []), [worker, relay], [beat, web]]


def _sandbox_is_ours() -> bool:
    return settings.PAYMENT_GATEWAY == "sandbox" and not os.environ.get("SANDBOX_GATEWAY_URL")


def _carrier_is_ours() -> bool:
    return settings.CARRIER == "sandbox" and not os.environ.get("SANDBOX_CARRIER_URL")


def _here() -> str:
    """Where the web process can be reached from this machine, as it is written in an address."""
    host = "127.0.0.1" if settings.HOST in {"0.0.0.0", "::"} else settings.HOST  # noqa: S104 - compared, not bound
    return f"[{host}]" if ":" in host else host


def _a_name_of_ours() -> str:
    """A host name by which Django lets itself be called."""
    return next((name for name in settings.ALLOWED_HOSTS if name != "*"), "localhost").removeprefix(".")


async def _web_answers() -> bool:
    """Ask /health/ready, without a client library: the supervisor is to stay small."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(_here().strip("[]"), settings.PORT)
            writer.write(
                f"GET /health/ready HTTP/1.1\r\nHost: {_a_name_of_ours()}\r\nConnection: close\r\n\r\n".encode()
            )
            status_line = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return status_line.split()[1:2] == [b"200"]


def _welcome(layout: Layout) -> str:
    sandbox = f"  Sandbox bank   {settings.SANDBOX_GATEWAY_URL}\n" if _sandbox_is_ours() else ""
    mails = "" if settings.MAIL_SERVER else f"  Mails          {settings.PUBLIC_URL}/admin/mail/collectedmail/\n"
    carrier = f"  Carrier        {settings.SANDBOX_CARRIER_URL}\n" if _carrier_is_ours() else ""
    return (
        "\nMarketplace is ready.\n\n"
        f"  Shop           {settings.PUBLIC_URL}/\n"
        f"  Admin          {settings.PUBLIC_URL}/admin/\n"
        f"  API            {settings.PUBLIC_URL}/api/docs\n"
        f"{sandbox}{carrier}{mails}"
        "  Sign in as     user-1, user-2, staff (who sees the admin) or warehouse (who packs); password: marketplace\n"
        f"  Logs           {layout.logs}\n\n"
        "Ctrl-C stops everything.\n"
    )
