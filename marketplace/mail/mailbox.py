"""The mailbox: where mails go when no mail server is named, to be looked at in the admin."""

import time
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final, Self

from marketplace.mail.letters import Letter, as_mime
from marketplace.mail.models import CollectedMail
from marketplace.mail.outcomes import Outcome, Sent, Unwritable

KEPT: Final = timedelta(days=14)


class Mailbox:
    """Takes every letter, and keeps it for `KEPT`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """There is nothing to close."""

    def post(self, letter: Letter) -> Outcome:
        """Keep a letter; one that is there already is left as it is."""
        try:
            content = as_mime(letter, now=time.time())
        except ValueError as error:
            return Unwritable(f"{type(error).__name__}: {error}")
        mail = CollectedMail(
            message_id=letter.message_id, recipient=letter.recipient, subject=letter.subject, content=content
        )
        CollectedMail.objects.bulk_create([mail], ignore_conflicts=True)
        return Sent()


def forget(*, now: datetime, limit: int) -> int:
    """Delete mails older than `KEPT`, the oldest first, at most `limit`; return how many."""
    old = CollectedMail.objects.filter(collected_at__lt=now - KEPT).order_by("collected_at")
    deleted, _ = CollectedMail.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:limit])).delete()
    return deleted
