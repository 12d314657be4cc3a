"""What tests leave behind when they commit: by our own emptying just what Django's leaves."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import TransactionTestCase

from inventory.models import LedgerEntry
from marketplace.accounts.models import User
from tests.emptying import by_django, empty
from tests.shop import Shop

pytestmark = pytest.mark.django_db(transaction=True)


def left():
    """How many rows each table has."""
    counts = {model._meta.db_table: model.objects.count() for model in apps.get_models(include_auto_created=True)}
    return {table: count for table, count in counts.items() if count}


def write_to_many_tables():
    Shop(None).stocked("mug", 3)
    group = Group.objects.create(name="those who write")
    group.permissions.add(Permission.objects.first())
    User.objects.create(username="ada").groups.add(group)


@pytest.mark.parametrize("spoil", ["nothing", "a new permission", "a permission that is gone", "a renamed type"])
def test_nothing_is_left_but_what_django_makes(spoil):
    case = TransactionTestCase()
    by_django(case)
    made = left()
    names = set(Permission.objects.values_list("content_type__app_label", "codename", "name"))

    empty(case)
    write_to_many_tables()
    assert LedgerEntry.objects.exists()
    if spoil == "a new permission":
        Permission.objects.create(codename="fly", name="Can fly", content_type=ContentType.objects.first())
    elif spoil == "a permission that is gone":
        Permission.objects.exclude(group=None).delete()
    elif spoil == "a renamed type":
        ContentType.objects.filter(model="user").update(model="buyer")
    empty(case)

    assert left() == made
    assert set(Permission.objects.values_list("content_type__app_label", "codename", "name")) == names


def test_a_table_is_found_that_was_written_to_and_emptied_by_hand():
    """Its pages are those of rows that are gone, and they would slow down who comes next."""
    case = TransactionTestCase()
    empty(case)
    Group.objects.create(name="those who write").delete()
    empty(case)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size('auth_group')")
        assert cursor.fetchone() == (0,)
