"""Filters for the lists. None of them asks the database what there is to choose: tables are long, choices are known."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Now
from django.http import HttpRequest

from marketplace.operations import unfinished
from marketplace.outbox.catalog import TYPES_OF_TOPIC
from marketplace.outbox.models import Unpublished
from marketplace.sagas.definition import known
from marketplace.sagas.models import SagaInstance
from orders.returns.models import OPEN, ReturnStatus
from orders.wording import SENTENCES

MOST_QUIET = 10 * 365 * 86400  # seconds

Choices = Iterable[tuple[Any, str]]


class KnownChoices(SimpleListFilter):
    """Filters one column by values that are known beforehand."""

    column: ClassVar[str]
    values: ClassVar[Iterable[str]]

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        """Offer the known values."""
        return [(value, value) for value in self.values]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        """Keep the rows with the value that was chosen."""
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


class FailureCode(KnownChoices):
    """Why an order did not come about."""

    title = "failure code"
    parameter_name = column = "failure_code"
    values = tuple(SENTENCES)


class CurrentStep(KnownChoices):
    """Where a saga stands."""

    title = "step"
    parameter_name = column = "current_step"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        """The steps of every definition, each once."""
        return [(name, name) for name in dict.fromkeys(node.name for steps in known().values() for node in steps)]


class EventTopic(KnownChoices):
    """Where an event is published."""

    title = "topic"
    parameter_name = column = "topic"
    values = tuple(TYPES_OF_TOPIC)


class Quiet(SimpleListFilter):
    """For how long nothing has happened to a saga."""

    title = "nothing happened for"
    parameter_name = "quiet"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        """A few lengths of time, in seconds."""
        return [("900", "15 minutes"), ("3600", "an hour"), ("21600", "6 hours"), ("86400", "a day")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        """Keep those to which nothing has happened for so long."""
        seconds = self.value()
        if not seconds or not seconds.isdecimal():
            return queryset
        return queryset.filter(updated_at__lt=Now() - timedelta(seconds=min(int(seconds), MOST_QUIET)))


class StandingBy(SimpleListFilter):
    """What a saga stands by for."""

    title = "standing by"
    parameter_name = "standby"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        """Breakers or pauses; a link may name a single one, such as `circuit:sandbox`."""
        return [("circuit:", "For a breaker"), ("pause:", "For a pause to end")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        """Keep those that stand by for it."""
        what = self.value()
        return queryset.filter(standby__startswith=what).exclude(standby="") if what else queryset


class StuckSaga(SimpleListFilter):
    """Sagas that a person should look at."""

    title = "attention"
    parameter_name = "stuck"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        """Offer the one question there is."""
        return [("yes", "Stuck: parked, or past its time"), ("unfinished", "Anything that is not over")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        """Keep the stuck ones."""
        return queryset.filter(self._wanted()) if self.value() else queryset

    def _wanted(self) -> Any:
        return unfinished.stuck() if self.value() == "yes" else unfinished.UNFINISHED


class OrderOfStuckSaga(StuckSaga):
    """The same for orders, by their sagas."""

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        """Keep the orders whose saga is stuck."""
        if not self.value():
            return queryset
        return queryset.filter(saga_id__in=SagaInstance.objects.filter(self._wanted()).values("pk"))


class RunsLow(SimpleListFilter):
    """What is to be ordered anew: of what is for sale, that of which few are available."""

    title = "runs low"
    parameter_name = "low"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        """All that is low, or only what is gone."""
        return [("yes", "Low, or sold out"), ("gone", "Sold out")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        """Keep what is for sale and low."""
        if not self.value():
            return queryset
        most = Value(0) if self.value() == "gone" else F("product__low_stock_at")
        return queryset.filter(product__is_active=True, available__lte=most)


class Published(SimpleListFilter):
    """Whether an event has reached the bus."""

    title = "published"
    parameter_name = "waiting"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        """Only what waits is few enough to be asked for."""
        return [("yes", "Not yet")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        """Keep what waits."""
        return queryset.filter(position__in=Unpublished.objects.values("position")) if self.value() else queryset


class ReviewState(SimpleListFilter):
    """How far the reviews are; those that still wait, unless others are asked for."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        """What became of them."""
        return [("APPROVED", "approved"), ("REJECTED", "rejected"), ("CLOSED", "closed otherwise"), ("all", "all")]

    def choices(self, changelist: Any) -> Any:
        """The same, but that to choose nothing is to ask for those that wait."""
        first, *others = super().choices(changelist)
        return [{**first, "display": "waiting"}, *others]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        """Keep those in that state."""
        return queryset if self.value() == "all" else queryset.filter(status=self.value() or "PENDING")


class ReturnState(SimpleListFilter):
    """How far the returns are; those that are open, unless others are asked for."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Choices:
        """What became of them."""
        return [(status.value, str(status.label)) for status in ReturnStatus] + [("all", "all")]

    def choices(self, changelist: Any) -> Any:
        """The same, but that to choose nothing is to ask for those that are open."""
        first, *others = super().choices(changelist)
        return [{**first, "display": "open"}, *others]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        """Keep those in that state."""
        if self.value() == "all":
            return queryset
        return queryset.filter(status__in=[self.value()] if self.value() else OPEN)
