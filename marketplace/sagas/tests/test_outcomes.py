from datetime import UTC, datetime

from marketplace.kernel.ids import new_id
from marketplace.sagas.outcomes import Done, Outcome, Refused, each
from marketplace.sagas.ticket import Ticket

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def test_each_serves_a_group_with_a_handler_of_one() -> None:
    def judge(ticket: Ticket, *, now: datetime) -> Outcome:
        """Judge one."""
        assert now == NOW
        return Done({"said": "yes"}) if ticket.context["good"] else Refused("bad")

    group = each(judge)
    tickets = [Ticket(id=new_id(), subject_id=new_id(), context={"good": good}, cause=None) for good in (True, False)]

    assert group(tickets, now=NOW) == [Done({"said": "yes"}), Refused("bad")]
    assert group([], now=NOW) == []
    assert (group.__name__, group.__doc__) == ("judge", "Judge one.")
