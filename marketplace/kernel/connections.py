"""How far a call came that the `requests` library gave up, on which the SDKs of providers stand.

Only what talks to such a provider loads this: the library comes with their extras.
"""

import requests
from urllib3.exceptions import NewConnectionError


def never_left(error: BaseException | None) -> bool:
    """Whether no connection came to be, so that nothing was sent."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    inner = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else None
    return isinstance(getattr(inner, "reason", None), NewConnectionError)
