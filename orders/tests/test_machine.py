"""The short way is for plain transitions; whatever else django-fsm knows goes on as django-fsm has it."""

import pytest
from django.core.management import call_command
from django.db import models
from django.test.utils import isolate_apps
from django_fsm import RETURN_VALUE, TransitionNotAllowed, transition

from orders.machine import StatusField


@pytest.fixture
def door():
    """A door that is shut, which no table knows."""
    with isolate_apps("orders"):

        class Door(models.Model):
            status = StatusField(default="shut", protected=True)
            is_locked = False

            class Meta:
                app_label = "orders"

            @transition(field=status, source="shut", target="open", conditions=[lambda door: not door.is_locked])
            def open(self):
                return "creaks"

            @transition(field=status, source=["open", "shut"], target="painted")
            def paint(self, colour):
                return colour

            @transition(field=status, source="painted", target="open", on_error="broken")
            def kick(self):
                raise RuntimeError("It is a strong door.")

            @transition(field=status, source="*", target=RETURN_VALUE())
            def swing(self):
                return "ajar"

        yield Door()


def test_a_plain_transition_gets_its_arguments_and_answers(door):
    assert door.paint("green") == "green"
    assert door.status == "painted"


def test_what_a_plain_transition_raises_leaves_the_status(door):
    with pytest.raises(TypeError):
        door.paint()
    assert door.status == "shut"


def test_a_status_that_is_no_source_is_refused(door):
    door.paint("green")
    with pytest.raises(TransitionNotAllowed, match=r"painted.*paint"):
        door.paint("red")


def test_conditions_are_asked(door):
    door.is_locked = True
    with pytest.raises(TransitionNotAllowed, match="conditions"):
        door.open()
    door.is_locked = False
    assert (door.open(), door.status) == ("creaks", "open")


def test_an_error_leads_where_the_transition_says(door):
    door.paint("green")
    with pytest.raises(RuntimeError):
        door.kick()
    assert door.status == "broken"


def test_a_target_that_is_computed_and_a_source_of_any_kind(door):
    door.swing()
    assert door.status == "ajar"


@pytest.mark.django_db
def test_migrations_know_it_as_the_field_it_is():
    call_command("makemigrations", "orders", check_changes=True, dry_run=True, verbosity=0)
