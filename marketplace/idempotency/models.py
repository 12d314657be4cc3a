"""What was answered."""

from typing import ClassVar

from django.db import models


class IdempotencyRecord(models.Model):
    """The answer to the first request with some key, written in the transaction of the work it did.

    `digest` is the SHA-256 of principal, method, route and key. The key itself lies nowhere: to a guest it is what a
    replay of the answer, with the secret of the order, is given out for.
    """

    digest = models.BinaryField(primary_key=True, max_length=32)
    principal = models.CharField(max_length=200)
    method = models.CharField(max_length=10)
    route = models.CharField(max_length=100)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    headers = models.JSONField()
    body = models.TextField(help_text="JSON as text: jsonb would put the members into another order")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "idempotency_record"
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="idempotency_expired")]

    def __str__(self) -> str:
        return f"{self.method} {self.route} by {self.principal}: {self.status}"
