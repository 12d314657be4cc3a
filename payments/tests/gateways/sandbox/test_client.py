"""How the client reads answers, good and strange, and that it survives threads and forks."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import pytest

from payments import gateways
from payments.gateways.base import GatewayUnavailable, Outcome
from payments.gateways.sandbox.client import SandboxGateway

JSON = "application/json"


def authorize(gateway, key=None):
    return gateway.authorize(key=key or str(uuid4()), amount_minor=100, currency="EUR", method="tok_visa", metadata={})


@pytest.fixture
def strange():
    """A server that answers every request with what `server.answer` says: status, media type, body."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, media_type, body = self.server.answer
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        server.gateway = SandboxGateway(url=f"http://127.0.0.1:{server.server_port}", api_key="sk", timeout_seconds=30)
        yield server
        server.gateway.close()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "code", "nothing_happened"),
    [
        ((503, JSON, b'{"error": {"code": "processor_unavailable", "message": "m"}}'), "processor_unavailable", True),
        ((401, JSON, b'{"error": {"code": "unauthorized", "message": "m"}}'), "unauthorized", True),
        ((422, JSON, b'{"error": {"code": "idempotency_key_reused"}}'), "idempotency_key_reused", False),
        ((503, "text/html", b"<h1>Service Unavailable</h1>"), "unreadable_answer", False),
        ((502, "text/html", b"<h1>Bad Gateway</h1>"), "unreadable_answer", False),
        ((500, JSON, b'{"error": {"code": "internal_error", "message": "m"}}'), "internal_error", False),
        ((500, JSON, b'{"error": {"code": "card_declined", "message": "m"}}'), "card_declined", False),
        ((404, "text/html", b"not found"), "unreadable_answer", False),
        ((402, JSON, b'{"error": "card_declined"}'), "unreadable_answer", False),
        ((402, JSON, b'{"error": {"code": "a_new_word", "message": "m"}}'), "a_new_word", False),
        ((200, "text/html", b"<h1>Welcome</h1>"), "unreadable_answer", False),
        ((200, JSON, b"[]"), "unreadable_answer", False),
        ((201, JSON, b"{}"), "unreadable_answer", False),
        ((302, JSON, b""), "unreadable_answer", False),
    ],
)
def test_what_is_not_understood_is_unknown(strange, answer, code, nothing_happened):
    strange.answer = answer
    reply = authorize(strange.gateway)
    assert (reply.outcome, reply.code, reply.nothing_happened) == (Outcome.UNKNOWN, code, nothing_happened)
    assert reply.message


@pytest.mark.parametrize(
    "answer",
    [
        (200, "text/html", b"<h1>Welcome</h1>"),
        (404, JSON, b'{"error": {"code": "no_such_page"}}'),
        (503, JSON, b'{"error": {"code": "processor_unavailable"}}'),
        (401, JSON, b'{"error": {"code": "unauthorized"}}'),
    ],
)
def test_books_that_cannot_be_read_are_not_taken_for_empty(strange, answer):
    strange.answer = answer
    with pytest.raises(GatewayUnavailable):
        strange.gateway.find(authorization_key="a")
    with pytest.raises(GatewayUnavailable):
        list(strange.gateway.list(since=datetime.now(UTC)))


def test_a_wrong_api_key_is_no_refusal(sandbox_gateway):
    gateway = SandboxGateway(url=sandbox_gateway.url, api_key="wrong", timeout_seconds=30)
    reply = authorize(gateway)
    assert (reply.outcome, reply.code, reply.nothing_happened) == (Outcome.UNKNOWN, "unauthorized", True)
    assert sandbox_gateway.charges() == []


def test_nobody_else_is_between_us(sandbox_gateway, monkeypatch, nobody_listens):
    monkeypatch.setenv("HTTP_PROXY", nobody_listens)
    monkeypatch.setenv("ALL_PROXY", nobody_listens)
    assert authorize(sandbox_gateway.gateway()).outcome is Outcome.DONE


def test_many_threads_share_one_client(sandbox_gateway):
    gateway = sandbox_gateway.gateway()
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda _: authorize(gateway), range(100)))
    assert {reply.outcome for reply in replies} == {Outcome.DONE}
    assert len({reply.reference for reply in replies}) == 100
    assert len(gateway._clients) == 1
    gateway.close()


def test_a_forked_process_makes_connections_of_its_own(sandbox_gateway):
    gateway = sandbox_gateway.gateway()
    authorize(gateway)
    ours = gateway._clients[os.getpid()]
    key = str(uuid4())
    child = os.fork()
    if not child:
        status = 1
        try:
            same = gateway._clients.get(os.getpid())
            done = [authorize(gateway, key).outcome for _ in range(2)] == [Outcome.DONE, Outcome.DONE]
            status = 0 if same is None and done and gateway._clients[os.getpid()] is not ours else 1
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert authorize(gateway).outcome is Outcome.DONE
    assert gateway._clients[os.getpid()] is ours
    assert len(sandbox_gateway.charges()) == 3
    gateway.close()


class TestByName:
    def test_the_settings_name_the_gateway(self, sandbox_gateway):
        assert gateways.gateway() is gateways.gateway("sandbox")
        assert authorize(gateways.gateway()).outcome is Outcome.DONE
        assert len(sandbox_gateway.charges()) == 1

    def test_other_settings_are_another_client(self, sandbox_gateway, settings, nobody_listens):
        before = gateways.gateway()
        settings.SANDBOX_GATEWAY_URL = nobody_listens
        assert gateways.gateway() is not before
        assert authorize(gateways.gateway()).code == "gateway_unreachable"

    def test_an_unknown_name_is_an_error(self):
        with pytest.raises(ValueError, match="no payment gateway called 'bank'"):
            gateways.gateway("bank")
