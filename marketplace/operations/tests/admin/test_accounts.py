import pytest
from django.urls import reverse
from rest_framework.authtoken.models import Token

from marketplace.accounts.models import User

pytestmark = pytest.mark.django_db
USERS = "/admin/accounts/user/"


def test_a_login_is_made_and_its_name_then_stays(staff):
    data = {"username": "user-7", "password1": "long-enough-7", "password2": "long-enough-7", "usable_password": "true"}
    assert staff.post(reverse("admin:accounts_user_add"), data).status_code == 302
    user = User.objects.get(username="user-7")
    assert user.check_password("long-enough-7")
    page = reverse("admin:accounts_user_change", args=[user.pk])
    assert staff.post(page, {"username": "somebody-else", "email": "new@example.com"}).status_code == 302
    user.refresh_from_db()
    assert (user.username, user.email, user.is_active) == ("user-7", "new@example.com", False)


def test_tokens_are_revoked_and_never_shown(staff):
    keep, revoke = (User.objects.create_user(name) for name in ("keep", "revoke"))
    tokens = {user: Token.objects.create(user=user).key for user in (keep, revoke)}
    for path in (USERS, reverse("admin:accounts_user_change", args=[keep.pk])):
        html = staff.get(path).content.decode()
        assert not any(key in html for key in tokens.values())
    response = staff.post(USERS, {"action": "revoke_tokens", "_selected_action": [str(revoke.pk)]}, follow=True)
    assert "1 token revoked." in response.content.decode()
    assert set(Token.objects.values_list("key", flat=True)) == {tokens[keep]}


def test_a_clerk_revokes_nothing(clerk):
    token = Token.objects.create(user=User.objects.create_user("user-7"))
    clerk.post(USERS, {"action": "revoke_tokens", "_selected_action": [str(token.user_id)]})
    assert Token.objects.filter(pk=token.pk).exists()
