"""What of the engine is in the way of a process that wants to start, with this code, these settings, this database."""

import structlog
from django.db import OperationalError, connection

from marketplace.kernel.starting import Obstacle
from marketplace.sagas.checks import check_sagas
from marketplace.sagas.versions import stranded

log = structlog.get_logger(__name__)

ADVICE = "Deploy the definitions they started with, or `manage.py sagas ignore` what is in NEEDS_ATTENTION."


def obstacles() -> list[Obstacle]:
    """What is wrong with the configuration; where nothing is, which unfinished sagas this code would strand.

    Where PostgreSQL can't be asked, nobody can say, and the process may start: it says by itself that it is not ready.
    """
    wrong = [Obstacle(str(message.msg)) for message in check_sagas()]
    return wrong or [Obstacle(f"this code would strand {one}.", ADVICE) for one in _stranded()]


def _stranded() -> list[str]:
    try:
        return [str(one) for one in stranded()]
    except OperationalError as error:
        log.warning("nobody_can_say_who_is_stranded", error=str(error))
        return []
    finally:
        if not connection.in_atomic_block:
            connection.close()  # it must not be shared with the processes that this one may become
