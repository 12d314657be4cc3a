"""What the warehouse's screens ask for."""

import re
from datetime import timedelta
from typing import Any, Final

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from fulfillment import picking
from fulfillment.picking import Choice
from orders.warehouse import MOST_AT_ONCE

AGES: Final = (
    ("0", "any time"),
    ("1", "1 hour"),
    ("4", "4 hours"),
    ("24", "1 day"),
    ("48", "2 days"),
    ("96", "4 days"),
)
SIZES: Final = ("20", "50", "100", "200", "500", "1000")
LONGEST_NAME: Final = 64


class ChoiceForm(forms.Form):
    """Which of the parcels that wait. What is not understood is as if it were not asked for."""

    by = forms.ChoiceField(label="Carrier and service", required=False, widget=UnfoldAdminSelectWidget)
    age = forms.ChoiceField(label="Waits for at least", required=False, choices=AGES, widget=UnfoldAdminSelectWidget)
    size = forms.ChoiceField(
        label="At most", required=False, choices=[(n, f"{n} orders") for n in SIZES], widget=UnfoldAdminSelectWidget
    )
    in_hand = forms.BooleanField(label="Also what somebody has in a batch", required=False)

    def __init__(self, data: Any) -> None:
        super().__init__({"age": "0", "size": "200", **data.dict()})
        self.waiting = picking.waiting()
        by = self.fields["by"]
        assert isinstance(by, forms.ChoiceField)  # noqa: S101 - for the type checker
        carriers = sorted({one.carrier for one in self.waiting})
        services = [(f"{w.carrier}/{w.service}", f"{w.carrier}, {w.service}: {w.parcels}") for w in self.waiting]
        whole = [(f"{carrier}/", f"{carrier}, all services") for carrier in carriers] if len(services) > 1 else []
        by.choices = [("", "all"), *whole, *services]

    def chosen(self) -> tuple[Choice, int]:
        """Return what was chosen, and how many at most."""
        self.is_valid()
        carrier, _, service = self.cleaned_data.get("by", "").partition("/")
        hours = int(self.cleaned_data.get("age") or 0)
        in_hand = bool(self.cleaned_data.get("in_hand"))
        return Choice(carrier, service, timedelta(hours=hours), in_hand), int(self.cleaned_data.get("size") or 200)


class NamesField(forms.CharField):
    """Numbers of orders, as people scan, type or paste them: with blanks, commas or lines between them."""

    def clean(self, value: Any) -> list[str]:
        """Read each once, in their order."""
        names = list(dict.fromkeys(name for name in re.split(r"[\s,;]+", super().clean(value)) if name))
        if len(names) > MOST_AT_ONCE:
            raise forms.ValidationError(f"These are {len(names)}; {MOST_AT_ONCE} at once are the most.")
        if any(len(name) > LONGEST_NAME for name in names):
            raise forms.ValidationError("That is no number of an order.")
        return names


class NamesForm(forms.Form):
    """Which orders, by their numbers."""

    names = NamesField(label="Orders", widget=UnfoldAdminTextInputWidget)


class CannotShipForm(forms.Form):
    """Which orders, and why."""

    names = NamesField(
        label="Orders",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Numbers, with blanks or lines between them.",
    )
    reason = forms.CharField(
        label="Why can't they be sent?",
        max_length=2000,
        widget=UnfoldAdminTextInputWidget(attrs={"list": "reasons", "autocomplete": "off"}),
        help_text="For the staff's eyes; the buyer does not see it.",
    )
