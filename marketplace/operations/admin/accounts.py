"""People with a login, and what they may do."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from rest_framework.authtoken.models import Token, TokenProxy
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, AuthenticationForm, UserChangeForm, UserCreationForm

from marketplace.accounts.doors import Counting
from marketplace.accounts.models import User

admin.site.unregister(Group)
admin.site.unregister(TokenProxy)  # its list shows every token in full: whoever sees it could order as anybody


class SignInForm(Counting, AuthenticationForm):
    """Who comes in."""


admin.site.login_form = SignInForm


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    """A login is switched off and never deleted, and keeps its name: orders name their buyer by it."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login", "date_joined")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("username", "email")
    show_full_result_count = False
    actions = ("revoke_tokens",)

    @admin.action(description="Revoke the API tokens of the selected users", permissions=["change"])
    def revoke_tokens(self, request: HttpRequest, queryset: "QuerySet[User]") -> None:
        """Delete their tokens; programs that use them are turned away at once, and a new one is made on request."""
        count, _ = Token.objects.filter(user__in=queryset).delete()
        self.message_user(request, f"{count} token{'s' * (count != 1)} revoked.", messages.SUCCESS)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """The name is fixed once the login is made."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return (*fields, "username", "last_login", "date_joined") if obj else fields

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody: the next person of that name would see the orders."""
        return False


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Sets of permissions."""
