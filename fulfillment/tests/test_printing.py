"""Labels and packing slips of shipments, over HTTP and in batches."""

import pytest
from django.test import Client

from fulfillment import batches, printing
from fulfillment.carriers.base import Address
from fulfillment.errors import NotLabelled, UnknownShipment
from fulfillment.models import Shipment
from fulfillment.selectors import LineView
from fulfillment.tests.warehouse import NOW, created, labelled, packed
from marketplace.accounts.models import User
from marketplace.kernel.ids import new_id
from marketplace.paper.testing import pages

pytestmark = pytest.mark.django_db

WIEN = Address("Jörg Müßig", "Weg 3", "2. Stock", "1010", "Wien", "AT")


def client(**attributes):
    browser = Client()
    browser.force_login(User.objects.create(username=f"u-{new_id()}", **attributes))
    return browser


def problem(reply):
    return reply.status_code, reply.json()["code"]


def test_staff_get_the_label():
    [view] = labelled(to=WIEN)
    reply = client(is_staff=True).get(f"/api/shipments/{view.id}/label")
    assert (reply.status_code, reply["Content-Type"]) == (200, "application/pdf")
    assert reply["Content-Disposition"] == f'inline; filename="label-{view.number}.pdf"'
    [page] = pages(reply.content)
    assert page.codes == (("Code128", "SBX00000000"), ("QRCode", "https://t.example/0"))
    for words in ("Marketplace Demo GmbH", "10115 Berlin", "Jörg Müßig", "2. Stock", "1010 Wien", "AUSTRIA", "1.24 kg"):
        assert words in page.text, words


@pytest.mark.parametrize("what", ["label", "packing-slip"])
def test_nobody_else_does(what):
    [view] = labelled()
    address = f"/api/shipments/{view.id}/{what}"
    assert problem(Client().get(address)) == (401, "not_authenticated")
    assert problem(client().get(address)) == (403, "permission_denied")
    assert problem(client(is_staff=True).get(f"/api/shipments/{new_id()}/{what}")) == (404, "unknown_shipment")


def test_there_is_none_before_it_is_bought_or_after_it_was_given_back():
    staff = client(is_staff=True)
    for view in (*created(), *packed()):
        assert problem(staff.get(f"/api/shipments/{view.id}/label")) == (404, "not_labelled")
    [view] = labelled()
    Shipment.objects.filter(pk=view.id).update(status="CANCELLED", cancelled_at=NOW)
    assert problem(staff.get(f"/api/shipments/{view.id}/label")) == (404, "not_labelled")


def test_the_packing_slip_is_there_from_the_beginning():
    [view] = created(to=WIEN, lines=(LineView("mug-1", "Becher „Größe L“", 3), LineView("lamp-1", "Lampe", 1)))
    staff = client(is_staff=True)
    [page] = pages(staff.get(f"/api/shipments/{view.id}/packing-slip?locale=de").content)
    assert page.codes == (("Code128", view.number),)
    for words in ("Packliste", "Becher „Größe L“", "lamp-1", "4 Stück insgesamt", "ÖSTERREICH"):
        assert words in page.text, words
    reply = staff.get(f"/api/shipments/{view.id}/packing-slip?locale=klingon")
    assert problem(reply) == (400, "validation_error")


def test_each_packing_slip_is_in_its_orders_language():
    [german], [english] = created(language="de"), created()
    batch = batches.make([german.id, english.id], who="wanda", now=NOW)
    printed = pages(batches.print_slips(batch))
    assert [("Packliste" in page.text, "Packing slip" in page.text) for page in printed] == [
        (True, False),
        (False, True),
    ]
    staff = client(is_staff=True)
    [page] = pages(staff.get(f"/api/shipments/{german.id}/packing-slip").content)
    assert "Packliste" in page.text
    [page] = pages(staff.get(f"/api/shipments/{german.id}/packing-slip?locale=en").content)
    assert "Packing slip" in page.text


def test_many_in_one_document_in_the_order_asked_for(django_assert_num_queries):
    views = labelled(5)
    wanted = [view.id for view in reversed(views)]
    with django_assert_num_queries(1):
        printed = pages(printing.labels(wanted))
    assert [page.codes[0][1] for page in printed] == [f"SBX{n:08d}" for n in (4, 3, 2, 1, 0)]
    with django_assert_num_queries(2):
        assert len(pages(printing.slips(wanted))) == 5


def test_one_that_can_not_be_printed_stops_the_batch_and_is_named():
    [good], [bare] = labelled(), packed()
    with pytest.raises(NotLabelled) as refused:
        printing.labels([good.id, bare.id])
    assert refused.value.data == {"numbers": [bare.number]}
    with pytest.raises(UnknownShipment):
        printing.labels([good.id, new_id()])
    for count in (0, printing.MOST_AT_ONCE + 1):
        with pytest.raises(ValueError, match="at once"):
            printing.slips([good.id] * count)


def test_the_sender_is_the_seller_at_the_warehouse(settings):
    settings.SELLER_NAME, settings.SELLER_ADDRESS = "Lampen GmbH", ["Kontor 1", "20095 Hamburg"]
    settings.SHIP_FROM_STREET, settings.SHIP_FROM_POSTAL_CODE = "Lagerweg 7", "1210"
    settings.SHIP_FROM_CITY, settings.SHIP_FROM_COUNTRY = "Wien", "AT"
    home, abroad = labelled(2, to=WIEN)
    Shipment.objects.filter(pk=abroad.id).update(country="CH")
    printed = [printing.labels([home.id]), printing.slips([home.id]), printing.labels([abroad.id])]
    texts = [page.text for document in printed for page in pages(document)]
    for text in texts:
        assert all(words in text for words in ("Lampen GmbH", "Lagerweg 7", "1210 Wien")), text
        assert "Hamburg" not in text
    assert ["AUSTRIA" in text for text in texts] == [False, False, True]
