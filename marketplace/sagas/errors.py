"""What the engine refuses.

NotFound
├── NoSuchSaga              there is no saga of that id
├── NoSuchCircuit           there is no breaker of that name
├── NothingToPause          no definition, step or queue here is called so
└── NotPaused               what shall go on was not paused
Refusal
└── ReasonRequired          a person decided without saying who and why
Conflict
├── AlreadyPaused           somebody has paused it before
├── SagaHasEnded            a signal came for a saga that is over
├── NotParked               it waits for no person: somebody else has decided, or nobody ever had to
│   └── AlreadyAcknowledged     … to leave it as it is
├── AlreadyCompensating     it is being undone, so it can only go on with that
├── PastPivot               there is no way back
├── NotByHand               what is left to do is nothing that a person could have done
└── DefinitionChanged       its definition is not the one by which it started
"""

from marketplace.kernel.errors import Conflict, NotFound, Refusal


class NoSuchSaga(NotFound):
    """There is no such saga."""

    code = "unknown_saga"


class NoSuchCircuit(NotFound):
    """There is no such breaker."""

    code = "unknown_circuit"


class NothingToPause(NotFound):
    """There is no such definition, step or queue."""

    code = "nothing_to_pause"


class NotPaused(NotFound):
    """It is not paused."""

    code = "not_paused"


class AlreadyPaused(Conflict):
    """It is paused already."""

    code = "already_paused"


class ReasonRequired(Refusal):
    """Say who you are and why: both go on record."""

    code = "reason_required"


class SagaHasEnded(Conflict):
    """The saga is already over."""

    code = "saga_has_ended"


class NotParked(Conflict):
    """The saga does not need a person."""

    code = "saga_not_parked"


class AlreadyAcknowledged(NotParked):
    """Somebody has already acknowledged this case."""

    code = "saga_already_acknowledged"


class AlreadyCompensating(Conflict):
    """The saga is already being undone; retry it, or resolve the undo where it stands."""

    code = "saga_already_compensating"


class PastPivot(Conflict):
    """The saga is past its pivot: there is no way back."""

    code = "saga_past_pivot"


class NotByHand(Conflict):
    """This can't be taken as done by hand."""

    code = "saga_not_by_hand"


class DefinitionChanged(Conflict):
    """The definition this saga started with is not here."""

    code = "saga_definition_changed"
