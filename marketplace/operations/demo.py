"""People to try the shop with. Everybody can read their password here, so they belong into no shop that is real."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from rest_framework.authtoken.models import Token

from marketplace.accounts.models import User

PASSWORD: Final = "marketplace"  # noqa: S105 - it is meant to be known
LOGINS: Final = (("user-1", "buyer"), ("user-2", "buyer"), ("staff", "staff"), ("warehouse", "warehouse"))
WAREHOUSE: Final = "Warehouse"  # the group of those who pack


@dataclass(frozen=True, slots=True)
class Login:
    """A demo login. `is_new` when it was made just now, with `PASSWORD`; one that was there is left as it is."""

    username: str
    role: str
    is_new: bool


@transaction.atomic
def make_logins() -> list[Login]:
    """Make the demo logins that are missing; return all of them. Its own transaction, safe to run again."""
    there = set(User.objects.filter(username__in=[name for name, _ in LOGINS]).values_list("username", flat=True))
    missing = [(name, role) for name, role in LOGINS if name not in there]
    if missing:
        password = make_password(PASSWORD)  # hashed once for all: that takes a third of a second by design
        User.objects.bulk_create(
            [
                User(
                    username=name,
                    email=f"{name}@example.com",
                    password=password,
                    is_staff=role in ("staff", "warehouse"),
                    is_superuser=role == "staff",
                )
                for name, role in missing
            ],
            ignore_conflicts=True,  # somebody else may be seeding at this moment
        )
        for user in User.objects.filter(username__in=[name for name, role in missing if role == "warehouse"]):
            user.groups.add(_warehouse())
    return [Login(name, role, is_new=name not in there) for name, role in LOGINS]


def _warehouse() -> Group:
    """The group of those who pack: they see parcels, pack them and correct addresses, and nothing else."""
    group, is_new = Group.objects.get_or_create(name=WAREHOUSE)
    if is_new:
        may = ("pack_shipment", "view_shipment", "change_shipment")
        group.permissions.set(Permission.objects.filter(content_type__app_label="fulfillment", codename__in=may))
    return group


@transaction.atomic
def tokens(usernames: Collection[str]) -> dict[str, str]:
    """Return the API token of each of these users, made where there is none. Its own transaction."""
    found: dict[str, str] = {}
    for user in User.objects.filter(username__in=usernames).order_by("username"):
        token, _ = Token.objects.get_or_create(user=user)
        found[user.username] = token.key
    return found
