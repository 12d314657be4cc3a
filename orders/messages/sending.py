"""Sending what is due: claim, look, write, hand over, mark.

Claimed under a lease, so that a worker's death only delays; handed over outside of any transaction; marked only by who
still holds the claim. Until there is a yes a mail is tried again after growing pauses, for MAIL_PATIENCE_SECONDS; then
it is FAILED, for a person to see. A server that is down costs one connection a batch, and no mail more than a pause.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet

from marketplace.kernel.clock import database_now
from marketplace.mail.letters import masked
from marketplace.mail.outcomes import NotNow, Outcome, Refused, Sent, Unavailable, Unknown, Unwritable
from marketplace.mail.posting import PostOffice, post_office
from orders import selectors
from orders.messages import writing
from orders.messages.kinds import untrue
from orders.messages.models import Kind, Message, Status
from orders.selectors import OrderView

log = structlog.get_logger(__name__)

AT_ONCE: Final = 20
LONGEST_PAUSE: Final = timedelta(hours=1)
# The answers of one conversation at the most, each waited for with a time-out of its own: greeting, EHLO, STARTTLS, two
# of the handshake, EHLO, AUTH by CRAM-MD5, PLAIN and LOGIN (2, 1 and 3), MAIL, RCPT, DATA, the content, RSET, QUIT.
_ANSWERS: Final = 1 + 1 + 1 + 2 + 1 + (2 + 1 + 3) + 1 + 1 + 1 + 1 + 1 + 1
_SPARE: Final = timedelta(seconds=20)  # of a lease, for writing the mails


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of one batch: how many mails were looked at, and whether anybody was there to take them."""

    count: int
    reachable: bool = True


def send_due(*, limit: int = AT_ONCE) -> Batch:
    """Send the mails that are due, the longest-waiting first. To be called outside of any transaction."""
    claimed, until = _claim(limit)
    orders = selectors.orders_by_id([message.order_id for message in claimed])
    nobody = ""  # why no server takes anything, once one did not
    with post_office() as office:
        for message in claimed:
            if nobody:
                _again(message, nobody)
            elif database_now() > until - longest_post():
                break  # the claim may not last: whoever claims the rest next has it for as long as it takes
            else:
                nobody = _deal_with(message, orders[message.order_id], office)
    return Batch(len(claimed), reachable=not nobody)


def longest_post() -> timedelta:
    """How long it takes at the most to hand one mail over, the conversation with its server included."""
    return timedelta(seconds=_ANSWERS * settings.MAIL_TIMEOUT_SECONDS)


def _claim(limit: int) -> tuple[list[Message], datetime]:
    """Take what is due, for the time of a lease; return it, and when the lease ends."""
    with transaction.atomic():
        now = database_now()
        until = now + longest_post() + _SPARE
        due = Message.objects.select_for_update(skip_locked=True).filter(due_at__lte=now)
        messages = list(due.order_by("due_at", "id")[:limit])
        ids = [message.id for message in messages]
        Message.objects.filter(pk__in=ids).update(due_at=until, tries=F("tries") + 1)
    for message in messages:
        message.due_at, message.tries = until, message.tries + 1
    return messages, until


def _deal_with(message: Message, order: OrderView, office: PostOffice) -> str:
    """Send one mail, or say why not; what goes wrong is on record with it. Answers why nobody takes any mail, if so."""
    why = _not_any_more(message, order)
    if why:
        _over(message, Status.SKIPPED, f"Not sent, because {why}.")
        return ""
    try:
        letter = writing.write(message, order)
        outcome = office.post(letter)
    except Exception as error:
        log.exception("message_failed", message=str(message.id), kind=message.kind)
        _again(message, f"{type(error).__name__}: {error}")
        return ""
    _mark(message, letter.subject, outcome)
    return outcome.why if isinstance(outcome, Unavailable) else ""


def _not_any_more(message: Message, order: OrderView) -> str:
    why = untrue(message.kind, order, message.detail, now=database_now())
    if why or message.kind != Kind.RECEIVED or message.again_of is not None:
        return why
    later = Message.objects.filter(order_id=order.id, status=Status.SENT).exclude(kind=Kind.RECEIVED)
    return "the buyer has read later news of it already" if later.exists() else ""


def _mark(message: Message, subject: str, outcome: Outcome) -> None:
    about = {"message": str(message.id), "kind": message.kind, "recipient": masked(message.recipient)}
    match outcome:
        case Sent():
            now = database_now()
            _ours(message).update(status=Status.SENT, due_at=None, sent_at=now, subject=subject, outcome="")
            log.info("message_sent", **about)
        case Refused(why):
            _over(message, Status.FAILED, f"The mail server refuses it: {why}")
            log.warning("message_refused", **about)
        case Unwritable(why):
            _over(message, Status.FAILED, f"It can't be sent. {why}")
            log.warning("message_unwritable", **about)
        case Unknown(why):
            _again(message, f"Handed over, but no answer came ({why}). It may arrive twice, as the same mail.")
        case NotNow(why) | Unavailable(why):
            _again(message, why)


def _over(message: Message, status: Status, outcome: str) -> None:
    _ours(message).update(status=status, due_at=None, outcome=outcome)


def _again(message: Message, why: str) -> None:
    """Try it again after a pause, longer each time and never the same; give it up when its time is over."""
    now = database_now()
    pause = min(timedelta(seconds=settings.MAIL_RETRY_SECONDS) * 2 ** min(message.tries - 1, 20), LONGEST_PAUSE)
    due = now + pause * random.uniform(0.5, 1.0)  # noqa: S311 - so that they don't come all at once
    if now < message.given_up_at:
        _ours(message).update(due_at=min(due, message.given_up_at), outcome=why)
        return
    _over(message, Status.FAILED, f"Given up. {why}")
    log.error("message_given_up", message=str(message.id), kind=message.kind, why=why)


def _ours(message: Message) -> "QuerySet[Message]":
    """The row, unless somebody else has taken it over since our lease ran out."""
    return Message.objects.filter(pk=message.pk, due_at=message.due_at, status=Status.WAITING)
