"""The way to PayPal: the SDK's client, and what it means when it raises."""

import json
from typing import Any, Final

import requests
from apimatic_core.exceptions.auth_validation_exception import AuthValidationException
from paypalserversdk.configuration import Configuration
from paypalserversdk.exceptions.api_exception import ApiException
from paypalserversdk.http.auth.o_auth_2 import ClientCredentialsAuthCredentials
from paypalserversdk.paypal_serversdk_client import PaypalServersdkClient

from payments.gateways.base import Outcome, Reply
from payments.gateways.unanswered import unanswered

PayPalError = (ApiException, AuthValidationException, requests.RequestException)

_ISSUES: Final = {
    "INSTRUMENT_DECLINED": "instrument_declined",
    "PAYER_CANNOT_PAY": "instrument_declined",
    "TRANSACTION_REFUSED": "instrument_declined",
    "AUTHORIZATION_ALREADY_CAPTURED": "already_captured",
    "PREVIOUSLY_CAPTURED": "already_captured",
    "AUTHORIZATION_VOIDED": "authorization_voided",
    "PREVIOUSLY_VOIDED": "authorization_voided",
    "AUTHORIZATION_EXPIRED": "authorization_expired",
    "MAX_CAPTURE_AMOUNT_EXCEEDED": "amount_too_large",
    "REFUND_AMOUNT_EXCEEDED": "amount_too_large",
    "CAPTURE_FULLY_REFUNDED": "nothing_left",
    "INVALID_RESOURCE_ID": "authorization_not_found",
}


class _At(Configuration):  # type: ignore[misc] # the SDK has no types
    """The SDK's configuration for any address, not only for PayPal's two."""

    def __init__(self, base: str, **arguments: Any) -> None:
        self._base = base
        super().__init__(**arguments)

    def get_base_uri(self, server: Any = None) -> str:
        return self._base


def connect(*, base: str, client_id: str, secret: str, timeout_seconds: float) -> PaypalServersdkClient:
    """Return a client that makes every call once: the saga repeats calls, and one layer owns retries."""
    credentials = ClientCredentialsAuthCredentials(o_auth_client_id=client_id, o_auth_client_secret=secret)
    return PaypalServersdkClient(
        config=_At(
            base, timeout=timeout_seconds, max_retries=0,
            client_credentials_auth_credentials=credentials,
        )
    )  # fmt: skip


def body(response: Any) -> dict[str, Any]:
    """The answer as PayPal wrote it: the SDK's models drop what they don't know."""
    return json.loads(response.text) if response.text else {}


def issue(error: BaseException) -> str:
    """PayPal's most exact word for what is wrong; empty where it gave none."""
    problem = _problem(error)
    details = problem.get("details") or [{}]
    return str(details[0].get("issue") or problem.get("name") or "")


def not_found(error: BaseException) -> bool:
    return isinstance(error, ApiException) and error.response_code == 404


def reply(error: BaseException) -> Reply:
    """What we know after `error`: a final no, or nothing."""
    if isinstance(error, requests.RequestException):
        return unanswered(error)
    if isinstance(error, AuthValidationException):
        message = "PayPal does not accept our credentials."
        return Reply(Outcome.UNKNOWN, code="unauthorized", message=message, nothing_happened=True)
    status = error.response_code if isinstance(error, ApiException) else 0
    word = issue(error)
    problem = _problem(error)
    details = problem.get("details") or [{}]
    message = str(details[0].get("description") or problem.get("message") or "PayPal did not say why.")
    if status in {400, 404, 422}:
        code = _ISSUES.get(word) or ("authorization_not_found" if status == 404 else "invalid_request")
        return Reply(Outcome.REFUSED, code=code, message=message)
    code = (word or f"status_{status}").lower()
    return Reply(Outcome.UNKNOWN, code=code, message=message, nothing_happened=status in {401, 403, 429})


def _problem(error: BaseException) -> dict[str, Any]:
    if not isinstance(error, ApiException):
        return {}
    try:
        found = json.loads(error.response.text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
