"""What idempotency keys refuse."""

from marketplace.kernel.errors import Conflict, Refusal


class KeyMissing(Refusal):
    """An Idempotency-Key header, or a requestId in the body, is needed."""

    code = "idempotency_key_missing"


class KeyMalformed(Refusal):
    """An idempotency key is 1 to 255 printable ASCII characters."""

    code = "idempotency_key_malformed"


class KeyReused(Refusal):
    """This idempotency key was used for another request. Take a new one."""

    code = "idempotency_key_reused"


class InProgress(Conflict):
    """The first request with this idempotency key is still being worked on."""

    code = "idempotency_in_progress"
    retryable = True
