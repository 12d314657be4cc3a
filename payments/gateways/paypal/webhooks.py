"""PayPal's webhooks: verified here, by PayPal's certificate, so that nobody has to be asked while the sender waits.

What is signed is `transmission id|transmission time|webhook id|CRC-32 of the raw body`, by RSA with SHA-256. (Source:
PayPal, "Integrate webhooks", section "Verify the signature yourself".)
"""

import base64
import binascii
import json
import re
import zlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from django.utils import timezone

from payments.gateways.base import GatewayUnavailable, NotGenuine, Notice, NotUnderstood
from payments.gateways.paypal import reading

TOLERANCE: Final = timedelta(minutes=5)

_OF_CAPTURE: Final = re.compile(r"/v2/payments/captures/([A-Za-z0-9-]{1,50})$")
_ALGORITHM: Final = "SHA256withRSA"
_HOST: Final = re.compile(r"([a-z0-9]+(-[a-z0-9]+)*\.)+paypal\.com")  # no name that two readers may read in two ways
_VISIBLE: Final = re.compile(r"[!-~]{1,1000}")
_LONGEST_CERTIFICATE: Final = 64 * 1024  # bytes


def verify(*, body: bytes, headers: Mapping[str, str], webhook_id: str, base: str) -> Notice:
    """Return what a genuine webhook says.

    The certificate is fetched from PayPal once, and kept. Raises `NotGenuine`, `NotUnderstood`, and
    `GatewayUnavailable` when PayPal does not hand out its certificate now.
    """
    said = {name.lower(): value for name, value in headers.items()}
    try:
        transmission, sent_at = said["paypal-transmission-id"], said["paypal-transmission-time"]
        signature = base64.b64decode(said["paypal-transmission-sig"], validate=True)
        address = said["paypal-cert-url"]
        at = datetime.fromisoformat(sent_at)
    except (LookupError, ValueError, binascii.Error) as problem:
        raise NotGenuine from problem
    if said.get("paypal-auth-algo") != _ALGORITHM or at.tzinfo is None or abs(timezone.now() - at) > TOLERANCE:
        raise NotGenuine
    if not webhook_id or not _is_paypals(address, base):
        raise NotGenuine
    signed = f"{transmission}|{sent_at}|{webhook_id}|{zlib.crc32(body)}".encode()
    try:
        _key(address).verify(signature, signed, PKCS1v15(), SHA256())
    except InvalidSignature as problem:
        raise NotGenuine from problem
    return _notice(body)


def _is_paypals(address: str, base: str) -> bool:
    """Whether a certificate at this address is PayPal's own: by TLS from PayPal, or from where its API is."""
    try:
        asked, api = urlsplit(address), urlsplit(base)
        asked_port = asked.port
    except ValueError:
        return False
    if (asked.scheme, asked.hostname, asked_port) == (api.scheme, api.hostname, api.port):
        return True
    host = asked.hostname or ""
    return (
        asked.scheme == "https"
        and _HOST.fullmatch(host) is not None
        and asked_port in {None, 443}
        and asked.username is None
        and _VISIBLE.fullmatch(address) is not None
    )


@lru_cache(maxsize=8)
def _key(address: str) -> RSAPublicKey:
    try:
        answer = httpx.get(address, timeout=2.0, follow_redirects=False)
    except httpx.HTTPError as problem:
        raise GatewayUnavailable(reason="no_certificate") from problem
    if answer.status_code >= 500:
        raise GatewayUnavailable(reason="no_certificate", status=answer.status_code)
    try:
        if answer.status_code != 200 or len(answer.content) > _LONGEST_CERTIFICATE:
            raise NotGenuine
        certificate = x509.load_pem_x509_certificates(answer.content)[0]
    except ValueError as problem:
        raise NotGenuine from problem
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey) or certificate.not_valid_after_utc < timezone.now():
        raise NotGenuine
    return key


def _notice(body: bytes) -> Notice:
    try:
        said = json.loads(body)
        about: Mapping[str, Any] = said["resource"]
        units = about.get("purchase_units") or [{}]
        custom = str(about.get("custom_id") or units[0].get("custom_id") or "")
        return Notice(
            event_id=str(said["id"]),
            kind=str(said["event_type"]),
            authorization_key=reading.key_in(custom),
            reference=_order_id(str(said.get("resource_type", "")), about),
            occurred_at=datetime.fromisoformat(said["create_time"]),
        )
    except (ValueError, TypeError, LookupError, AttributeError) as problem:
        raise NotUnderstood from problem


def _order_id(kind: str, about: Mapping[str, Any]) -> str:
    if kind == "checkout-order":
        return str(about["id"])
    related = (about.get("supplementary_data") or {}).get("related_ids") or {}
    return str(related.get("order_id") or "") or _capture_above(about)


def _capture_above(about: Mapping[str, Any]) -> str:
    """What a refund names that was made at PayPal's own dashboard: the capture that it is of, by a link."""
    above = [str(link["href"]) for link in about.get("links") or [] if link.get("rel") == "up"]
    captures = [found[1] for href in above if (found := _OF_CAPTURE.search(urlsplit(href).path))]
    return f"{reading.CAPTURE}{captures[0]}" if captures else ""
