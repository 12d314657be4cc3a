"""The catalogue as a sheet: written down, and taken in again once somebody has seen what it would change."""

import base64
import binascii
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextInputWidget

from inventory.errors import SheetOutdated, SheetRefused
from inventory.sheets import services as sheets
from inventory.sheets.columns import COLUMNS
from inventory.sheets.planning import Plan
from inventory.sheets.reading import MOST_BYTES
from marketplace.kernel.clock import database_now

MOST_SHOWN: Final = 200
NEEDED: Final = ("inventory.add_product", "inventory.change_product", "inventory.change_stock")


class FileForm(forms.Form):
    """The file, and why."""

    sheet = forms.FileField(
        label="CSV file",
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
        error_messages={"empty": "The file is empty."},
    )
    reason = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="Goes into the stock ledger where the stock changes, for example “yearly count of 2026”.",
    )

    def clean_sheet(self) -> bytes:
        """Take no more of it than can be read."""
        uploaded: UploadedFile[bytes] = self.cleaned_data["sheet"]
        return uploaded.read(MOST_BYTES + 1) or b""


class DecisionForm(forms.Form):
    """The same file again, sent back by the page that has shown what it would do, and the fingerprint of that.

    In base64, because browsers change the ends of the lines of what they send.
    """

    content = forms.CharField(widget=forms.HiddenInput)
    digest = forms.CharField(max_length=64, widget=forms.HiddenInput)
    reason = forms.CharField(max_length=200, widget=forms.HiddenInput)

    def clean_content(self) -> bytes:
        """Unpack the file."""
        try:
            return base64.b64decode(self.cleaned_data["content"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise forms.ValidationError("Not what the page has sent.") from error


class SheetPages:
    """For the admin of products: two buttons above its list."""

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Who may look at products."""
        return request.user.has_perm("inventory.view_product")

    def has_import_permission(self, request: HttpRequest) -> bool:
        """Who may change everything that a sheet can change."""
        return request.user.has_perms(NEEDED)

    @action(description="Export as CSV", permissions=["export"], url_path="export", icon="download")
    def export_sheet(self, request: HttpRequest) -> HttpResponseBase:
        """Send the catalogue as a file."""
        name = f"products-{database_now():%Y-%m-%d}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingHttpResponse(sheets.write(), content_type="text/csv; charset=utf-8", headers=headers)

    @action(description="Import from CSV", permissions=["import"], url_path="import", icon="upload")
    def import_sheet(self, request: HttpRequest) -> HttpResponseBase:
        """Ask for a file; show what it would do; do it."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        if request.method == "POST" and "digest" in request.POST:
            return self._decided(request)
        form = FileForm(request.POST, request.FILES) if request.method == "POST" else FileForm()
        if not form.is_valid():
            return self._page(request, {"form": form})
        content = form.cleaned_data["sheet"]
        return self._previewed(request, content, sheets.preview(content), form.cleaned_data["reason"])

    def _decided(self, request: HttpRequest) -> HttpResponseBase:
        form = DecisionForm(request.POST)
        if not form.is_valid():
            messages.error(request, "Something was missing, so nothing was changed. Choose the file again.")
            return HttpResponseRedirect(request.path)
        content, reason = form.cleaned_data["content"], form.cleaned_data["reason"]
        who = request.user.get_username()
        try:
            done = sheets.take_in(
                content, digest=form.cleaned_data["digest"], now=database_now(), actor=who, reason=reason
            )
        except (SheetOutdated, SheetRefused) as error:
            messages.error(request, f"Nothing was changed. {error.message}")
            return self._previewed(request, content, sheets.preview(content), reason)
        self._log(request, done, reason)
        messages.success(request, f"Taken in: {len(done.new)} new, {len(done.changed)} changed.")
        return HttpResponseRedirect(reverse("admin:inventory_product_changelist"))

    def _log(self, request: HttpRequest, done: Plan, reason: str) -> None:
        admin: Any = self
        for change in done.changes:
            said = ", ".join(f"{one.column}: {one.before} → {one.after}" for one in change.differences)
            write = admin.log_addition if change.is_new else admin.log_change
            write(request, change.product, f"By a sheet ({reason}): {said}")

    def _previewed(self, request: HttpRequest, content: bytes, plan: Plan, reason: str) -> HttpResponseBase:
        context: dict[str, Any] = {"plan": plan, "most": MOST_SHOWN, "most_shown": f":{MOST_SHOWN}", "reason": reason}
        if plan.changes and not plan.problems:
            packed = base64.b64encode(content).decode()
            context["decision"] = DecisionForm(initial={"content": packed, "digest": plan.digest, "reason": reason})
        else:
            context["form"] = FileForm(initial={"reason": reason})
        return self._page(request, context)

    def _page(self, request: HttpRequest, context: dict[str, Any]) -> TemplateResponse:
        admin: Any = self
        frame = {
            **admin.admin_site.each_context(request),
            "opts": admin.opts,
            "title": "Import products from CSV",
            "columns": COLUMNS,
        }
        return TemplateResponse(request, "operations/sheet.html", {**frame, **context})
