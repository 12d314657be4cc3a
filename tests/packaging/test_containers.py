"""docker-compose.yml and Dockerfile against the code they run: every variable is read, every command exists."""

import ast
import importlib.util
import re
import shlex
from pathlib import Path

import celery.bin.celery
import granian.cli
import pytest
import yaml
from django.core.management import get_commands, load_command_class

from fulfillment.carriers.sandbox import options as carrier_options
from marketplace.embedded import site
from payments.gateways.sandbox import options

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
READ_BY_THE_IMAGE = {"postgres": {"POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"}, "redis": set()}
READ_BY_PYTHON = {"PYTHONUNBUFFERED"}
CONDITIONS = {"service_healthy", "service_completed_successfully"}


def names_read(path: Path, reader: str) -> set[str]:
    """The first arguments of every `<reader>.…("NAME", …)` in a file."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call) and node.args]
    return {
        call.args[0].value
        for call in calls
        if ast.unparse(call.func).startswith(f"{reader}.") and isinstance(call.args[0], ast.Constant)
    }


SETTINGS = names_read(ROOT / "marketplace" / "settings.py", "env")
SANDBOXES = {"payments.gateways.sandbox": options, "fulfillment.carriers.sandbox": carrier_options}
# A webhook's address, host and secret are named by what they have in common.
SANDBOX_SETTINGS = {
    name: {
        *re.findall(r'"([A-Z_]{6,})"', Path(read.__file__).read_text()),
        *(
            f"{prefix}_{what}"
            for prefix in re.findall(r'"(SANDBOX_[A-Z_]*WEBHOOK)"', Path(read.__file__).read_text())
            for what in ("URL", "HOST", "SECRET")
        ),
    }
    for name, read in SANDBOXES.items()
}


def dockerfile_lines(instruction: str) -> list[str]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.removeprefix(instruction).strip() for line in text.splitlines() if line.startswith(instruction + " ")]


def commands() -> dict[str, list[str]]:
    """Every command line of ours in the two files, by where it stands; the parts of a shell's `&&` one by one."""
    found = {"Dockerfile CMD": yaml.safe_load(dockerfile_lines("CMD")[0])}
    for name in OURS:
        for place, command in (("command", SERVICES[name].get("command")), ("check", check_of(name))):
            if not command:
                continue
            parts = command[2].split("&&") if command[:2] == ["sh", "-c"] else [shlex.join(command)]
            found |= {f"{name} {place} {number}": shlex.split(part) for number, part in enumerate(parts)}
    return found


def check_of(name: str) -> list[str]:
    kind, *test = SERVICES[name].get("healthcheck", {}).get("test", ["NONE"])
    return ["sh", "-c", test[0]] if kind == "CMD-SHELL" else test


def test_the_settings_are_found_where_they_are_read():
    assert {"PORT", "DATA_DIR", "DATABASE_URL", "SAGA_TIMEOUT_SECONDS", "STATIC_ROOT"} <= SETTINGS
    assert {"SANDBOX_API_KEY", "PAYMENT_FAILURE_RATE", "PAYMENT_LATENCY_MS"} <= SANDBOX_SETTINGS[
        "payments.gateways.sandbox"
    ] & SETTINGS


@pytest.mark.parametrize("name", OURS)
def test_every_variable_of_ours_is_read(name):
    sandboxes = [one for one in SANDBOXES if one in SERVICES[name].get("command", [])]
    read = SANDBOX_SETTINGS[sandboxes[0]] if sandboxes else SETTINGS
    assert set(SERVICES[name]["environment"]) - read == set()


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(OURS)))
def test_every_variable_of_an_image_is_one_it_reads(name):
    assert set(SERVICES[name].get("environment", {})) - READ_BY_THE_IMAGE[name] == set()


def test_every_variable_the_compose_file_takes_from_outside_is_a_setting():
    taken = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert taken - SETTINGS - set().union(*SANDBOX_SETTINGS.values()) == set()


def test_every_variable_of_the_dockerfile_is_read():
    assigned = {pair.split("=")[0] for line in dockerfile_lines("ENV") for pair in line.split()}
    assert assigned - SETTINGS - READ_BY_PYTHON == set()


@pytest.mark.parametrize("place", commands())
def test_every_command_exists_with_its_options(place):
    python, *arguments = commands()[place]
    assert python == "python"
    match arguments:
        case ["manage.py", command, *given]:
            loaded = load_command_class(get_commands()[command], command)
            loaded.create_parser("manage.py", command).parse_args(given)
        case ["-m", "celery", "-A", "marketplace", command, *given]:
            assert options_of(given) <= known_to(celery.bin.celery.celery.commands[command])
        case ["-m", "granian", *given]:
            assert "marketplace.wsgi:application" in given
            assert options_of(given) <= known_to(granian.cli.cli)
        case ["-m", "payments.gateways.sandbox", *given]:
            assert options.read(given, {}).port == 9000
        case ["-m", "fulfillment.carriers.sandbox", *given]:
            assert carrier_options.read(given, {}).port == 9001
        case ["-c", program]:
            ast.parse(program)
        case _:
            raise AssertionError(f"a command this test doesn't know: {arguments}")
    if arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1]) is not None


def options_of(arguments: list[str]) -> set[str]:
    return {argument for argument in arguments if argument.startswith("--")}


def known_to(command) -> set[str]:
    return {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}


def test_dependencies_lead_to_services_that_can_meet_them():
    for name, service in SERVICES.items():
        for other, wish in service.get("depends_on", {}).items():
            assert wish["condition"] in CONDITIONS, name
            if wish["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for the health of {other}"
            else:
                assert SERVICES[other]["restart"] == "no", f"{name} waits for the end of {other}"


def test_volumes_are_declared_and_used():
    mounted = {mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    assert mounted == set(COMPOSE["volumes"])


def test_containers_run_the_processes_that_make_run_runs(tmp_path):
    """The same processes over the same queues, so that neither way of running the shop forgets one."""
    stages = site.stages(site.Layout(tmp_path), {})
    here = {service.name: list(service.command) for stage in stages for service in stage}
    assert set(here) == set(OURS) - {"migrate"}
    queues = [command[command.index("--queues") + 1] for command in (here["worker"], SERVICES["worker"]["command"])]
    assert queues[0] == queues[1]


def test_the_image_does_not_run_as_root():
    assert dockerfile_lines("USER") == ["marketplace"]
