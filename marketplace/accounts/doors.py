"""What the shop's and the admin's way in have in common: they take so many wrong passwords, and no more."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.translation import ngettext

from marketplace.accounts import guessing
from marketplace.kernel.limits import TooOften

View = Callable[..., HttpResponseBase]
TOO_OFTEN: Final = 429

if TYPE_CHECKING:
    _Form = AuthenticationForm
else:
    _Form = object  # it is mixed into forms of two families


class Counting(_Form):
    """Has an AuthenticationForm count what is tried with it; a password that is one too many is not looked at."""

    wait_seconds = 0

    def clean(self) -> dict[str, Any]:
        """Look at the password, unless too many were wrong of late."""
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if self.request is None or name is None or not password:
            return super().clean()
        try:
            tried = guessing.begin(
                name,
                address=guessing.address_of(self.request),
                browser=guessing.known_browser(self.request, name),
            )
        except TooOften as error:
            self.wait_seconds = error.data["retry_after"]
            raise ValidationError(_please_wait(self.wait_seconds), code="throttled") from error
        cleaned = super().clean()
        tried.was_right()
        return cleaned


def door(view: View) -> View:
    """Decorate a LoginView with a `Counting` form: 429 for one too many, and a browser that got in is known again."""

    @wraps(view)
    def way_in(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        if request.method != "POST":
            return response
        form = (response.context_data or {}).get("form") if isinstance(response, TemplateResponse) else None
        if form is None and request.user.is_authenticated:
            guessing.remember_browser(response, request.user.get_username())
        elif isinstance(form, Counting) and form.wait_seconds:
            response.status_code = TOO_OFTEN
            response.headers["Retry-After"] = str(form.wait_seconds)
        return response

    return way_in


def _please_wait(seconds: int) -> str:
    minutes = -(-seconds // 60)
    return ngettext(
        "Too many wrong passwords. Please try again in %(count)d minute.",
        "Too many wrong passwords. Please try again in %(count)d minutes.",
        minutes,
    ) % {"count": minutes}
