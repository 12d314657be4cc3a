"""A person decides in the admin: what is shown first, that a reason is asked for, what is refused, and to whom."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from marketplace.accounts.models import User
from marketplace.kernel.clock import database_now
from marketplace.operations.auditor import audit
from marketplace.operations.metrics import kept
from marketplace.sagas import archive, attention, runner
from marketplace.sagas.models import Circuit, Pause, SagaHistory, SagaInstance
from orders import services
from orders.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def parked(shop, *queues, quantity=1):
    """An order that came as far as these turns of the queues' workers, and was parked there."""
    order = shop.order("laptop-1", quantity)
    for queue in queues:
        shop.work(queues=(queue,))
    runner.park(order.saga_id, ZeroDivisionError("a bug"))
    return order


def saga(order):
    return SagaInstance.objects.get(pk=order.saga_id)


def page(order, name):
    return reverse("admin:sagas_sagainstance_decide", args=[order.saga_id, name])


def decide(browser, order, name, reason="The bank said so."):
    return browser.post(page(order, name), {"reason": reason}, follow=True)


def person(username, *codenames):
    """A browser in which a member of staff with these permissions on sagas is signed in."""
    user = User.objects.create(username=username, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="sagas", codename__in=codenames))
    browser = Client()
    browser.force_login(user)
    return browser


class TestOne:
    def test_a_parked_saga_and_its_order_offer_the_four(self, shop, staff):
        order = parked(shop, "inventory", "orders", "payments")
        for address in (
            reverse("admin:sagas_sagainstance_change", args=[order.saga_id]),
            reverse("admin:orders_order_change", args=[order.id]),
        ):
            html = staff.get(address).content.decode()
            for name in ("retry", "compensate", "resolve", "ignore"):
                assert page(order, name) in html

    def test_one_that_needs_nobody_offers_none(self, shop, staff):
        order = shop.bought("laptop-1")
        html = staff.get(reverse("admin:sagas_sagainstance_change", args=[order.saga_id])).content.decode()
        assert "A person has to decide" not in html
        assert "nobody has to decide" in staff.get(page(order, "retry")).content.decode()
        said = decide(staff, order, "retry").content.decode()
        assert "Nothing was done" in said
        assert not SagaHistory.objects.filter(status="RETRIED").exists()

    def test_compensate_shows_what_it_would_do_and_then_does_it(self, shop, staff):
        order = parked(shop, "inventory", "orders", "payments", quantity=2)
        html = staff.get(page(order, "compensate")).content.decode()
        assert "Void the authorization of 2598.00 EUR; no money is taken." in html
        assert "Put back 2 of laptop-1." in html
        assert saga(order).status == "NEEDS_ATTENTION"
        answer = decide(staff, order, "compensate", "The buyer called.")
        assert answer.redirect_chain[-1][0] == reverse("admin:sagas_sagainstance_change", args=[order.saga_id])
        row = SagaHistory.objects.get(saga_id=order.saga_id, status="STOPPED")
        assert (row.actor, row.reason) == ("staff", "The buyer called.")
        shop.work()
        assert shop.saga_status(order) == "COMPENSATED"
        assert shop.money(order) == [("AUTHORIZE", 259800), ("VOID", 259800)]

    @pytest.mark.parametrize(
        ("name", "result", "status"),
        [("retry", "RETRIED", "IN_PROGRESS"), ("resolve", "RESOLVED", "IN_PROGRESS"),
         ("ignore", "IGNORED", "NEEDS_ATTENTION")],
    )  # fmt: skip
    def test_each_goes_on_record(self, shop, staff, name, result, status):
        order = parked(shop, "inventory", "orders", "payments")
        decide(staff, order, name)
        row = SagaHistory.objects.get(saga_id=order.saga_id, status=result)
        assert (row.actor, row.reason, saga(order).status) == ("staff", "The bank said so.", status)

    @pytest.mark.parametrize("reason", ["", "   "])
    def test_without_a_reason_nothing_is_done(self, shop, staff, reason):
        order = parked(shop, "inventory")
        html = decide(staff, order, "retry", reason).content.decode()
        assert "This field is required." in html
        assert saga(order).status == "NEEDS_ATTENTION"

    def test_of_two_who_decide_one_is_told(self, shop, staff):
        order = parked(shop, "inventory")
        attention.retry(order.saga_id, actor="eve", reason="First.", now=database_now())
        assert "Nothing was done: The saga is IN_PROGRESS" in decide(staff, order, "compensate").content.decode()

    def test_what_is_past_its_pivot_says_so_instead_of_offering_it(self, shop, staff):
        order = shop.bought("laptop-1")
        services.cancel(order.id, actor="user-1", now=database_now())
        shop.work(queues=("fulfillment", "orders", "payments"))
        reversal = SagaInstance.objects.get(name="reverse_order")
        runner.park(reversal.id, ZeroDivisionError("a bug"))
        html = staff.get(reverse("admin:sagas_sagainstance_change", args=[reversal.id])).content.decode()
        assert "there is no way back" in html
        assert reverse("admin:sagas_sagainstance_decide", args=[reversal.id, "compensate"]) not in html
        found = staff.get(reverse("admin:orders_order_changelist"), {"q": str(reversal.id)}).content.decode()
        assert order.number in found

    def test_nobody_without_the_permission(self, shop, client):
        order = parked(shop, "inventory")
        viewer, decider = person("viewer", "view_sagainstance"), person("d", "view_sagainstance", "change_sagainstance")
        html = viewer.get(reverse("admin:sagas_sagainstance_change", args=[order.saga_id])).content.decode()
        assert "A person has to decide" not in html
        assert viewer.get(page(order, "retry")).status_code == 403
        assert viewer.post(page(order, "retry"), {"reason": "x"}).status_code == 403
        many = reverse("admin:sagas_sagainstance_many", args=["retry"]) + f"?ids={order.saga_id}"
        assert viewer.post(many, {"reason": "x"}).status_code == 403
        for name in ("standby", "resume", "probe"):
            assert viewer.post(reverse(f"admin:sagas_sagainstance_{name}"), {"reason": "x"}).status_code == 403
        assert client.get(page(order, "retry")).status_code == 302
        assert saga(order).status == "NEEDS_ATTENTION"
        decide(decider, order, "retry")
        assert saga(order).status == "IN_PROGRESS"

    def test_what_is_not_there_is_not_found(self, shop, staff):
        order = parked(shop, "inventory")
        assert staff.get(page(order, "destroy")).status_code == 404
        missing = reverse("admin:sagas_sagainstance_decide", args=[order.id, "retry"])
        assert staff.get(missing).status_code == 404


class TestMany:
    def chosen(self, staff, name, orders):
        data = {"action": f"{name}_them", "_selected_action": [str(order.saga_id) for order in orders]}
        return staff.post(reverse("admin:sagas_sagainstance_changelist"), data)

    def test_each_has_its_result(self, shop, staff):
        orders = [parked(shop, "inventory") for _ in range(3)]
        answer = self.chosen(staff, "retry", orders)
        assert answer.status_code == 302
        html = staff.get(answer.url).content.decode()
        assert all(order.number in html for order in orders)
        attention.retry(orders[0].saga_id, actor="eve", reason="First.", now=database_now())
        html = staff.post(answer.url, {"reason": "All is well again."}).content.decode()
        assert "3 asked for, 1 refused" in html
        assert html.count("IN_PROGRESS at ") == 2
        assert {saga(order).status for order in orders} == {"IN_PROGRESS"}
        found = SagaHistory.objects.filter(status="RETRIED", actor="staff", reason="All is well again.")
        assert {row.saga_id for row in found} == {order.saga_id for order in orders[1:]}

    def test_several_compensations_are_shown_one_by_one(self, shop, staff):
        orders = [parked(shop, "inventory", quantity=n) for n in (1, 2)]
        html = staff.get(self.chosen(staff, "compensate", orders).url).content.decode()
        assert "Put back 1 of laptop-1." in html
        assert "Put back 2 of laptop-1." in html

    def test_without_a_reason_nothing_is_done(self, shop, staff):
        order = parked(shop, "inventory")
        html = staff.post(self.chosen(staff, "retry", [order]).url, {"reason": ""}).content.decode()
        assert "This field is required." in html
        assert saga(order).status == "NEEDS_ATTENTION"

    def test_none_or_too_many_are_sent_back(self, staff):
        address = reverse("admin:sagas_sagainstance_many", args=["retry"])
        for ids in ("", "nonsense"):
            assert staff.get(f"{address}?ids={ids}").status_code == 302


class TestLists:
    def shown(self, staff, **query):
        html = staff.get(reverse("admin:sagas_sagainstance_changelist"), query).content.decode()
        return {str(row.pk) for row in SagaInstance.objects.all() if str(row.pk)[-12:] in html}

    def test_filters_by_age_reason_and_standby(self, shop, staff):
        old, fresh = parked(shop, "inventory"), parked(shop, "inventory")
        SagaInstance.objects.filter(pk=old.saga_id).update(updated_at="2020-01-01T00:00:00Z", attention="No such card.")
        assert self.shown(staff, quiet="900") == {str(old.saga_id)}
        assert self.shown(staff, q="such CARD") == {str(old.saga_id)}
        assert self.shown(staff, current_step="validate_inventory") <= {str(old.saga_id), str(fresh.saga_id)}
        Pause.objects.create(what="place_order", paused_at=database_now(), paused_by="ada", reason="Because.")
        waiting = shop.order("laptop-1")
        shop.work()
        assert self.shown(staff, standby="pause:") == {str(waiting.saga_id)}
        assert self.shown(staff, standby="circuit:") == set()

    def test_an_archived_saga_has_its_pages_still(self, shop, staff):
        order = shop.bought("laptop-1")
        long_ago = database_now() - timedelta(days=90)
        SagaInstance.objects.update(started_at=long_ago, completed_at=long_ago)
        before = shop.story(order)
        assert archive.archive(older_than=timedelta(days=30)) == 1
        assert shop.story(order) == before
        for address in (
            reverse("admin:sagas_sagainstance_change", args=[order.saga_id]),
            reverse("admin:orders_order_change", args=[order.id]),
        ):
            html = staff.get(address).content.decode()
            assert "Went through, in " in html
            assert "captured." in html
        assert "COMPLETED" in staff.get(reverse("admin:orders_order_changelist")).content.decode()
        assert audit(ask_gateway=False).findings == []
        Order.objects.filter(pk=order.id).update(status="PAID")
        assert audit(ask_gateway=False).findings != []


class TestStandby:
    def test_pause_and_resume(self, shop, staff):
        address = reverse("admin:sagas_sagainstance_standby")
        assert "Nothing is paused." in staff.get(address).content.decode()
        staff.post(address, {"what": "place_order/authorize_payment", "reason": "The bank is ill."})
        row = Pause.objects.get()
        assert (row.what, row.paused_by, row.reason) == ("place_order/authorize_payment", "staff", "The bank is ill.")
        order = shop.order("laptop-1")
        shop.work()
        html = staff.get(address).content.decode()
        assert "the step authorize_payment of place_order" in html
        assert "?standby=pause:place_order/authorize_payment" in html
        dashboard = staff.get(reverse("admin:index")).content.decode()
        assert "Stands still" in dashboard
        assert "staff: The bank is ill." in dashboard
        told = staff.get(reverse("admin:orders_order_change", args=[order.id])).content.decode()
        assert "Paused by a person: the step authorize_payment of place_order." in told
        resume = reverse("admin:sagas_sagainstance_resume")
        staff.post(resume, {"what": row.what, "reason": ""})
        assert Pause.objects.filter(resumed_at=None).exists()
        staff.post(resume, {"what": row.what, "reason": "It is well."})
        row.refresh_from_db()
        assert (row.resumed_by, row.resumed_because) == ("staff", "It is well.")
        shop.work()
        assert shop.now(order).status == "CONFIRMED"

    def test_a_breaker_and_its_button(self, shop, staff, settings):
        settings.SAGA_BREAKER_FAILURES = 1
        shop.gateway.kill()
        order = shop.order("laptop-1")
        shop.work()
        html = staff.get(reverse("admin:sagas_sagainstance_standby")).content.decode()
        assert "The payment gateway could not be reached." in html
        assert "?standby=circuit:sandbox" in html
        assert "Breaker sandbox" in staff.get(reverse("admin:index")).content.decode()
        before = Circuit.objects.get().probe_at
        staff.post(reverse("admin:sagas_sagainstance_probe"), {"name": "sandbox"})
        assert Circuit.objects.get().probe_at < before
        staff.post(reverse("admin:sagas_sagainstance_probe"), {"name": "nowhere"})
        told = staff.get(reverse("admin:sagas_sagainstance_change", args=[order.saga_id])).content.decode()
        assert "Stands by before authorize payment" in told

    def test_metrics(self, shop, client, settings):
        settings.SAGA_BREAKER_FAILURES = 1
        shop.gateway.kill()
        shop.order("laptop-1")
        shop.work()
        Pause.objects.create(what="queue:fulfillment", paused_at=database_now(), paused_by="ada", reason="Because.")
        kept.forget()
        text = client.get("/metrics").content.decode()
        assert 'marketplace_sagas_standing_by{reason="circuit:sandbox"} 1.0' in text
        assert 'marketplace_circuit_open{circuit="sandbox"} 1.0' in text
        assert 'marketplace_pauses{what="queue:fulfillment"} 1.0' in text
