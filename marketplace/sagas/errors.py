"""What the engine refuses.

NotFound
└── NoSuchSaga          there is no saga of that id
Conflict
└── SagaHasEnded        a signal came for a saga that is over
"""

from marketplace.kernel.errors import Conflict, NotFound


class NoSuchSaga(NotFound):
    """There is no such saga."""

    code = "unknown_saga"


class SagaHasEnded(Conflict):
    """The saga is already over."""

    code = "saga_has_ended"
