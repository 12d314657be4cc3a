"""What buyers were told by mail, what became of each mail, and having one sent again."""

from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminEmailInputWidget

from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.ids import new_id
from marketplace.mail.letters import masked
from marketplace.mail.models import CollectedMail
from marketplace.operations import wording
from marketplace.operations.admin.base import EndlessAdmin, StoryAdmin, age, as_uuid, order_link
from marketplace.operations.admin.decisions import ReasonForm
from orders.messages import again, writing
from orders.messages.models import Message
from orders.messages.selectors import messages_of
from orders.models import Order
from orders.numbers import typed

MAY_RESEND: Final = "orders.resend_message"


class AgainForm(ReasonForm):
    """To whom and why. `wish` is drawn for each form: pressed twice, it is one mail."""

    wish = forms.UUIDField(widget=forms.HiddenInput)
    recipient = forms.EmailField(
        label="To",
        help_text="Another address than before, if that one was wrong.",
        widget=UnfoldAdminEmailInputWidget(),
    )
    field_order = ("recipient", "reason", "wish")


@admin.register(Message)
class MessageAdmin(StoryAdmin, EndlessAdmin):
    """Read-only, but for two things: a mail can be sent again, and those that were given up can be tried again."""

    story_template = "operations/message.html"
    actions = ("try_again",)
    list_display = ("created", "order_number", "kind_label", "to", "status_label", "came_of_it", "tries")
    list_display_links = ("created",)
    list_filter = ("status", "kind", "language")
    list_select_related = ("order",)
    search_fields = ("recipient",)  # what is really looked for is in get_search_results
    search_help_text = "Order number, order or mail id, or e-mail address: in full"
    ordering = ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Message]", search_term: str
    ) -> tuple["QuerySet[Message]", bool]:
        """Find by what people have in hand."""
        term = search_term.strip()
        if not term:
            return queryset, False
        identity = as_uuid(term)
        if identity is not None:
            return queryset.filter(pk=identity) | queryset.filter(order_id=identity), False
        if "@" in term:
            return queryset.filter(recipient__iexact=term), False
        number = typed(term)
        return queryset.filter(order_id__in=Order.objects.filter(number=number).values("id")), False

    def get_urls(self) -> list[URLPattern]:
        """Add the page on which a mail is sent again."""
        found: list[URLPattern] = super().get_urls()
        view = self.admin_site.admin_view(self.send_again)
        return [path("again/<uuid:message_id>/", view, name="orders_message_again"), *found]

    def has_resend_permission(self, request: HttpRequest) -> bool:
        """Whoever has been given it."""
        return request.user.has_perm(MAY_RESEND)

    @admin.action(description="Try those that failed once more, now", permissions=["resend"])
    def try_again(self, request: HttpRequest, queryset: "QuerySet[Message]") -> None:
        """Make what was given up due again, with all its time; none of these was ever taken by a server."""
        ids = list(queryset.values_list("pk", flat=True))
        count = again.try_again_now(ids, actor=request.user.get_username(), now=database_now())
        said = "One mail is" if count == 1 else f"{count} mails are"
        self.message_user(request, f"{said} tried again.", messages.SUCCESS if count else messages.WARNING)

    def story(self, request: HttpRequest, obj: Model) -> dict[str, Any]:
        """The mail, the others about its order, and who had it sent again."""
        assert isinstance(obj, Message)  # noqa: S101 - for the type checker
        others = [one for one in messages_of(obj.order_id) if one.pk != obj.pk]
        collected = CollectedMail.objects.filter(message_id=writing.message_id(obj.id)).values_list("pk", flat=True)
        return {
            "message": obj,
            "others": others,
            "repeats": [one for one in others if one.again_of == obj.id],
            "collected": collected.first() if request.user.has_perm("mail.view_collectedmail") else None,
            "may_resend": self.has_resend_permission(request),
            "message_id": writing.message_id(obj.id),
        }

    def send_again(self, request: HttpRequest, message_id: UUID) -> HttpResponseBase:
        """Ask to whom and why; then have it sent."""
        if not self.has_resend_permission(request):
            raise PermissionDenied
        message = Message.objects.select_related("order").filter(pk=message_id).first()
        if message is None:
            raise Http404
        initial = {"wish": new_id(), "recipient": message.recipient}
        form = AgainForm(request.POST if request.method == "POST" else None, initial=initial)
        if form.is_valid():
            try:
                row = again.send_again(
                    message.pk,
                    wish=str(form.cleaned_data["wish"]),
                    actor=request.user.get_username(),
                    reason=form.cleaned_data["reason"],
                    recipient=form.cleaned_data["recipient"],
                    now=database_now(),
                )
            except MarketplaceError as error:
                messages.error(request, error.message)
                return HttpResponseRedirect(reverse("admin:orders_message_change", args=[message.pk]))
            messages.success(request, "It is on its way, and on record under your name.")
            return HttpResponseRedirect(reverse("admin:orders_message_change", args=[row.pk]))
        title = f"Send again: {message.get_kind_display()}, {message.order.number}"
        context = {"title": title, "original": title, "message": message, "form": form}
        return self.page(request, message, "operations/message_again.html", context)

    @display(description="written down", ordering="id")
    def created(self, message: Message) -> SafeString | str:
        """How long ago."""
        return age(message.created_at)

    @display(description="order")
    def order_number(self, message: Message) -> SafeString | str:
        """The order that it is about."""
        return order_link(message.order_id, message.order.number)

    @display(description="what", ordering="kind")
    def kind_label(self, message: Message) -> str:
        """What it says, and whether somebody had it sent again."""
        return f"{message.get_kind_display()}{' (again)' if message.again_of else ''}"

    @display(description="to")
    def to(self, message: Message) -> SafeString:
        """To whom, without telling everybody who looks over one's shoulder."""
        return format_html('<span class="ops-number">{}</span>', masked(message.recipient) or "nobody")

    @display(description="status", ordering="status", label=dict(wording.COLOUR_OF_MESSAGE))
    def status_label(self, message: Message) -> str:
        """The status in its colour."""
        return message.status.replace("_", " ")

    @display(description="what came of it")
    def came_of_it(self, message: Message) -> str:
        """Why it was not sent, or not yet; or what it was called."""
        return message.outcome or message.subject or wording.NOTHING
