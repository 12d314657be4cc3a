"""Finding the programs that came with a wheel."""

from importlib.util import find_spec
from pathlib import Path

from marketplace.embedded.errors import CannotStart


def wheel(name: str) -> Path:
    """Return the folder of an installed package without importing it: the import sets up helpers that we don't use.

    Raises CannotStart when it isn't installed, as on a platform that it has no wheel for.
    """
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise CannotStart(f"The package {name} isn't installed. Set DATABASE_URL and REDIS_URL to servers of your own.")
    return Path(spec.origin).parent
