"""The words of each mail about a return, in the language that is active; `marketplace/locale` has them in the others.

What staff write for themselves (why they approved, how a parcel looked) is in none of them.
"""

from collections.abc import Callable, Mapping
from typing import Final

from django.utils.translation import gettext as _

from orders.messages.models import Kind
from orders.messages.texts import About, Words
from orders.returns.selectors import ReturnView


def _requested(about: About, view: ReturnView) -> Words:
    return Words(
        subject=_("Your return %(number)s") % {"number": view.number},
        preview=_("We have your wish to send something back."),
        headline=_("We have your wish"),
        paragraphs=(
            _("You would like to send something back. We look at it, and answer by %(day)s.")
            % {"day": about.day(view.answer_by)},
            _("Please keep your things until then, and do not send them yet."),
        ),
        action=_("See your return"),
        target=about.page,
        parcel=True,
    )


def _approved(about: About, view: ReturnView) -> Words:
    return Words(
        subject=_("Please send it back: your return %(number)s") % {"number": view.number},
        preview=_("Your return is approved."),
        headline=_("Please send it back"),
        paragraphs=(
            _("Your return is approved. Please put into the parcel what is listed here, and nothing else."),
            _("Write the number %(number)s on the parcel, and on a note that you put into it.")
            % {"number": view.number},
            _("It should be here by %(day)s. When it is, we send your money back.")
            % {"day": about.day(view.arrive_by)},
        ),
        action=_("See your return"),
        target=about.page,
        parcel=True,
        ours=True,
    )


def _received(about: About, view: ReturnView) -> Words:
    return Words(
        subject=_("Your return %(number)s has arrived") % {"number": view.number},
        preview=_("Your money is on its way back to you."),
        headline=_("Your parcel is here"),
        paragraphs=(
            about.came_back,
            _("Your money is on its way back to you. It takes longer than usual; we write again when it is sent."),
        ),
        action=_("See your return"),
        target=about.page,
    )


def _rejected(about: About, view: ReturnView) -> Words:
    return Words(
        subject=_("About your return %(number)s") % {"number": view.number},
        preview=_("We can not take it back."),
        headline=_("We can not take this back"),
        paragraphs=(
            _("Our team says: “%(reason)s”") % {"reason": view.buyer_reads},
            _("If you have questions, just answer this mail."),
        ),
        action=_("See your return"),
        target=about.page,
    )


def _expired(about: About, view: ReturnView) -> Words:
    if view.arrive_by is None:
        paragraphs = (
            _("We did not answer in time, and so your return has ended. We are sorry."),
            _("Please ask again on the page of your order, or just answer this mail."),
        )
    else:
        paragraphs = (
            _("Your parcel was not here by %(day)s, and so your return has ended.")
            % {"day": about.day(view.arrive_by)},
            _("If you have sent it, just answer this mail."),
        )
    return Words(
        subject=_("Your return %(number)s has ended") % {"number": view.number},
        preview=_("It ran out of time."),
        headline=_("This return ran out of time"),
        paragraphs=paragraphs,
        action=_("See your return"),
        target=about.page,
    )


def _settled(about: About, view: ReturnView) -> Words:
    return Words(
        subject=_("Your return %(number)s has arrived") % {"number": view.number},
        preview=_("Your return is complete."),
        headline=_("Your parcel is here"),
        paragraphs=(
            about.came_back,
            _("No more money is due for it: it has gone back to you before, or in another way."),
            _("If you have questions, just answer this mail."),
        ),
        action=_("See your return"),
        target=about.page,
    )


def _of_return(write: Callable[[About, ReturnView], Words]) -> Callable[[About], Words]:
    def words(about: About) -> Words:
        assert about.returned is not None  # noqa: S101 - its check has looked
        return write(about, about.returned)

    return words


TEXTS: Final[Mapping[Kind, Callable[[About], Words]]] = {
    Kind.RETURN_REQUESTED: _of_return(_requested),
    Kind.RETURN_APPROVED: _of_return(_approved),
    Kind.RETURN_RECEIVED: _of_return(_received),
    Kind.RETURN_REJECTED: _of_return(_rejected),
    Kind.RETURN_EXPIRED: _of_return(_expired),
    Kind.RETURN_SETTLED: _of_return(_settled),
}
