"""What was told, what is still to be published, and which relay may publish it."""

from typing import ClassVar
from uuid import UUID

from django.db import models

SHARDS = 16


def shard_of(saga_id: UUID) -> int:
    """Return the shard a saga belongs to: by the last byte of its id, which is random in every version that we use."""
    return saga_id.bytes[15] % SHARDS


class OutboxEvent(models.Model):
    """Something that happened to a saga, told in the transaction in which it happened. Append-only.

    `position` grows within a saga, since its events are written one transaction after the other; between sagas it says
    nothing, because transactions commit in another order than they draw numbers.
    """

    position = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField()
    topic = models.CharField(max_length=40)
    type = models.CharField(max_length=40)
    saga_id = models.UUIDField()
    sequence = models.PositiveIntegerField()
    subject_id = models.UUIDField()
    data = models.JSONField()
    occurred_at = models.DateTimeField()

    class Meta:
        db_table = "outbox_event"
        verbose_name = "event"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["saga_id", "sequence"], name="outbox_one_event_per_sequence"),
        ]
        indexes: ClassVar = [models.Index(fields=["subject_id", "position"], name="outbox_events_of_subject")]

    def __str__(self) -> str:
        return f"{self.type} {self.saga_id}/{self.sequence}"


class Unpublished(models.Model):
    """A note that an event is still to be published; striking it is how an event is marked as published.

    A column on the event would do, but a change of it can't be a HOT update (the partial index has it in its
    condition): each event would be written twice, with all its index entries, and half of the largest table would be
    dead rows. So that table is insert-only, and this one stays small.
    """

    pk = models.CompositePrimaryKey("shard", "position")
    shard = models.PositiveSmallIntegerField()
    position = models.BigIntegerField()

    class Meta:
        db_table = "outbox_unpublished"

    def __str__(self) -> str:
        return f"{self.shard}/{self.position}"


class Shard(models.Model):
    """A share of the sagas that one relay at a time publishes. `fence` grows with each change of hands."""

    number = models.PositiveSmallIntegerField(primary_key=True)
    owner = models.UUIDField(null=True)
    fence = models.BigIntegerField(default=0)
    leased_until = models.DateTimeField(null=True)

    class Meta:
        db_table = "outbox_shard"

    def __str__(self) -> str:
        return f"shard {self.number}"


class Relay(models.Model):
    """A relay process that is alive until `seen_until`, so that the others know to leave it its share."""

    id = models.UUIDField(primary_key=True)
    seen_until = models.DateTimeField()

    class Meta:
        db_table = "outbox_relay"

    def __str__(self) -> str:
        return f"relay {self.id}"
