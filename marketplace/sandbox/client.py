"""What the shop's clients of its sandboxes have in common: connections, the reading of answers, and signatures."""

import os
import ssl
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import httpx
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

_CONNECT_SECONDS: Final = 3.0
_CONNECTIONS: Final = 200


class SandboxClient:
    """A client of the sandbox at `url`. One object serves all threads, and any process forked from this one.

    `timeout_seconds` is for the whole answer. Without a `webhook_secret` no webhook is taken for genuine.
    """

    def __init__(self, *, url: str, api_key: str, timeout_seconds: float, webhook_secret: str = "") -> None:
        self._url = url
        self._webhook = Webhook(webhook_secret) if webhook_secret else None
        self._api_key = api_key
        self._timeout = httpx.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds))
        self._clients: dict[int, httpx.Client] = {}  # by process: two must never write to one connection

    def close(self) -> None:
        """Close this process's idle connections. The next call opens new ones."""
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()

    def _client(self) -> httpx.Client:
        client = self._clients.get(os.getpid())
        if client is None:
            with _making:
                client = self._clients.get(os.getpid()) or httpx.Client(
                    base_url=self._url,
                    headers={"Authorization": f"Bearer {self._api_key}"},
                    timeout=self._timeout,
                    limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
                    verify=certificates(),
                    trust_env=False,  # no proxy stands between us and a service of our own
                )
                self._clients[os.getpid()] = client
        return client

    def _is_genuine(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Whether a webhook was signed with our secret, in the last five minutes."""
        if self._webhook is None:
            return False
        try:  # the library compares in constant time, and tolerates five minutes either way
            self._webhook.verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError):  # a signature may be no base64, a body no text
            return False
        return True


@cache
def certificates() -> ssl.SSLContext:
    """Whom to trust. Read once: reading it for each client takes longer than anything else that a client does."""
    return httpx.create_ssl_context(trust_env=False)


# Held while a client is made, so that threads that start together share one; made anew in a forked process, because
# the thread that held it may not have come along.
_making = threading.Lock()


def _make_anew() -> None:
    global _making  # noqa: PLW0603 a lock can't be reset in place
    _making = threading.Lock()


os.register_at_fork(after_in_child=_make_anew)


def json_of(response: httpx.Response) -> Any:
    """The body, or None when it is not JSON."""
    try:
        return response.json()
    except ValueError:
        return None


def error_of(body: Any) -> Mapping[str, Any]:
    """What a body says of what was wrong; nothing, where it says nothing that could be read."""
    found = body.get("error") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}
