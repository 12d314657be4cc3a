"""A mail, before anybody takes it."""

from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.message import sanitize_address


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes along; `kind` is its media type."""

    name: str
    content: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to one recipient, in plain text and in HTML that say the same. `id` stays its own through all attempts."""

    id: UUID
    recipient: str
    subject: str
    text: str
    html: str
    language: str = "en"
    attachments: tuple[Attachment, ...] = field(default=())

    @property
    def message_id(self) -> str:
        """The Message-ID: always the same for this letter (RFC 5322, section 3.6.4)."""
        return f"<{self.id}@{settings.MAIL_DOMAIN}>"


def as_mime(letter: Letter, *, now: float) -> bytes:
    """Write `letter` as a mail server takes it; `now` (seconds since 1970) is its date.

    It says that a program wrote it, so that nobody's out-of-office note answers (RFC 3834). Raises `BadHeaderError`
    for a subject or an address with a line break in it, and `ValueError` (which that is) for an address that is none.
    """
    message = EmailMultiAlternatives(
        subject=letter.subject,
        body=letter.text,
        from_email=settings.MAIL_FROM,
        to=[letter.recipient],
        headers={
            "Message-ID": letter.message_id,
            "Date": formatdate(now),
            "Auto-Submitted": "auto-generated",
            "Content-Language": letter.language,
        },
    )
    message.attach_alternative(letter.html, "text/html")
    for one in letter.attachments:
        message.attach(one.name, one.content, one.kind)
    mime: Any = message.message()  # Django's own, which knows of line ends
    return bytes(mime.as_bytes(linesep="\r\n"))


def envelope_address(address: str) -> str:
    """Return the bare address, as SMTP wants it: without a name, a domain beyond ASCII in its IDNA form."""
    sane: str = sanitize_address(address, "utf-8")
    return sane.rpartition("<")[2].rstrip(">") if "<" in sane else sane


def masked(address: str) -> str:
    """Show an address where it is nobody's business: `ada@example.org` as `a…@example.org`."""
    name, at, domain = address.rpartition("@")
    return f"{name[:1]}…{at}{domain}" if at else ("…" if address else "")
