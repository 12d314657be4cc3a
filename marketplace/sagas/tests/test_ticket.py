from marketplace.kernel.ids import new_id
from marketplace.sagas.ticket import Cause, Ticket


def test_the_key_of_a_step_is_the_same_for_each_attempt_and_another_for_its_undo() -> None:
    ticket = Ticket(id=new_id(), subject_id=new_id(), context={}, cause=None)
    ticket.step = "charge_card"
    keys = set()
    for attempt in (1, 2, 3):
        ticket.attempt = attempt
        keys.add(ticket.key)
    assert keys == {f"{ticket.id}:charge_card"}
    ticket.undoing = True
    assert ticket.key == f"{ticket.id}:charge_card:undo"
    assert ticket.key_of("charge_card") == f"{ticket.id}:charge_card"
    assert repr(ticket) == f"<Ticket {ticket.id} undo charge_card attempt 3>"


def test_a_cause_survives_its_way_through_the_database() -> None:
    cause = Cause("failed", "card_declined", "Declined.", {"reason": "51"})
    assert Cause.of_json(cause.as_json()) == cause
    assert Cause("failed", "x").as_json()["data"] == {}
