"""A person has a mail sent again: to the same address, or to the right one."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction

from marketplace.kernel.errors import Conflict, NotFound
from orders import selectors
from orders.messages import bell
from orders.messages.kinds import untrue
from orders.messages.models import Message, Status


class UnknownMessage(NotFound):
    """There is no such mail."""

    code = "unknown_message"


class NotTrueAnyMore(Conflict):
    """The mail would tell something that does not hold any more."""

    code = "message_untrue"


class NobodyToSendTo(Conflict):
    """The buyer left no e-mail address, and none was given."""

    code = "message_without_recipient"


@transaction.atomic
def send_again(
    message_id: UUID | str, *, wish: str, actor: str, reason: str, now: datetime, recipient: str = ""
) -> Message:
    """Have a mail sent again, about the order as it is now; return the new row.

    `wish` is what the person pressed, drawn for each form: pressed twice, it is one mail. `recipient`: another address
    than before. Under a Message-ID of its own, or the buyer's mail program would hide it as a duplicate. Takes its own
    transaction. Raises `UnknownMessage`, `NotTrueAnyMore`, `NobodyToSendTo`.
    """
    first = Message.objects.filter(pk=message_id).first()
    if first is None:
        raise UnknownMessage
    address = recipient or first.recipient
    if not address:
        raise NobodyToSendTo
    why = untrue(first.kind, selectors.order(first.order_id), first.detail, now=now)
    if why:
        raise NotTrueAnyMore(f"It is not sent again, because {why}.")
    row = Message(
        cause=f"wish {wish}",
        recipient=address,
        order_id=first.order_id,
        kind=first.kind,
        language=first.language,
        detail=first.detail,
        due_at=now,
        given_up_at=now + timedelta(seconds=settings.MAIL_PATIENCE_SECONDS),
        created_at=now,
        again_of=first.id,
        asked_by=actor,
        reason=reason,
    )
    Message.objects.bulk_create([row], ignore_conflicts=True)
    transaction.on_commit(bell.ring)
    return Message.objects.get(cause=row.cause, recipient=address)


def try_again_now(message_ids: Sequence[UUID | str], *, actor: str, now: datetime) -> int:
    """Make mails that failed due again, for `actor` and with all their time; return how many. None was ever sent."""
    revived = Message.objects.filter(pk__in=message_ids, status=Status.FAILED).update(
        status=Status.WAITING,
        due_at=now,
        tries=0,
        given_up_at=now + timedelta(seconds=settings.MAIL_PATIENCE_SECONDS),
        asked_by=actor,
    )
    if revived:
        bell.ring()
    return revived
