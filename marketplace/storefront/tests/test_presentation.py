"""Every sentence a shopper can read about an order, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from marketplace.sagas.definition import Wait
from marketplace.sagas.selectors import Entry
from marketplace.storefront.presentation.money import money_story, price
from marketplace.storefront.presentation.page import OrderPage, order_page
from marketplace.storefront.presentation.progress import STAGES
from marketplace.storefront.presentation.sentences import ENDINGS, ending
from marketplace.storefront.presentation.steps import WORDS
from orders.models import Status
from orders.sagas.place_order import PlaceOrder
from orders.selectors import ItemView, OrderView, PaymentSummary, SagaStory
from orders.wording import SENTENCES

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ID = UUID(int=1)


def an_order(status: str = "CREATED", *, payment: str = "", **changes: Any) -> OrderView:
    values: dict[str, Any] = {
        "id": ID, "number": "M-1", "status": status, "failure_code": "", "failure_message": "", "failure_detail": {},
        "review_status": "", "refund_status": "", "items": (ItemView("laptop-1", "Laptop", 2, 129_900),),
        "total_minor": 259_800, "currency": "EUR", "user_id": "", "email": "", "shipping_address": None,
        "payment_method": "tok_visa", "created_at": NOW, "updated_at": NOW, "reserved_until": None,
        "payment": PaymentSummary(payment, "ch_1") if payment else None, "saga_id": ID,
    }  # fmt: skip
    return OrderView(**{**values, **changes})


def entry(step: str, status: str = "DONE", *, back: bool = False, attempt: int = 1) -> Entry:
    return Entry(step, "compensating" if back else "forward", status, attempt, "", NOW, 5)


def a_story(status: str, step: str, *history: Entry) -> SagaStory:
    return SagaStory(ID, ID, status, step, NOW, None, "", history)


def shown(order: OrderView, story: SagaStory, **more: Any) -> OrderPage:
    return order_page(order, story, now=NOW, **more)


def states(page: OrderPage) -> list[str]:
    return [stage.state for stage in page.stages]


RESERVED = (entry("validate_inventory"), entry("reserve_inventory"))
HAPPY = (
    *RESERVED, entry("authorize_payment"), entry("check_fraud"), entry("capture_payment"), entry("confirm_order"),
)  # fmt: skip


def ended(code: str, status: str = "FAILED", **changes: Any) -> OrderPage:
    order = an_order(status, failure_code=code, **changes)
    return shown(order, a_story("COMPENSATED", "", *RESERVED, entry("reserve_inventory", back=True)))


class TestEndings:
    def test_every_code_that_orders_know_has_its_own_sentences(self):
        assert set(SENTENCES) <= set(ENDINGS)
        assert len({one.headline for one in ENDINGS.values()}) == len(ENDINGS)
        assert len({one.what for one in ENDINGS.values()}) == len(ENDINGS)

    @pytest.mark.parametrize("code", sorted(ENDINGS))
    def test_the_page_says_what_happened_whether_money_moved_and_what_comes_next(self, code):
        page = ended(code)
        assert page.headline == ENDINGS[code].headline
        assert page.what == ENDINGS[code].what
        assert page.next_step == ENDINGS[code].next_step
        assert page.money.sentence == "No money was taken."
        assert page.stamp == "Not charged"
        assert (page.finished, page.running, page.can_cancel) == (True, False, False)
        assert "No money was taken." in page.announcement

    @pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
    def test_a_code_that_nobody_foresaw_reads_as_a_sentence_too(self, status):
        page = ended("meteorite", status)
        assert page.headline
        assert "meteorite" not in page.headline + page.what + page.next_step
        assert ending(status, "meteorite").next_step

    def test_a_rejected_buyer_is_not_accused(self):
        order = an_order("FAILED", failure_code="fraud_rejected", payment="VOIDED")
        page = shown(order, a_story("COMPENSATED", "", *HAPPY[:3], entry("check_fraud", "REFUSED")))
        read = [page.headline, page.what, page.next_step, page.announcement, *(line.text for line in page.lines)]
        read += [stage.label for stage in page.stages]
        assert not {"fraud", "suspicious", "risk", "deny"} & set(" ".join(read).lower().split())

    def test_a_buyer_whose_order_is_looked_at_is_not_accused_either(self):
        order = an_order("PAID", payment="AUTHORIZED", review_status="PENDING")
        page = shown(order, a_story("IN_PROGRESS", "fraud_review", *HAPPY[:4]))
        assert (page.awaits_review, page.running, page.finished, page.can_cancel) == (True, False, False, True)
        assert (page.headline, page.tone) == ("We’re having a look at your order", "calm")
        assert "Nothing is taken before the order is confirmed." in page.money.sentence
        late = an_order("FAILED", failure_code="fraud_rejected", payment="VOIDED", review_status="REJECTED")
        over = shown(late, a_story("COMPENSATED", "", *HAPPY[:4], entry("fraud_review", "EXPIRED")))
        for one in (page, over):
            read = [one.headline, one.what, one.next_step, one.announcement, *(line.text for line in one.lines)]
            read += [stage.label for stage in one.stages]
            assert not {"fraud", "suspicious", "risk", "deny", "review"} & set(" ".join(read).lower().split())

    def test_the_banks_own_words_are_passed_on(self):
        page = ended("payment_declined", failure_detail={"message": "Not enough money."})
        assert page.what == "Your bank’s answer: “Not enough money.” So we put your things back on the shelf."

    def test_who_cancelled_changes_the_words(self):
        assert ended("cancelled_by_buyer", "CANCELLED").headline == "You cancelled this order"
        assert ended("cancelled_by_staff", "CANCELLED").headline == "We cancelled this order"
        assert ended("cancelled_by_buyer", "CANCELLED").tone == "calm"

    def test_a_shortage_is_told_line_by_line_and_offers_what_is_left(self):
        detail = {"shortages": [{"sku": "laptop-1", "name": "Laptop", "asked": 2, "available": 1}]}
        page = ended("out_of_stock", failure_detail=detail)
        assert [(s.name, s.asked, s.available) for s in page.shortfalls] == [("Laptop", 2, 1)]
        assert page.take_instead == 1

    def test_nothing_is_offered_instead_where_nothing_is_left(self):
        detail = {"shortages": [{"sku": "laptop-1", "name": "Laptop", "asked": 2, "available": 0}]}
        assert ended("out_of_stock", failure_detail=detail).take_instead == 0

    def test_an_order_of_several_things_is_not_offered_again_as_one(self):
        items = (ItemView("a", "A", 1, 100), ItemView("b", "B", 1, 100))
        page = ended("payment_declined", items=items)
        assert page.again is None
        assert page.other_card


class TestMoney:
    @pytest.mark.parametrize(
        ("status", "flags", "moved", "words"),
        [
            ("", {"finished": True}, "none", "No money was taken."),
            ("", {}, "none", "No money has been taken."),
            ("PENDING", {}, "none", "No money has been taken."),
            ("FAILED", {"finished": True}, "none", "No money was taken."),
            ("VOIDED", {"finished": True}, "none", "has let go of it"),
            ("AUTHORIZED", {}, "held", "keeps €5.00 ready"),
            ("AUTHORIZED", {"undoing": True}, "held", "being let go"),
            ("AUTHORIZED", {"finished": True}, "held", "being let go"),
            ("CAPTURED", {}, "taken", "€5.00 was taken from your card, once."),
            ("CAPTURED", {"finished": True, "confirmed": True}, "taken", "€5.00 was taken from your card, once."),
            ("CAPTURED", {"undoing": True}, "returning", "on its way back"),
            ("CAPTURED", {"finished": True}, "returning", "on its way back"),
            ("REFUNDED", {"finished": True}, "returned", "All of your money, €5.00, was sent back"),
            ("PARTIALLY_REFUNDED", {"finished": True, "confirmed": True}, "returned", "Part of the €5.00"),
        ],
    )
    def test_it_follows_the_payment_and_not_the_order(self, status, flags, moved, words):
        values = {"confirmed": False, "finished": False, **flags}
        told = money_story(payment_status=status, amount="€5.00", **values)
        assert told.moved == moved
        assert words in told.sentence

    @pytest.mark.parametrize(
        ("minor", "currency", "written"),
        [
            (129_900, "EUR", "€1,299.00"),
            (5, "EUR", "€0.05"),
            (0, "USD", "$0.00"),
            (1_234_567, "JPY", "¥1,234,567"),
            (-4_200, "GBP", "-£42.00"),
            (1_500, "KWD", "KWD\N{NO-BREAK SPACE}1.500"),
        ],
    )
    def test_prices_read_as_people_write_them(self, minor, currency, written):
        assert price(minor, currency) == written


class TestTracker:
    def test_every_step_of_the_saga_belongs_to_a_stage_and_has_words(self):
        staged = [name for _, _, names in STAGES for name in names]
        for node in PlaceOrder.steps:
            assert staged.count(node.name) == 1
            words = WORDS[node.name]
            assert words.doing
            assert words.done
            if not isinstance(node, Wait) and node.undo is not None:
                assert words.undoing.startswith("Undoing: ")
                assert words.undone

    @pytest.mark.parametrize(
        ("order", "story", "expected"),
        [
            (an_order(), a_story("STARTED", "validate_inventory"), ["active", "waiting", "waiting", "waiting"]),
            (
                an_order("PAYMENT_PENDING"),
                a_story("IN_PROGRESS", "authorize_payment", *RESERVED, entry("authorize_payment", "STARTED")),
                ["done", "active", "waiting", "waiting"],
            ),
            (
                an_order("RESERVED", payment_method=""),
                a_story("IN_PROGRESS", "payment_request", *RESERVED, entry("payment_request", "WAITING")),
                ["done", "paused", "waiting", "waiting"],
            ),
            (an_order("CONFIRMED"), a_story("COMPLETED", "", *HAPPY), ["done"] * 4),
            (
                an_order("FAILED", failure_code="out_of_stock"),
                a_story("FAILED", "", entry("validate_inventory", "REFUSED")),
                ["refused", "waiting", "waiting", "waiting"],
            ),
            (
                an_order("PAYMENT_PENDING"),
                a_story("COMPENSATING", "reserve_inventory", *RESERVED, entry("authorize_payment", "REFUSED")),
                ["undoing", "refused", "waiting", "waiting"],
            ),
            (
                an_order("FAILED", failure_code="fraud_rejected"),
                a_story(
                    "COMPENSATED", "", *RESERVED, entry("authorize_payment"), entry("check_fraud", "REFUSED"),
                    entry("authorize_payment", back=True), entry("reserve_inventory", back=True),
                ),
                ["undone", "undone", "refused", "waiting"],
            ),
            (
                an_order("CANCELLED", failure_code="reservation_expired", payment_method=""),
                a_story(
                    "COMPENSATED", "", *RESERVED, entry("payment_request", "EXPIRED"),
                    entry("reserve_inventory", back=True),
                ),
                ["undone", "refused", "waiting", "waiting"],
            ),
            (
                an_order("PAID"),
                a_story("NEEDS_ATTENTION", "capture_payment", *HAPPY[:4], entry("capture_payment", "PARKED")),
                ["done", "done", "done", "parked"],
            ),
        ],
    )  # fmt: skip
    def test_each_stage_shows_how_far_it_came(self, order, story, expected):
        page = shown(order, story)
        assert states(page) == expected
        assert all(stage.said for stage in page.stages)


class TestReceipt:
    def test_attempts_are_counted_from_the_second_and_failures_always(self):
        story = a_story(
            "COMPLETED", "", *RESERVED, entry("authorize_payment", "UNKNOWN"),
            entry("authorize_payment", "RETRY", attempt=2), entry("authorize_payment", attempt=3), *HAPPY[3:],
        )  # fmt: skip
        lines = shown(an_order("CONFIRMED"), story).lines
        assert [line.note for line in lines] == ["", "", "try 1", "try 2", "try 3", "", "", ""]
        assert [line.mark for line in lines[2:5]] == ["again", "again", "done"]

    def test_its_last_line_is_what_happens_now(self):
        story = a_story("IN_PROGRESS", "authorize_payment", *RESERVED, entry("authorize_payment", "STARTED"))
        last = shown(an_order("PAYMENT_PENDING"), story).lines[-1]
        assert (last.text, last.mark, last.at) == ("Asking your bank…", "active", None)

    def test_between_two_tries_it_says_that_we_ask_again(self):
        story = a_story("IN_PROGRESS", "authorize_payment", *RESERVED, entry("authorize_payment", "UNKNOWN"))
        page = shown(an_order("PAYMENT_PENDING"), story)
        assert page.lines[-1].text == "Asking your bank again…"
        assert "you will not be charged twice" in page.what

    def test_undoing_is_told_as_such(self):
        history = (*RESERVED, entry("authorize_payment", "REFUSED"))
        page = shown(an_order("PAYMENT_PENDING"), a_story("COMPENSATING", "reserve_inventory", *history))
        assert page.what == "Undoing: giving the units back…"
        assert page.lines[-1].direction == "compensating"
        assert (page.running, page.can_cancel) == (True, False)

    def test_a_finished_receipt_has_nothing_going_on(self):
        page = shown(an_order("CONFIRMED", payment="CAPTURED"), a_story("COMPLETED", "", *HAPPY))
        assert [line.mark for line in page.lines] == ["done"] * 6
        assert page.stamp == "Confirmed"

    def test_a_step_without_words_is_called_by_its_name(self):
        page = shown(an_order("CREATED"), a_story("IN_PROGRESS", "wrap_gift", entry("wrap_gift", "RETRY")))
        assert [line.text for line in page.lines] == ["Wrap gift: that didn’t work yet", "Wrap gift…"]


class TestPage:
    def test_a_person_is_looking_says_that_nobody_is_charged_twice(self):
        story = a_story("NEEDS_ATTENTION", "capture_payment", *HAPPY[:4], entry("capture_payment", "PARKED"))
        page = shown(an_order("PAID", payment="AUTHORIZED"), story)
        assert page.headline == "A person is looking at this"
        assert "not be charged twice" in page.what
        assert (page.running, page.finished, page.can_cancel) == (False, False, False)
        assert page.stamp == ""

    def test_a_reservation_waits_for_its_buyer(self):
        order = an_order("RESERVED", payment_method="", reserved_until=NOW + timedelta(seconds=61))
        page = shown(order, a_story("IN_PROGRESS", "payment_request", *RESERVED, entry("payment_request", "WAITING")))
        assert (page.awaits_payment, page.running, page.time_left, page.can_cancel) == (True, False, "1:01", True)

    def test_once_the_buyer_has_paid_it_runs_although_the_saga_has_not_noticed(self):
        order = an_order("RESERVED", payment_method="", reserved_until=NOW + timedelta(seconds=61))
        story = a_story("IN_PROGRESS", "payment_request", *RESERVED, entry("payment_request", "WAITING"))
        page = shown(order, story, paying=True)
        assert (page.awaits_payment, page.running) == (False, True)
        assert states(page) == ["done", "active", "waiting", "waiting"]
        assert page.lines[-1].text == "Asking your bank…"

    @pytest.mark.parametrize("status", [s for s in Status.values if s not in {"FAILED", "CANCELLED"}])
    def test_every_status_has_words(self, status):
        page = shown(an_order(status), a_story("IN_PROGRESS", "check_fraud", *RESERVED))
        assert page.headline
        assert page.what
        assert page.status_words != status

    def test_a_confirmed_order_is_followed_also_before_its_parcel_is_planned(self):
        page = shown(an_order("CONFIRMED", payment="CAPTURED"), a_story("COMPLETED", ""))
        assert (page.finished, page.parcel, page.followed) == (True, None, True)

    def test_its_version_changes_with_what_it_shows_and_only_then(self):
        story = a_story("IN_PROGRESS", "authorize_payment", *RESERVED)
        order = an_order("PAYMENT_PENDING")
        same = order_page(order, story, now=NOW + timedelta(seconds=9))
        assert shown(order, story).version == same.version
        others = [
            shown(an_order("PAID"), story),
            shown(order, a_story("COMPENSATING", "authorize_payment", *RESERVED)),
            shown(order, a_story("IN_PROGRESS", "authorize_payment", *RESERVED, entry("authorize_payment", "RETRY"))),
            shown(an_order("PAYMENT_PENDING", payment="AUTHORIZED"), story),
        ]
        assert len({same.version, *(page.version for page in others)}) == 5


@pytest.mark.parametrize(
    ("refund_status", "code", "moved", "words"),
    [
        ("REVERSED", "payment_reversed", "returned", "gives it back to you"),
        ("DISPUTED", "payment_disputed", "disputed", "Your bank decides"),
    ],
)
def test_money_that_the_bank_has_taken_up_itself(refund_status: str, code: str, moved: str, words: str) -> None:
    """Whatever our own payment says by then: it must not read as if it were still here, or had never been taken."""
    for payment in ("FAILED", "CAPTURED"):
        page = ended(code, refund_status=refund_status, payment=payment)
        assert page.money.moved == moved
        assert page.stamp == ("Taken back" if refund_status == "REVERSED" else "")
        assert words in page.money.sentence
        assert "No money was taken" not in page.announcement


class TestABankThatDecidesLater:
    WAITING = a_story(
        "IN_PROGRESS", "payment_outcome", *RESERVED, entry("authorize_payment"), entry("payment_outcome", "WAITING")
    )

    def order(self, action_url: str = "") -> OrderView:
        payment = PaymentSummary("PENDING", "", action_url)
        return replace(an_order("PAYMENT_PENDING"), payment=payment, reserved_until=NOW)

    def test_the_buyer_is_sent_to_the_bank(self) -> None:
        page = shown(self.order("https://bank.example/confirm"), self.WAITING)
        assert (page.confirm_at, page.running, page.tone) == ("https://bank.example/confirm", False, "calm")
        assert page.headline == "Please confirm with your bank"
        assert page.can_cancel
        assert states(page) == ["done", "active", "waiting", "waiting"]

    def test_or_waits_with_us(self) -> None:
        page = shown(self.order(), self.WAITING)
        assert (page.confirm_at, page.awaits_bank, page.running) == ("", True, False)
        assert page.lines[-1].text == "Waiting for your bank…"

    def test_nobody_is_sent_there_who_has_been(self) -> None:
        moved_on = a_story("IN_PROGRESS", "capture_payment", *RESERVED, entry("authorize_payment"))
        assert shown(self.order("https://bank.example/confirm"), moved_on).confirm_at == ""

    def test_the_page_is_another_once_there_is_somewhere_to_go(self) -> None:
        urls = ("", "https://bank.example/confirm")
        assert len({shown(self.order(url), self.WAITING).version for url in urls}) == 2

    def test_time_that_ran_out_is_told_as_such(self) -> None:
        page = ended("payment_timeout", failure_detail={"message": "It was not confirmed in time."})
        assert page.what == "It was not confirmed in time. So we stopped, and put your things back on the shelf."


class TestMoneyThatComesLate:
    def page(self, status: str) -> OrderPage:
        order = an_order("CANCELLED", failure_code="reservation_expired", payment="AUTHORIZED")
        story = a_story(
            status, "check_order", *RESERVED, entry("reserve_inventory", back=True), entry("take_in_payment")
        )
        return shown(order, replace(story, name="accept_late_payment"))

    def test_the_buyer_reads_that_it_has_come(self) -> None:
        page = self.page("IN_PROGRESS")
        assert (page.headline, page.tone, page.running) == ("Your payment has come after all", "busy", True)
        assert page.lines[-1].text == "Looking whether your order can go on…"
        assert page.stamp == ""

    def test_and_when_it_went_back_that_the_order_is_over(self) -> None:
        page = self.page("COMPENSATED")
        assert (page.headline, page.finished) == ("The time to pay ran out", True)
