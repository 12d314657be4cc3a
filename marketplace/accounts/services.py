"""Letting people in."""

from django.contrib.auth import authenticate
from rest_framework.authtoken.models import Token

from marketplace.accounts.errors import WrongCredentials


def issue_token(*, username: str, password: str) -> str:
    """Return the account's API token, made on first use; it stays the same until it is deleted in the admin.

    Raises `WrongCredentials`, also for an account that is not active: who asks learns nothing about which accounts
    there are. Needs no transaction; two that come at once get the same token.
    """
    user = authenticate(username=username, password=password)
    if user is None:
        raise WrongCredentials
    token, _ = Token.objects.get_or_create(user=user)
    return str(token.key)
