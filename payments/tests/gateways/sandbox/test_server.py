"""The sandbox gateway's service as a whole: its door, its tokens, and what a crash leaves of it."""

import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from marketplace.sandbox.testing import wait_until
from payments.gateways.base import ChargeStatus, Outcome
from payments.testing import SandboxServer

BODY = {"amount_minor": 1299, "currency": "EUR", "method": "tok_visa", "metadata": {"order": "1"}}


def new_key():
    return f"{uuid4()}:authorize_payment"


def authorize(gateway, key, method="tok_visa"):
    return gateway.authorize(key=key, amount_minor=1299, currency="EUR", method=method, metadata={})


@pytest.fixture
def http(sandbox_gateway):
    """Plain HTTP to the service, with the right key."""
    headers = {"Authorization": f"Bearer {sandbox_gateway.api_key}"}
    with httpx.Client(base_url=sandbox_gateway.url, headers=headers, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def gateway(sandbox_gateway):
    gateway = sandbox_gateway.gateway()
    yield gateway
    gateway.close()


def post(http, path="/v1/authorizations", *, key=None, json=None, **more):
    return http.post(path, json=BODY if json is None else json, headers={"Idempotency-Key": key or new_key()}, **more)


def code(response):
    return response.status_code, response.json()["error"]["code"]


class TestDoor:
    def test_says_that_it_is_well_without_a_key(self, sandbox_gateway):
        response = httpx.get(f"{sandbox_gateway.url}/health", trust_env=False, timeout=30)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})

    @pytest.mark.parametrize("key", ["", "Bearer wrong", "Bearer", "sk_test_sandbox", "Basic sk_test_sandbox"])
    def test_wants_its_api_key(self, sandbox_gateway, key):
        headers = {"Authorization": key, "Idempotency-Key": new_key()}
        with httpx.Client(base_url=sandbox_gateway.url, trust_env=False, timeout=30) as stranger:
            response = stranger.post("/v1/authorizations", json=BODY, headers=headers)
        assert code(response) == (401, "unauthorized")
        assert sandbox_gateway.charges() == []

    def test_wants_an_idempotency_key(self, http, sandbox_gateway):
        assert code(http.post("/v1/authorizations", json=BODY)) == (400, "idempotency_key_missing")
        assert sandbox_gateway.charges() == []

    @pytest.mark.parametrize("key", ["a b", "x" * 256, b"\xe9".decode("latin-1")])
    def test_wants_a_printable_idempotency_key(self, http, sandbox_gateway, key):
        headers = {"Idempotency-Key": key.encode("latin-1")}
        assert code(http.post("/v1/authorizations", json=BODY, headers=headers)) == (400, "invalid_request")
        assert sandbox_gateway.charges() == []

    @pytest.mark.parametrize(
        "change",
        [
            {"amount_minor": 0},
            {"amount_minor": -1},
            {"amount_minor": 12.99},
            {"amount_minor": "1299"},
            {"amount_minor": True},
            {"amount_minor": 10**12 + 1},
            {"amount_minor": None},
            {"currency": "eur"},
            {"currency": "EURO"},
            {"currency": None},
            {"method": ""},
            {"method": 7},
            {"metadata": []},
            {"metadata": {"order": 1}},
            {"metadata": {str(n): "x" for n in range(21)}},
            {"capture": True},
        ],
    )
    def test_wants_every_field_right_and_no_other(self, http, sandbox_gateway, change):
        key = new_key()
        response = post(http, key=key, json={**BODY, **change})
        assert code(response) == (400, "invalid_request")
        assert response.json()["error"]["field"] == next(iter(change))
        assert sandbox_gateway.charges() == []
        assert post(http, key=key).status_code == 201  # a request that made no sense leaves its key free

    @pytest.mark.parametrize("content", [b"{", b"[]", b"1", b"\xff", b"[" * 60_000])
    def test_wants_a_json_object(self, http, sandbox_gateway, content):
        headers = {"Idempotency-Key": new_key(), "Content-Type": "application/json"}
        assert code(http.post("/v1/authorizations", content=content, headers=headers)) == (400, "malformed_json")
        assert sandbox_gateway.charges() == []

    def test_wants_json_to_say_so(self, http):
        headers = {"Idempotency-Key": new_key(), "Content-Type": "text/plain"}
        assert code(http.post("/v1/authorizations", content=b"{}", headers=headers)) == (415, "unsupported_media_type")

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", "/v2/authorizations"), ("DELETE", "/v1/authorizations/x"), ("POST", "/v1/a/b/c/d")],
    )
    def test_knows_no_other_address(self, http, method, path):
        assert code(http.request(method, path)) == (404, "no_such_page")

    @pytest.mark.parametrize(
        "query", ["since=yesterday", "since=2026-01-01", "after=1", "limit=0", "limit=1001", "limit=x", "until=1"]
    )
    def test_wants_a_list_to_be_asked_for_rightly(self, http, query):
        assert code(http.get(f"/v1/authorizations?{query}")) == (400, "invalid_request")

    def test_pages_through_a_list(self, http, gateway, sandbox_gateway):
        keys = [new_key() for _ in range(7)]
        for key in keys:
            authorize(gateway, key)
        since = sandbox_gateway.charges()[0].created_at.isoformat()
        seen, after = [], None
        while True:
            asked = {"since": since, "limit": "3"} | ({"after": after} if after else {})
            page = http.get("/v1/authorizations", params=asked).json()
            assert len(page["results"]) <= 3
            seen += [charge["key"] for charge in page["results"]]
            after = page["next"]
            if after is None:
                break
        assert seen == keys

    def test_a_key_may_hold_any_printable_character(self, gateway, sandbox_gateway):
        key = f"{uuid4()}/../%2F?x=1&y#z:ü".replace("ü", "~")
        assert authorize(gateway, key).outcome is Outcome.DONE
        assert gateway.capture(key=f"{key}!", authorization_key=key, reference="", amount_minor=1299).outcome == "DONE"
        assert sandbox_gateway.movements(key) == [("AUTHORIZE", 1299), ("CAPTURE", 1299)]

    def test_replays_say_so(self, http):
        key = new_key()
        first, second = post(http, key=key), post(http, key=key)
        assert (first.status_code, first.json()) == (second.status_code, second.json())
        assert "Idempotency-Replayed" not in first.headers
        assert second.headers["Idempotency-Replayed"] == "true"

    def test_a_key_belongs_to_one_request_whatever_it_was(self, http, sandbox_gateway):
        key = new_key()
        post(http, key=key)
        for path, body in [
            ("/v1/authorizations", {**BODY, "metadata": {"order": "2"}}),
            (f"/v1/authorizations/{key}/capture", {"amount_minor": 1299}),
            (f"/v1/authorizations/{key}/void", {}),
        ]:
            assert code(post(http, path, key=key, json=body)) == (422, "idempotency_key_reused")
        assert sandbox_gateway.movements(key) == [("AUTHORIZE", 1299)]


class TestWire:
    """Bytes as no decent client would send them."""

    def talk(self, server, data, *, then_close=False):
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(data)
            if then_close:
                connection.shutdown(socket.SHUT_WR)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
        return received

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"hello\r\n\r\n", b"400"),
            (b"GET / HTTP/1.0\r\n\r\n", b"400"),
            (b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", b"400"),
            (b"GET //[x HTTP/1.1\r\n\r\n", b"400"),
            (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
            (b"GET / HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n", b"400"),
            (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
            (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
            (b"POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", b"413"),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"501"),
            (b"GET / HTTP/1.1\r\nA: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
        ],
    )
    def test_refuses_what_is_no_request_and_hangs_up(self, sandbox_gateway, data, status):
        assert self.talk(sandbox_gateway, data).startswith(b"HTTP/1.1 " + status)

    @pytest.mark.parametrize("data", [b"", b"GET /hea", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf"])
    def test_forgets_who_hangs_up_halfway(self, sandbox_gateway, data):
        assert self.talk(sandbox_gateway, data, then_close=True) == b""

    def test_answers_several_requests_of_one_connection_in_order(self, sandbox_gateway):
        ask = b"GET /health HTTP/1.1\r\n\r\n"
        last = b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n"
        answer = self.talk(sandbox_gateway, ask + ask + last)
        assert answer.count(b"HTTP/1.1 200 OK") == 3
        assert answer.count(b"Connection: close") == 1


class TestTokens:
    @pytest.mark.parametrize(
        ("token", "risk", "country"),
        [
            ("tok_visa", "", ""),
            ("tok_fraud", "HIGHEST", "BR"),
            ("tok_review", "ELEVATED", ""),
            ("tok_visa_us", "", "US"),
        ],
    )
    def test_good_cards_are_good_at_once_and_what_is_known_of_them_is_told(
        self, gateway, sandbox_gateway, token, risk, country
    ):
        key = new_key()
        reply, again = authorize(gateway, key, token), authorize(gateway, key, token)
        assert reply.outcome is Outcome.DONE
        seen = gateway.find(authorization_key=key)
        for told in (reply, again, seen):
            assert (told.risk, told.card_country) == (risk, country)
        assert sandbox_gateway.movements(key) == [("AUTHORIZE", 1299)]

    @pytest.mark.parametrize(
        ("token", "why"),
        [
            ("tok_declined", "card_declined"),
            ("tok_insufficient_funds", "insufficient_funds"),
            ("tok_of_nobody", "invalid_payment_method"),
        ],
    )
    def test_bad_cards_are_refused_for_good(self, http, gateway, sandbox_gateway, token, why):
        key = new_key()
        assert code(post(http, key=key, json={**BODY, "method": token})) == (402, why)
        assert code(post(http, key=key, json={**BODY, "method": token})) == (402, why)
        assert code(post(http, key=key)) == (422, "idempotency_key_reused")  # a refusal uses its key up
        assert sandbox_gateway.charges() == []

    def test_a_flaky_one_is_turned_away_twice_and_then_charged_once(self, gateway, sandbox_gateway):
        key = new_key()
        first, second = authorize(gateway, key, "tok_flaky"), authorize(gateway, key, "tok_flaky")
        assert sandbox_gateway.charge(key) is None
        third, fourth = authorize(gateway, key, "tok_flaky"), authorize(gateway, key, "tok_flaky")
        for reply in (first, second):
            assert (reply.outcome, reply.code, reply.nothing_happened) == ("UNKNOWN", "processor_unavailable", True)
        assert third.outcome is Outcome.DONE
        assert third == fourth
        assert sandbox_gateway.movements(key) == [("AUTHORIZE", 1299)]

    def test_a_flaky_one_counts_across_a_restart(self, gateway, sandbox_gateway):
        key = new_key()
        authorize(gateway, key, "tok_flaky")
        sandbox_gateway.kill()
        sandbox_gateway.start()
        assert authorize(sandbox_gateway.gateway(), key, "tok_flaky").outcome is Outcome.UNKNOWN
        assert authorize(sandbox_gateway.gateway(), key, "tok_flaky").outcome is Outcome.DONE

    def test_a_timeout_charges_and_loses_the_first_answer_only(self, sandbox_gateway):
        gateway, key = sandbox_gateway.gateway(), new_key()
        lost = authorize(sandbox_gateway.gateway(timeout_seconds=0.5), key, "tok_timeout")
        assert (lost.outcome, lost.code, lost.nothing_happened) == (Outcome.UNKNOWN, "gateway_timeout", False)
        wait_until(lambda: sandbox_gateway.charge(key) is not None)
        assert sandbox_gateway.charge(key).status is ChargeStatus.AUTHORIZED
        told = authorize(gateway, key, "tok_timeout")
        assert (told.outcome, told.reference) == (Outcome.DONE, sandbox_gateway.charge(key).reference)
        assert sandbox_gateway.movements(key) == [("AUTHORIZE", 1299)]

    def test_a_lost_answer_ends_in_a_dropped_connection_if_nobody_gives_up(self, sandbox_gateway):
        sandbox_gateway.restart(PAYMENT_TIMEOUT_SECONDS="0.1")
        started = time.monotonic()
        lost = authorize(sandbox_gateway.gateway(timeout_seconds=90), new_key(), "tok_timeout")
        assert (lost.outcome, lost.code, lost.nothing_happened) == (Outcome.UNKNOWN, "connection_lost", False)
        assert time.monotonic() - started > 5


class TestTrouble:
    def test_a_failure_rate_of_one_lets_nothing_in_but_lets_everything_out(self, gateway, sandbox_gateway):
        held, taken, never = new_key(), new_key(), new_key()
        for key in (held, taken):
            authorize(gateway, key)
        gateway.capture(key=f"{taken}:c", authorization_key=taken, reference="", amount_minor=1299)
        sandbox_gateway.restart(PAYMENT_FAILURE_RATE="1")
        gateway = sandbox_gateway.gateway()
        turned_away = [
            authorize(gateway, never),
            authorize(gateway, held),
            gateway.capture(key=f"{held}:c", authorization_key=held, reference="", amount_minor=1299),
        ]
        for reply in turned_away:
            assert (reply.outcome, reply.code, reply.nothing_happened) == ("UNKNOWN", "processor_unavailable", True)
        assert sandbox_gateway.charge(never) is None
        assert sandbox_gateway.movements(held) == [("AUTHORIZE", 1299)]
        assert gateway.void(key=f"{held}:v", authorization_key=held).outcome is Outcome.DONE
        assert gateway.refund(key=f"{taken}:r", authorization_key=taken, amount_minor=None).amount_minor == 1299
        assert gateway.void(key=f"{never}:v", authorization_key=never).code == "nothing_to_void"

    def test_a_failure_rate_between_lets_some_in(self, sandbox_gateway):
        sandbox_gateway.restart(PAYMENT_FAILURE_RATE="0.5")
        gateway = sandbox_gateway.gateway()
        outcomes = [authorize(gateway, new_key()).outcome for _ in range(200)]
        assert 60 < outcomes.count(Outcome.DONE) < 140
        assert len(sandbox_gateway.charges()) == outcomes.count(Outcome.DONE)

    def test_answers_late_and_replays_at_once(self, sandbox_gateway):
        sandbox_gateway.restart(PAYMENT_LATENCY_MS="300")
        gateway, key = sandbox_gateway.gateway(), new_key()
        times = []
        for _ in range(6):
            started = time.monotonic()
            assert authorize(gateway, key).outcome is Outcome.DONE
            times.append(time.monotonic() - started)
        first, *replays = times
        assert first >= 0.3
        assert min(replays) < 0.3  # the quickest: any other may have been held up by something else

    def test_killed_between_the_charge_and_its_answer_it_keeps_the_charge(self, sandbox_gateway):
        sandbox_gateway.restart(PAYMENT_LATENCY_MS="60000")
        gateway, key = sandbox_gateway.gateway(timeout_seconds=60), new_key()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(authorize, gateway, key)
            while sandbox_gateway.charge(key) is None:
                time.sleep(0.01)
            sandbox_gateway.kill()
            lost = asked.result()
        assert (lost.outcome, lost.nothing_happened) == (Outcome.UNKNOWN, False)
        sandbox_gateway.start()
        told = authorize(gateway, key)
        assert (told.outcome, told.reference) == (Outcome.DONE, sandbox_gateway.charge(key).reference)
        assert sandbox_gateway.movements(key) == [("AUTHORIZE", 1299)]

    @pytest.mark.chaos
    def test_killed_under_load_it_loses_nothing_that_it_acknowledged(self, sandbox_gateway):
        gateway = sandbox_gateway.gateway()
        told, over = [], threading.Event()

        def shop():
            while not over.is_set():
                key = new_key()
                if authorize(gateway, key).outcome is Outcome.DONE:
                    told.append(key)

        with ThreadPoolExecutor(8) as pool:
            for _ in range(8):
                pool.submit(shop)
            try:
                for enough in (20, 40, 60):
                    wait_until(lambda enough=enough: len(told) > enough)
                    sandbox_gateway.kill()
                    sandbox_gateway.start()
            finally:
                over.set()
        charges = [charge.key for charge in sandbox_gateway.charges()]
        assert len(charges) == len(set(charges))
        assert set(told) <= set(charges)

    def test_ends_at_once_when_told_to_although_somebody_waits(self, sandbox_gateway):
        sandbox_gateway.restart(PAYMENT_LATENCY_MS="60000")
        gateway, key = sandbox_gateway.gateway(timeout_seconds=60), new_key()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(authorize, gateway, key)
            while sandbox_gateway.charge(key) is None:
                time.sleep(0.01)
            started = time.monotonic()
            assert sandbox_gateway.stop() == 0
            assert time.monotonic() - started < 30
            assert asked.result().outcome is Outcome.UNKNOWN
        sandbox_gateway.start()
        assert sandbox_gateway.movements(key) == [("AUTHORIZE", 1299)]


class TestStart:
    def run(self, *arguments, **environment):
        command = [sys.executable, "-m", "payments.gateways.sandbox", *arguments]
        project = Path(__file__).parents[4]
        return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)

    def one_line(self, done):
        assert done.returncode != 0
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        return done.stderr

    def test_refuses_a_taken_port(self, sandbox_gateway, tmp_path):
        address = sandbox_gateway.url.removeprefix("http://")
        line = self.one_line(self.run("--listen", address, "--data", str(tmp_path)))
        assert line == f"The sandbox gateway can't start: {address} can't be listened on: Address already in use\n"

    def test_refuses_a_ledger_that_another_one_writes(self, sandbox_gateway):
        line = self.one_line(self.run("--listen", "127.0.0.1:0", "--data", str(sandbox_gateway.data)))
        assert "another sandbox gateway is using" in line

    def test_refuses_a_folder_that_is_none(self, tmp_path):
        (tmp_path / "file").touch()
        line = self.one_line(self.run("--listen", "127.0.0.1:0", "--data", str(tmp_path / "file")))
        assert "can't be opened" in line

    def test_refuses_a_ledger_that_is_none(self, tmp_path):
        (tmp_path / "ledger.sqlite3").write_bytes(b"no database at all, but long enough to look at" * 100)
        line = self.one_line(self.run("--listen", "127.0.0.1:0", "--data", str(tmp_path)))
        assert "can't be opened" in line

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("PAYMENT_FAILURE_RATE", "1.5"),
            ("PAYMENT_FAILURE_RATE", "nan"),
            ("PAYMENT_FAILURE_RATE", "often"),
            ("PAYMENT_LATENCY_MS", "-1"),
            ("PAYMENT_LATENCY_MS", "0.5"),
        ],
    )
    def test_refuses_a_bad_environment(self, tmp_path, name, value):
        line = self.one_line(self.run("--listen", "127.0.0.1:0", "--data", str(tmp_path), **{name: value}))
        assert name in line
        assert value in line

    def test_starts_and_ends_without_django_or_an_environment(self, tmp_path):
        server = SandboxServer(tmp_path / "made" / "for" / "it")
        server.start(DJANGO_SETTINGS_MODULE="there.is.none")
        assert authorize(server.gateway(), new_key()).outcome is Outcome.DONE
        assert server.stop() == 0
