"""requirements.txt is what `make lock` makes of pyproject.toml: everything pinned, and no package index named."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.txt").read_text()
PINNED = {
    canonicalize_name(pin.name): pin
    for pin in (Requirement(line) for line in LOCK.splitlines() if line and not line.lstrip().startswith("#"))
}


def test_every_pin_is_to_one_version():
    assert all(re.fullmatch(r"==[^*,]+", str(pin.specifier)) for pin in PINNED.values())


def test_everything_the_project_names_is_pinned_within_its_range():
    wanted = [Requirement(line) for line in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]]
    for requirement in wanted:
        pin = PINNED[canonicalize_name(requirement.name)]
        [version] = [specifier.version for specifier in pin.specifier]
        assert requirement.specifier.contains(version), requirement


def test_the_lock_names_no_package_index():
    assert "make lock" in LOCK.splitlines()[1]
    assert "://" not in LOCK
