"""What can go wrong between a mail that is due and a server that takes it, on a real server."""

import signal
import ssl
import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.db import transaction

from marketplace.kernel.clock import database_now
from marketplace.kernel.mailservers import mail_server
from orders import services
from orders.messages import bell, seats, sending, writing
from orders.messages.models import Message, Status
from orders.services import NewOrder, OrderLineRequest
from orders.tasks import look_after_messages, send_messages
from tests.postman import hang_up
from tests.running import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def placed(shop, relay):
    """Orders that wait for their payment, and so each of them one mail that is due: `placed(3)`."""
    shop.stocked("lamp", 50)

    def placed(count=1):
        lines = (OrderLineRequest(quantity=1, sku="lamp"),)
        with transaction.atomic():
            for number in range(count):
                services.place(NewOrder(lines=lines, email=f"buyer-{number}@example.org"), now=database_now())
        relay()
        return list(Message.objects.order_by("created_at"))

    return placed


def statuses():
    return list(Message.objects.order_by("created_at").values_list("status", flat=True))


def make_due():
    Message.objects.filter(due_at__isnull=False).update(due_at=database_now())


def test_an_address_that_there_is_not_fails_at_once_and_holds_up_nobody(placed, postman):
    placed(3)
    postman.unknown.add("buyer-1@example.org")

    sending.send_due()

    assert statuses() == [Status.SENT, Status.FAILED, Status.SENT]
    refused = Message.objects.get(status=Status.FAILED)
    assert refused.outcome == "The mail server refuses it: 550 5.1.1 No such user here"
    assert (refused.tries, refused.due_at) == (1, None)
    assert postman.conversations == 1


@pytest.mark.parametrize("address", ["a@b@c.example", "x" * 80 + "@" + "ü" * 70 + ".example"])
def test_an_address_that_is_none_holds_up_nobody(placed, postman, address):
    first, *_ = placed(3)
    Message.objects.filter(pk=first.pk).update(recipient=address)

    sending.send_due()

    assert statuses() == [Status.FAILED, Status.SENT, Status.SENT]
    assert Message.objects.get(pk=first.pk).outcome.startswith("It can't be sent. ")
    assert postman.conversations == 1


def test_a_not_now_is_tried_again(placed, postman):
    placed()
    postman.answers += ["451 4.7.1 Greylisted, try again later"]

    sending.send_due()
    [row] = Message.objects.all()
    assert (row.status, row.outcome) == (Status.WAITING, "451 4.7.1 Greylisted, try again later")

    make_due()
    sending.send_due()
    row.refresh_from_db()
    assert (row.status, row.tries, row.outcome) == (Status.SENT, 2, "")
    assert len(postman.taken) == 1


def test_a_server_that_is_down_costs_one_connection_a_batch_and_no_mail(placed, postman, settings):
    settings.MAIL_RETRY_SECONDS = 60.0
    placed(5)
    postman.stop()
    before = database_now()

    batch = sending.send_due()

    assert (batch.count, batch.reachable) == (5, False)
    rows = list(Message.objects.all())
    assert {row.status for row in rows} == {Status.WAITING}
    assert all("Connection refused" in row.outcome for row in rows)
    after = database_now()
    assert all((row.due_at - before).total_seconds() >= 30 for row in rows)
    assert all((row.due_at - after).total_seconds() <= 60 for row in rows)
    assert len({row.due_at for row in rows}) == 5, "they must not all come back at once"

    postman.start()
    make_due()
    sending.send_due()
    assert statuses() == [Status.SENT] * 5
    assert len({mail.message_id for mail in postman.taken}) == len(postman.taken) == 5


def test_pauses_grow_up_to_an_hour(placed, postman, settings):
    settings.MAIL_RETRY_SECONDS = 30.0
    placed()
    postman.stop()
    for tries, longest in ((0, 30), (3, 240), (30, 3600)):
        before = database_now()
        Message.objects.update(due_at=before, tries=tries)
        sending.send_due()
        due_at = Message.objects.get().due_at
        assert (due_at - before).total_seconds() >= longest / 2
        assert (due_at - database_now()).total_seconds() <= longest


def test_after_its_time_a_mail_is_given_up_and_seen(placed, postman, caplog):
    placed()
    postman.stop()
    Message.objects.update(given_up_at=database_now())

    sending.send_due()

    [row] = Message.objects.all()
    assert row.status == Status.FAILED
    assert row.outcome.startswith("Given up. ConnectionRefusedError")
    assert "message_given_up" in caplog.text


def test_a_line_that_goes_dead_before_the_yes_means_the_same_mail_once_more(placed, postman):
    placed()
    postman.answers += [hang_up]

    sending.send_due()
    [row] = Message.objects.all()
    assert row.status == Status.WAITING
    assert row.outcome.startswith("Handed over, but no answer came")

    make_due()
    sending.send_due()
    assert statuses() == [Status.SENT]
    assert [mail.message_id for mail in postman.taken] == [f"<{row.id}@localhost>"] * 2


def test_a_mail_that_can_not_be_written_holds_up_nobody(placed, postman, monkeypatch):
    rows = placed(2)
    write = writing.write

    def broken(message, order):
        if message.id == rows[0].id:
            raise KeyError("no words")
        return write(message, order)

    monkeypatch.setattr(writing, "write", broken)
    sending.send_due()

    assert statuses() == [Status.WAITING, Status.SENT]
    assert Message.objects.get(pk=rows[0].id).outcome == "KeyError: 'no words'"


@pytest.fixture
def certificate(tmp_path, monkeypatch):
    """A certificate for 127.0.0.1, which this process trusts, and its key."""
    paths = [str(tmp_path / name) for name in ("certificate.pem", "key.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]]
    subprocess.run(command, check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", paths[0])
    return paths


@pytest.mark.parametrize(("password", "answer"), [("s3cret", "250 OK"), ("s3cret", "554 No"), ("wrong", "")])
def test_a_claim_lasts_for_every_answer_of_a_server_with_starttls_and_login(
    *, placed, postman, settings, certificate, password, answer
):
    postman.stop()
    postman.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    postman.tls.load_cert_chain(*certificate)
    postman.login, postman.answers = ("shop", "s3cret"), [answer]
    postman.start()
    url = f"smtp+tls://shop:{password}@127.0.0.1:{postman.port}"
    settings.MAIL_SERVER = mail_server(url, timeout_seconds=settings.MAIL_TIMEOUT_SECONDS)

    placed()
    sending.send_due()

    assert len(postman.taken) == (answer == "250 OK")
    assert any("535" in one for one in postman.said) == (password == "wrong")
    handshake = 2  # answers of TLS itself
    waited_for = timedelta(seconds=settings.MAIL_TIMEOUT_SECONDS * (len(postman.said) + handshake))
    assert len(postman.said) >= 9
    assert sending.longest_post() >= waited_for


def test_who_has_lost_the_claim_marks_nothing(placed, postman):
    placed()
    postman.answers += [lambda server: None]
    [claimed], _ = sending._claim(1)
    make_due()
    assert sending.send_due().count == 1

    sending._again(claimed, "too late")

    assert statuses() == [Status.SENT]


def test_two_senders_at_once_send_each_mail_once(placed, postman):
    placed(6)
    first, _ = sending._claim(3)

    assert sending.send_due().count == 3
    assert len(first) == 3
    assert len(postman.taken) == 3


class TestTasks:
    def test_one_ring_sends_all_that_is_due(self, placed, postman, redis, monkeypatch):
        monkeypatch.setattr("orders.tasks.SHIFT_SECONDS", 60.0)  # a busy machine may need more than one shift's five
        placed(45)
        bell.ring()

        assert send_messages() == 45
        assert statuses() == [Status.SENT] * 45

    def test_at_the_end_of_a_shift_the_rest_is_rung_for(self, placed, postman, redis, monkeypatch):
        monkeypatch.setattr("orders.tasks.SHIFT_SECONDS", 0.0)
        placed(45)
        redis.delete(bell.QUEUE)
        bell.answered()

        assert send_messages() == sending.AT_ONCE
        assert redis.llen(bell.QUEUE) == 1
        assert [send_messages(), send_messages()] == [20, 5]
        assert statuses() == [Status.SENT] * 45

    def test_what_nobody_rang_for_is_found(self, placed, postman):
        placed()

        assert look_after_messages() == 1

    def test_no_more_workers_than_seats_wait_for_a_mail_server(self, placed, postman):
        placed()
        with seats.take() as first:
            assert first.keep()
            assert send_messages() == 0
        assert send_messages() == 1


class Worker:
    """A real Celery worker, to be killed."""

    def __init__(self, environment):
        self._environment = environment

    def start(self):
        command = [
            "-m",
            "celery",
            "-A",
            "marketplace",
            "worker",
            "-Q",
            "messages",
            "--pool",
            "solo",
            "--without-gossip",
            "--without-mingle",
        ]
        self.process = subprocess.Popen(
            [sys.executable, *command], cwd=django_settings.BASE_DIR, env=self._environment, stderr=subprocess.DEVNULL
        )

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def worker(transactional_db, process_environment, postman):
    environment = {**process_environment, "EMAIL_URL": postman.url, "MAIL_TIMEOUT_SECONDS": "30"}
    worker = Worker(environment)
    worker.start()
    yield worker
    worker.kill()


@pytest.mark.timeout(300)
def test_a_worker_killed_before_the_yes_is_marked_sends_the_same_mail_again(placed, postman, worker, redis):
    killed = []

    def kill(server):
        worker.kill()
        killed.append(True)

    postman.answers += [kill]
    [row] = placed()
    eventually(lambda: bell.ring() or killed)  # as beat would: a ring is good for a minute
    row.refresh_from_db()
    assert (row.status, row.tries) == (Status.WAITING, 1)
    assert row.due_at > database_now()  # the dead worker's claim; nobody else touches it before that

    Message.objects.update(due_at=database_now() - timedelta(seconds=1))  # as the clock would
    redis.flushdb()  # its seat, and all that was rung for
    worker.start()
    eventually(lambda: bell.ring() or statuses() == [Status.SENT])

    assert [mail.message_id for mail in postman.taken] == [f"<{row.id}@localhost>"] * 2
    assert Message.objects.get().tries == 2
