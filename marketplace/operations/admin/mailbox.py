"""The mailbox: mails that were collected instead of sent, as their recipients would have seen them."""

from email.message import EmailMessage
from typing import Any, Final
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import CharField, Model, OuterRef, Q, QuerySet, Subquery, UUIDField
from django.db.models.functions import Cast, Substr
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.views.decorators.clickjacking import xframe_options_sameorigin
from unfold.decorators import display

from marketplace.mail.models import CollectedMail
from marketplace.operations import wording
from marketplace.operations.admin.base import EndlessAdmin, StoryAdmin, age, as_uuid, order_link
from orders.messages import writing
from orders.messages.models import Message
from orders.models import Order
from orders.numbers import typed

# The mail's own styles, and nothing that moves or comes from elsewhere.
_MAIL_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-popups"
_SHOWN: Final = ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Language")


@admin.register(CollectedMail)
class MailboxAdmin(StoryAdmin, EndlessAdmin):
    """Read-only."""

    story_template = "operations/collected.html"
    list_display = ("collected", "subject", "recipient", "order_number", "enclosed")
    list_display_links = ("subject",)
    search_fields = ("recipient",)  # what is really looked for is in get_search_results
    search_help_text = "Order number or id, or e-mail address: in full"
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[CollectedMail]":
        """Add the order of each mail, for the page that is shown: the id of its record is in the Message-ID."""
        recorded = Message.objects.filter(pk=Cast(Substr(OuterRef("message_id"), 2, 36), UUIDField()))
        rows: QuerySet[CollectedMail] = super().get_queryset(request)
        return rows.annotate(
            order_id=Subquery(recorded.values("order_id")[:1]),
            number=Subquery(recorded.values("order__number")[:1], output_field=CharField()),
        )

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[CollectedMail]", search_term: str
    ) -> tuple["QuerySet[CollectedMail]", bool]:
        """Find by what people have in hand."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if "@" in term:
            return queryset.filter(recipient__iexact=term), False
        identity = as_uuid(term)
        number = typed(term)
        orders = Order.objects.filter(Q(pk=identity) if identity else Q(number=number))
        ids = Message.objects.filter(order_id__in=orders.values("id")).values_list("id", flat=True)
        return queryset.filter(message_id__in=[writing.message_id(one) for one in ids]), False

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses of a mail's parts."""
        found: list[URLPattern] = super().get_urls()
        html = self.admin_site.admin_view(self.html)
        part = self.admin_site.admin_view(self.attachment)
        return [
            path("<int:mail_id>/html/", html, name="mail_collectedmail_html"),
            path("<int:mail_id>/attachments/<int:number>/", part, name="mail_collectedmail_attachment"),
            *found,
        ]

    def story(self, request: HttpRequest, obj: Model) -> dict[str, Any]:
        """The mail in both of its forms, its heads, and what is enclosed."""
        assert isinstance(obj, CollectedMail)  # noqa: S101 - for the type checker
        mail = obj.parsed
        text = mail.get_body(("plain",))
        message = message_of(obj)
        return {
            "mail": obj,
            "heads": [(name, str(mail[name])) for name in _SHOWN if mail[name]],
            "text": text.get_content() if text is not None else "",
            "attachments": [one.get_filename() or "without a name" for one in mail.iter_attachments()],
            "message": message,
        }

    @staticmethod
    def _mail(request: HttpRequest, mail_id: int) -> EmailMessage:
        if not request.user.has_perm("mail.view_collectedmail"):
            raise PermissionDenied
        found = CollectedMail.objects.filter(pk=mail_id).first()
        if found is None:
            raise Http404
        return found.parsed

    def html(self, request: HttpRequest, mail_id: int) -> HttpResponse:
        """The HTML of a mail, for a frame of ours; it can't do anything there."""
        part = self._mail(request, mail_id).get_body(("html",))
        content = part.get_content() if part is not None else "<p>This mail has no HTML.</p>"
        return _framed(request, content)

    def attachment(self, request: HttpRequest, mail_id: int, number: int) -> HttpResponse:
        """What is enclosed, as a file to keep."""
        enclosed = list(self._mail(request, mail_id).iter_attachments())
        if not 0 < number <= len(enclosed):
            raise Http404
        part = enclosed[number - 1]
        content = part.get_payload(decode=True)
        response = HttpResponse(content, content_type=part.get_content_type())
        response.headers["Content-Disposition"] = f'attachment; filename="{_plain(part.get_filename() or "file")}"'
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @display(description="collected", ordering="id")
    def collected(self, mail: CollectedMail) -> SafeString | str:
        """How long ago."""
        return age(mail.collected_at)

    @display(description="order")
    def order_number(self, mail: Any) -> SafeString | str:
        """The order that it is about."""
        return order_link(mail.order_id, mail.number)

    @display(description="enclosed")
    def enclosed(self, mail: CollectedMail) -> str:
        """The names of what goes along."""
        names = [part.get_filename() or "a file" for part in mail.parsed.iter_attachments()]
        return ", ".join(names) or wording.NOTHING


@xframe_options_sameorigin
def _framed(request: HttpRequest, content: str) -> HttpResponse:
    return HttpResponse(content, headers={"Content-Security-Policy": _MAIL_POLICY})


def _plain(name: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_. " else "_" for sign in name)


def message_of(mail: CollectedMail) -> Message | None:
    """The record of a mail: its id is in the Message-ID."""
    try:
        identity = UUID(mail.message_id.strip("<>").partition("@")[0])
    except ValueError:
        return None
    return Message.objects.select_related("order").filter(pk=identity).first()
