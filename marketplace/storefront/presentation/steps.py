"""Every step of the saga in a shopper's words: while it happens, when it is done, refused, tried again, undone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


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
        doing="Checking the shelf…",
        done="Checked the shelf: it’s all there",
        refused="Not enough left on the shelf",
    ),
    "reserve_inventory": StepWords(
        doing="Putting your things aside…",
        done="Put your things aside for you",
        refused="Not enough left on the shelf",
        undoing="Undoing: giving the units back…",
        undone="Put everything back on the shelf",
    ),
    "payment_request": StepWords(
        doing="Waiting for you to pay",
        done="You chose how to pay",
    ),
    "authorize_payment": StepWords(
        doing="Asking your bank…",
        done="Asked your bank",
        refused="Your bank said no",
        again="Your bank gave no clear answer",
        undoing="Undoing: telling your bank to let go of the money…",
        undone="Made sure your bank holds nothing",
    ),
    "payment_outcome": StepWords(
        doing="Waiting for your bank…",
        done="Your bank said yes",
        refused="Your bank said no",
    ),
    "look_up_payment": StepWords(
        doing="Asking your bank how it decided…",
        done="Your bank said yes",
        refused="Your bank has not said yes",
        again="Your bank gave no clear answer",
    ),
    "check_fraud": StepWords(
        doing="Running a routine check…",
        done="Ran a routine check",
        refused="Routine check didn’t pass",
    ),
    "fraud_review": StepWords(
        doing="One of us is having a look…",
        done="One of us had a look: all is well",
        refused="Routine check didn’t pass",
    ),
    "capture_payment": StepWords(
        doing="Taking the payment…",
        done="Took the payment",
        refused="The bank didn’t hand over the money",
        again="Your bank gave no clear answer",
        undoing="Undoing: making sure you get your money back…",
        undone="Made sure no payment is left over",
    ),
    "confirm_order": StepWords(
        doing="Confirming your order…",
        done="Order confirmed",
        undoing="Undoing: taking the confirmation back…",
        undone="Took the confirmation back",
    ),
    "take_in_payment": StepWords(
        doing="Your payment has come after all…",
        done="Your payment came after all",
        undoing="Undoing: making sure you get your money back…",
        undone="Made sure you get your money back",
    ),
    "check_order": StepWords(
        doing="Looking whether your order can go on…",
        done="Your order can go on",
        refused="Your order can’t go on",
    ),
    "shipment_stopped": StepWords(
        doing="Stopping your parcel…",
        done="Stopped your parcel",
    ),
    "refund_payment": StepWords(
        doing="Making sure you get your money back…",
        done="Made sure you get your money back",
        again="The bank gave no clear answer about your refund",
    ),
    "restock_inventory": StepWords(
        doing="Putting everything back on the shelf…",
        done="Put everything back on the shelf",
    ),
    "close_order": StepWords(
        doing="Closing your order…",
        done="Order closed",
    ),
}


_RAN_OUT: Final = {
    "payment_request": "The time to pay ran out",
    "fraud_review": "Routine check didn’t pass",
    "shipment_stopped": "Your parcel is still being stopped; your money doesn’t wait for that",
}


def _name(step: str) -> str:
    return step.replace("_", " ").capitalize()


def words_for(step: str) -> StepWords:
    """Return the words for `step`; one that the shop has no words for yet is called by its name."""
    known = WORDS.get(step)
    if known:
        return known
    name = _name(step)
    return StepWords(doing=f"{name}…", done=f"{name}: done", refused=f"{name}: refused", undone=f"{name}: undone")


def now_doing(step: str, *, undoing: bool, again: bool) -> str:
    """Say what is going on at `step` at this moment; `again` when it was tried before."""
    words = words_for(step)
    if undoing:
        return words.undoing or "Undoing what was done…"
    if again and words.doing.startswith("Asking your bank"):
        return "Asking your bank again…"
    return words.doing


def has_been(step: str, *, status: str, undoing: bool) -> str:
    """Say what became of one attempt at `step`; `status` is that of its line in the saga's history."""
    words = words_for(step)
    if status == "RETURNED":
        return "You may pay by another method"
    if undoing:
        done = status in ("DONE", "RESOLVED")
        return (words.undone or "Undone") if done else "Undoing didn’t work yet; we don’t give up"
    sentences = {
        "DONE": words.done,
        "REFUSED": words.refused or f"{_name(step)}: refused",
        "EXPIRED": _RAN_OUT.get(step, "No answer came in time"),
        "STOPPED": "Stopped here, because the order was cancelled",
        "RESOLVED": words.done,
        "RETRIED": "We try once more",
        "IGNORED": "A person has looked at it",
        "PARKED": "Stopped here: a person is looking at it",
        "STANDBY": "Waited until we could go on",
        "UNAVAILABLE": "We couldn’t reach them; nothing was sent",
    }
    return sentences.get(status) or words.again or f"{_name(step)}: that didn’t work yet"
