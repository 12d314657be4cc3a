"""A PDF as the answer to a request."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from marketplace.paper.languages import UnknownLocale, locale_of

PDF = "application/pdf"
SCHEMA = {(200, PDF): OpenApiTypes.BINARY}  # of `extend_schema(responses=…)`
LOCALE = OpenApiParameter(
    "locale", str, description="whose words, amounts and dates, such as `de` or `en-GB`; default: the buyer's language"
)


class PdfRenderer(BaseRenderer):
    """So that a client may ask for `application/pdf`. The views answer by `respond`, which needs no renderer."""

    media_type = PDF
    format = "pdf"
    charset = None
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> Any:
        """Return what is rendered already."""
        return data


RENDERERS = (PdfRenderer, JSONRenderer)  # JSON for whoever asks for that: errors are in it


def respond(content: bytes, filename: str) -> HttpResponse:
    """Answer with a PDF that a browser shows, and saves as `filename` (ASCII). It is nobody's but the caller's."""
    headers = {"Content-Disposition": f'inline; filename="{filename}"', "Cache-Control": "private, no-store"}
    return HttpResponse(content, content_type=PDF, headers=headers)


def asked_locale(request: Request) -> str:
    """Return the `locale` that a request asks for, empty where it names none; raises ValidationError for no locale."""
    tag = request.query_params.get("locale", "")
    if tag:
        try:
            locale_of(tag)
        except UnknownLocale as error:
            raise ValidationError({"locale": str(error)}) from error
    return tag
