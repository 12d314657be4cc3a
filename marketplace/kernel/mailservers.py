"""How a mail server is named: `EMAIL_URL`. Imported by the settings, so it imports nothing of Django."""

from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

COLLECT: Final = "collect:"
_PORTS: Final = {"smtp": 25, "smtp+tls": 587, "smtps": 465}

Security = Literal["", "starttls", "tls"]
_SECURITY: Final[dict[str, Security]] = {"smtp": "", "smtp+tls": "starttls", "smtps": "tls"}


@dataclass(frozen=True, slots=True)
class MailServer:
    """An SMTP server. `timeout_seconds` is how long one answer of it is waited for."""

    host: str
    port: int
    security: Security
    user: str
    password: str = field(repr=False)
    timeout_seconds: float


def mail_server(url: str, *, timeout_seconds: float) -> MailServer | None:
    """Read `smtp://user:password@host:port` (also `smtp+tls:`, which is STARTTLS, and `smtps:`); None for `collect:`.

    What has special characters in it is percent-encoded. Raises ValueError, which never repeats the password.
    """
    if url in ("", COLLECT):
        return None
    parts = urlsplit(url)
    schemes = " or ".join(f"{scheme}://" for scheme in _PORTS)
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f"EMAIL_URL must be {COLLECT!r}, or begin with {schemes} and name a host and no path")
    try:
        port = parts.port or _PORTS[parts.scheme]
    except ValueError:
        raise ValueError("EMAIL_URL names a port that is no number from 1 to 65535") from None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if bool(user) != bool(password):
        raise ValueError("EMAIL_URL must have both a user and a password, or neither")
    return MailServer(parts.hostname, port, _SECURITY[parts.scheme], user, password, timeout_seconds)


def check_sender(address: str) -> str:
    """Return the domain of a sender such as `The Shop <orders@example.org>`. Raises ValueError for anything else."""

    bare = parseaddr(address)[1]
    name, _, domain = bare.rpartition("@")
    if not name or not domain or any(sign in address for sign in "\r\n") or " " in bare:
        raise ValueError("MAIL_FROM must be an address such as 'The Shop <orders@example.org>'")
    return domain
