"""Mails that were collected instead of sent."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import ClassVar

from django.db import models
from django.db.models.functions import Now


class CollectedMail(models.Model):
    """A mail as a server would have got it. One for each Message-ID: a second time, it is the same mail."""

    message_id = models.CharField(max_length=255, unique=True)
    recipient = models.EmailField()
    subject = models.CharField(max_length=255)
    content = models.BinaryField()
    collected_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = "collected mail"
        indexes: ClassVar = [models.Index(fields=["collected_at"], name="mail_collected_oldest")]

    def __str__(self) -> str:
        return self.subject

    @property
    def parsed(self) -> EmailMessage:
        """The mail, taken apart."""
        return message_from_bytes(bytes(self.content), policy=policy.default)
