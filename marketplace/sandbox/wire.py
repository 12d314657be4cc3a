"""HTTP/1.1 as far as this service speaks it: small requests with a length, JSON both ways, connections kept alive.

And a little HTML, for the people who confirm a payment or look at the books.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

HEAD_LIMIT: Final = 16 * 1024  # bytes
BODY_LIMIT: Final = 64 * 1024  # bytes

# No script, no picture, no frame: a page of ours is text and buttons.
_OF_HTML: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_REQUEST_LINE: Final = re.compile(r"([A-Z]{1,20}) (/[!-~]*) HTTP/1\.1")
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a JSON body, and what the sender of it must know beside."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False  # the one who asked never gets it
    html: str = ""  # instead of the body


def error(status: int, code: str, message: str, **details: Any) -> Answer:
    return Answer(status, {"error": {"code": code, "message": message, **details}})


class Refused(Exception):
    """What was sent can't be answered but with `answer`."""

    def __init__(self, answer: Answer, *, hang_up: bool = False) -> None:
        self.answer = answer
        self.hang_up = hang_up  # where the next request would begin can't be told
        super().__init__(answer.body)


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    url: SplitResult  # still percent-encoded
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def is_last(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"

    def form(self) -> dict[str, str]:
        """Return the fields of a form, each given once. Raises `Refused`."""
        if (
            self.headers.get("content-type", "").partition(";")[0].strip().lower()
            != "application/x-www-form-urlencoded"
        ):
            raise Refused(error(415, "unsupported_media_type", "The body must be a form."))
        try:
            return dict(parse_qsl(self.body.decode("ascii"), max_num_fields=10))
        except ValueError:
            raise Refused(error(400, "malformed_form", "The body is not a form.")) from None

    def json(self) -> dict[str, Any]:
        """Return the body, an object; nothing at all reads as an empty one. Raises `Refused` for anything else."""
        if not self.body:
            return {}
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused(error(415, "unsupported_media_type", "The body must be application/json."))
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            raise Refused(error(400, "malformed_json", "The body is not JSON.")) from None
        if not isinstance(value, dict):
            raise Refused(error(400, "malformed_json", "The body must be a JSON object."))
        return value


def _malformed(message: str) -> Refused:
    return Refused(error(400, "malformed_request", message), hang_up=True)


async def read(reader: asyncio.StreamReader) -> Request | None:
    """Return the next request of a connection, or None when the other side has hung up. Raises `Refused`."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError:
        raise Refused(error(431, "headers_too_large", "The headers are too large."), hang_up=True) from None
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        raise _malformed("This is not an HTTP/1.1 request.")
    headers: dict[str, str] = {}
    for text in lines:
        header = _HEADER.fullmatch(text)
        if header is None:
            raise _malformed("A header is malformed.")
        name = header[1].lower()
        headers[name] = f"{headers[name]}, {header[2]}" if name in headers else header[2]
    try:
        url = urlsplit(line[2])
    except ValueError:
        raise _malformed("The address can't be read.") from None
    try:
        return Request(line[1], url, headers, await _body(reader, headers))
    except asyncio.IncompleteReadError:
        return None


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "transfer-encoding" in headers:
        raise Refused(error(501, "not_implemented", "Send a Content-Length, please."), hang_up=True)
    length = headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise _malformed("The Content-Length is not a number.")
    if int(length) > BODY_LIMIT:
        raise Refused(error(413, "body_too_large", "The body is too large."), hang_up=True)
    return await reader.readexactly(int(length))


def write(answer: Answer, *, hang_up: bool) -> bytes:
    """Return `answer` as it goes over the wire; `hang_up` tells the other side that the connection ends with it."""
    body = answer.html.encode() or json.dumps(answer.body, separators=(",", ":")).encode()
    headers = {
        **(_OF_HTML if answer.html else {"Content-Type": "application/json"}),
        "Content-Length": str(len(body)),
        **answer.headers,
        "Connection": "close" if hang_up else "keep-alive",
    }
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
