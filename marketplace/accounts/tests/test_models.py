import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError

pytestmark = pytest.mark.django_db


def test_a_user_is_known_by_a_uuid_and_a_unique_name():
    ada = get_user_model().objects.create_user("ada", password="x")

    assert ada.pk.version == 7
    assert ada.check_password("x")
    with pytest.raises(IntegrityError):
        get_user_model().objects.create_user("ada")
