"""Who takes the mails: an SMTP server, or the mailbox, as `EMAIL_URL` says."""

from types import TracebackType
from typing import Protocol, Self

from django.conf import settings

from marketplace.mail.letters import Letter
from marketplace.mail.mailbox import Mailbox
from marketplace.mail.outcomes import Outcome
from marketplace.mail.smtp import SmtpServer


class PostOffice(Protocol):
    """Takes letters for as long as it is entered; connects when the first one comes. Never raises."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def post(self, letter: Letter) -> Outcome:
        """Hand one letter over. To be called outside of any transaction: it may take as long as its time-out."""


def post_office() -> PostOffice:
    """Return a new one for a few letters; not to be shared by threads."""
    return SmtpServer(settings.MAIL_SERVER) if settings.MAIL_SERVER else Mailbox()
