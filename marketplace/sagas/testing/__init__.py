"""Testing sagas, as a feature: a sentence for a definition's own tests.

    def test_a_declined_card_frees_the_seat(db):
        given(BookTrip, trip).when("charge_card", refuses="card_declined").expect_undone("reserve_seat")

See `given` for what it runs, `Event` for what may happen at a step, and docs/sagas.md for examples.
"""

from marketplace.sagas.testing.clock import let_come, let_pass
from marketplace.sagas.testing.interception import Interceptor, Place, intercepted
from marketplace.sagas.testing.script import Event
from marketplace.sagas.testing.sentence import Sentence, given
from marketplace.sagas.testing.story import Story

__all__ = ["Event", "Interceptor", "Place", "Sentence", "Story", "given", "intercepted", "let_come", "let_pass"]
