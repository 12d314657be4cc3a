"""Whether the sagas that are under way can go on with the definitions of this code.

A saga keeps the version and the steps it started with. A deploy that takes them away would strand it at its next step;
`manage.py sagas check` and the start-up refuse such a deploy while the sagas are still untouched.
"""

import json
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules

from django.apps import apps
from django.db import ProgrammingError, connection, transaction

from marketplace.sagas.definition import find
from marketplace.sagas.timeouts import sqlstate


@dataclass(frozen=True, slots=True)
class Stranded:
    """Sagas that can't go on with this code: how many, one of them, and why."""

    name: str
    version: int
    count: int
    example: str
    why: str

    def __str__(self) -> str:
        sagas = f"{self.count} unfinished saga{'s' * (self.count != 1)}"
        return f"{sagas} of {self.name!r} version {self.version}: {self.why} (one of them: {self.example})"


def load_definitions() -> None:
    """Import every definition of the installed apps: the modules of each app's package `sagas`."""
    for app in apps.get_app_configs():
        spec = find_spec(f"{app.name}.sagas")
        for module in iter_modules(spec.submodule_search_locations) if spec else ():
            if not module.ispkg:
                import_module(f"{app.name}.sagas.{module.name}")


# What a person has acknowledged is not in the way: it is known, and can wait until its definition is back. The finished
# are told from the others in the words of the index `sagas_unfinished`, so that however many there are, none is read.
_KINDS = """
    SELECT name, version, steps, count(*), min(id::text) FROM sagas_sagainstance
    WHERE NOT (status IN ('COMPLETED', 'FAILED', 'COMPENSATED')) AND acknowledged_at IS NULL
    GROUP BY name, version, steps ORDER BY name, version
"""


_NO_SUCH_THING = {"42P01", "42703"}  # undefined_table, undefined_column: the tables are older than the question


def stranded() -> list[Stranded]:
    """The unfinished sagas that this code can't carry on, by kind; empty is good. Definitions must be loaded.

    Where the tables aren't there yet, nothing can be stranded.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_KINDS)
            kinds = cursor.fetchall()
    except ProgrammingError as error:
        if sqlstate(error) not in _NO_SUCH_THING:
            raise
        return []
    found = []
    for name, version, steps, count, example in kinds:
        why = _why_not(name, version, tuple(json.loads(steps)))
        if why:
            found.append(Stranded(name, version, count, example, why))
    return found


def _why_not(name: str, version: int, started_with: tuple[str, ...]) -> str:
    definition = find(name, version)
    if definition is None:
        return "there is no such definition here"
    steps = tuple(node.name for node in definition.steps)
    if steps == started_with:
        return ""
    gone = ", ".join(step for step in started_with if step not in steps)
    new = ", ".join(step for step in steps if step not in started_with)
    changes = "; ".join(part for part in (gone and f"gone: {gone}", new and f"new: {new}") if part)
    return f"its steps are others here ({changes or 'in another order'}); give the changed definition a new version"
