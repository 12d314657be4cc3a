"""Reading accounts, for the apps that know a buyer by user name alone."""

from collections.abc import Collection, Mapping

from marketplace.accounts.models import User


def addresses_of(usernames: Collection[str]) -> Mapping[str, str]:
    """Return the e-mail address of each of these accounts that has one, by user name. One query."""
    if not usernames:
        return {}
    rows = User.objects.filter(username__in=usernames).exclude(email="")
    return dict(rows.values_list("username", "email"))
