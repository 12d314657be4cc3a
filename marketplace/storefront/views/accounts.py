"""Coming in, going out, and becoming known to the shop."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from marketplace.accounts.doors import door
from marketplace.storefront.forms import RegisterForm, SignInForm


@method_decorator(door, name="dispatch")
class SignIn(LoginView):
    """Sign in, and go back to where one came from."""

    authentication_form = SignInForm
    template_name = "storefront/sign_in.html"
    redirect_authenticated_user = True


class SignOut(LogoutView):
    """Sign out (POST only)."""


@sensitive_post_parameters("password1", "password2")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def register(request: HttpRequest) -> HttpResponse:
    """Make an account and sign in with it."""
    after = _safe(request, request.POST.get("next") or request.GET.get("next", ""))
    if request.user.is_authenticated:
        return redirect(after or resolve_url(settings.LOGIN_REDIRECT_URL))
    form = RegisterForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        user = form.save()
        login(request, user)
        messages.success(request, gettext("Welcome, %(name)s! You are signed in.") % {"name": user.get_username()})
        return redirect(after or resolve_url(settings.LOGIN_REDIRECT_URL))
    status = 400 if form.is_bound else 200
    return render(request, "storefront/register.html", {"form": form, "next": after}, status=status)


def _safe(request: HttpRequest, address: str) -> str:
    """Return `address` if it is one of this site's own, else an empty string."""
    allowed = {request.get_host()}
    ours = url_has_allowed_host_and_scheme(address, allowed_hosts=allowed, require_https=request.is_secure())
    return address if ours else ""
