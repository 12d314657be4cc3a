"""Every step of the saga in a shopper's words: while it happens, when it is done, refused, tried again, undone."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Final

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _


@dataclass(frozen=True, slots=True)
class StepWords:
    """`doing` and `undoing` are for now, the others for afterwards. An empty one falls back on a general sentence."""

    doing: str
    done: str
    refused: str = ""
    again: str = ""
    undoing: str = ""
    undone: str = ""


WORDS: Final[Mapping[str, StepWords]] = {
    "validate_inventory": StepWords(
        doing=_("Checking the shelf…"),
        done=_("Checked the shelf: it’s all there"),
        refused=_("Not enough left on the shelf"),
    ),
    "reserve_inventory": StepWords(
        doing=_("Putting your things aside…"),
        done=_("Put your things aside for you"),
        refused=_("Not enough left on the shelf"),
        undoing=_("Undoing: giving the units back…"),
        undone=_("Put everything back on the shelf"),
    ),
    "payment_request": StepWords(
        doing=_("Waiting for you to pay"),
        done=_("You chose how to pay"),
    ),
    "authorize_payment": StepWords(
        doing=_("Asking your bank…"),
        done=_("Asked your bank"),
        refused=_("Your bank said no"),
        again=_("Your bank gave no clear answer"),
        undoing=_("Undoing: telling your bank to let go of the money…"),
        undone=_("Made sure your bank holds nothing"),
    ),
    "payment_outcome": StepWords(
        doing=_("Waiting for your bank…"),
        done=_("Your bank said yes"),
        refused=_("Your bank said no"),
    ),
    "look_up_payment": StepWords(
        doing=_("Asking your bank how it decided…"),
        done=_("Your bank said yes"),
        refused=_("Your bank has not said yes"),
        again=_("Your bank gave no clear answer"),
    ),
    "check_fraud": StepWords(
        doing=_("Running a routine check…"),
        done=_("Ran a routine check"),
        refused=_("Routine check didn’t pass"),
    ),
    "fraud_review": StepWords(
        doing=_("One of us is having a look…"),
        done=_("One of us had a look: all is well"),
        refused=_("Routine check didn’t pass"),
    ),
    "capture_payment": StepWords(
        doing=_("Taking the payment…"),
        done=_("Took the payment"),
        refused=_("The bank didn’t hand over the money"),
        again=_("Your bank gave no clear answer"),
        undoing=_("Undoing: making sure you get your money back…"),
        undone=_("Made sure no payment is left over"),
    ),
    "confirm_order": StepWords(
        doing=_("Confirming your order…"),
        done=_("Order confirmed"),
        undoing=_("Undoing: taking the confirmation back…"),
        undone=_("Took the confirmation back"),
    ),
    "take_in_payment": StepWords(
        doing=_("Your payment has come after all…"),
        done=_("Your payment came after all"),
        undoing=_("Undoing: making sure you get your money back…"),
        undone=_("Made sure you get your money back"),
    ),
    "check_order": StepWords(
        doing=_("Looking whether your order can go on…"),
        done=_("Your order can go on"),
        refused=_("Your order can’t go on"),
    ),
    "shipment_stopped": StepWords(
        doing=_("Stopping your parcel…"),
        done=_("Stopped your parcel"),
    ),
    "refund_payment": StepWords(
        doing=_("Making sure you get your money back…"),
        done=_("Made sure you get your money back"),
        again=_("The bank gave no clear answer about your refund"),
    ),
    "restock_inventory": StepWords(
        doing=_("Putting everything back on the shelf…"),
        done=_("Put everything back on the shelf"),
    ),
    "close_order": StepWords(
        doing=_("Closing your order…"),
        done=_("Order closed"),
    ),
}


_RAN_OUT: Final = {
    "payment_request": _("The time to pay ran out"),
    "fraud_review": _("Routine check didn’t pass"),
    "shipment_stopped": _("Your parcel is still being stopped; your money doesn’t wait for that"),
}
_NO_ANSWER: Final = _("No answer came in time")
_ASKS_THE_BANK: Final = frozenset({"authorize_payment", "look_up_payment"})


# By the status of a line in the saga's history.
_BECAME: Final[Mapping[str, str]] = {
    "STOPPED": _("Stopped here, because the order was cancelled"),
    "RETRIED": _("We try once more"),
    "IGNORED": _("A person has looked at it"),
    "PARKED": _("Stopped here: a person is looking at it"),
    "STANDBY": _("Waited until we could go on"),
    "UNAVAILABLE": _("We couldn’t reach them; nothing was sent"),
}


def _name(step: str) -> str:
    return step.replace("_", " ").capitalize()


def words_for(step: str) -> StepWords:
    """Return the words for `step`, in the active language; one that has none yet is called by its name."""
    known = WORDS.get(step)
    if known:
        return StepWords(*(gettext(words) for words in astuple(known)))
    name = {"step": _name(step)}
    return StepWords(
        doing=f"{name['step']}…",
        done=gettext("%(step)s: done") % name,
        refused=gettext("%(step)s: refused") % name,
        undone=gettext("%(step)s: undone") % name,
    )


def now_doing(step: str, *, undoing: bool, again: bool) -> str:
    """Say what is going on at `step` at this moment; `again` when it was tried before."""
    words = words_for(step)
    if undoing:
        return words.undoing or gettext("Undoing what was done…")
    if again and step in _ASKS_THE_BANK:
        return gettext("Asking your bank again…")
    return words.doing


def has_been(step: str, *, status: str, undoing: bool) -> str:
    """Say what became of one attempt at `step`; `status` is that of its line in the saga's history."""
    words = words_for(step)
    if status == "RETURNED":
        return gettext("You may pay by another method")
    if undoing:
        done = status in ("DONE", "RESOLVED")
        return (words.undone or gettext("Undone")) if done else gettext("Undoing didn’t work yet; we don’t give up")
    name = {"step": _name(step)}
    sentences = {
        "DONE": words.done,
        "RESOLVED": words.done,
        "REFUSED": words.refused or gettext("%(step)s: refused") % name,
        "EXPIRED": gettext(_RAN_OUT.get(step, _NO_ANSWER)),
    }
    told = sentences.get(status) or gettext(_BECAME.get(status, ""))
    return told or words.again or gettext("%(step)s: that didn’t work yet") % name
