"""The rules of the house that no single app could hold: who may use whom, who may point at whose rows."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("marketplace", "orders", "inventory", "payments", "fulfillment")
LONGEST_MODULE = 450  # lines: the style says about 400
SOURCES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if not {"tests", "migrations"} & set(path.relative_to(ROOT).parts)
)
OUR_LABELS = {
    config.label
    for config in apps.get_app_configs()
    if Path(config.path).is_relative_to(ROOT) and ".venv" not in config.path
}
RELATIONS = sorted(
    (f"{model._meta.label}.{field.name}", model._meta.app_label, field.related_model._meta.app_label)
    for model in apps.get_models(include_auto_created=True)
    if model._meta.app_label in OUR_LABELS
    for field in model._meta.get_fields()
    if field.is_relation and not field.auto_created and field.related_model is not None
)


def test_nobody_uses_what_is_above():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_there_are_apps_and_relations_to_look_at():
    assert {"orders", "inventory", "payments", "fulfillment", "sagas", "outbox"} <= OUR_LABELS
    assert "payments.Attempt.payment" in {name for name, _, _ in RELATIONS}


@pytest.mark.parametrize(("name", "home", "target"), RELATIONS, ids=[name for name, _, _ in RELATIONS])
def test_no_relation_crosses_an_app(name, home, target):
    """Apps refer to each other's rows by UUID. Django's own user model brings its groups and permissions along."""
    assert home == target or target in {"auth", "contenttypes"}, f"{name} points from {home} into {target}"


def test_modules_stay_readable():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    too_long = {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE}
    assert too_long == {}, "make each a package named for its subject"


def test_there_is_no_drawer_for_everything():
    drawers = {"utils", "util", "helpers", "common", "misc"}
    assert [path for path in SOURCES if drawers & {part.removesuffix(".py") for part in path.parts}] == []


def test_domain_code_reads_no_environment_of_its_own():
    """Every setting is read in one file; only what runs without Django reads the environment itself."""
    apart = {"marketplace/settings.py", "marketplace/sandbox/testing.py"}
    readers = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if not path.is_relative_to(ROOT / "marketplace" / "embedded") and reads_environment(path)
    ]
    assert set(readers) - apart == set()


def reads_environment(path: Path) -> bool:
    """Whether a module looks into `os.environ`; to set a default for Django, as every entry point does, isn't that."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"os.getenv", "os.environ.get"}:
            return True
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            return True
    return False
