"""The state machine's field: django-fsm's, with a short way for transitions that have nothing special about them."""

from typing import Any

from django_fsm import FSMField


class StatusField(FSMField):
    """A status that only its transitions change, many thousands a second.

    What a transition is, and from where it may be made, is django-fsm's business. But it also sends two signals for
    each, for which nobody here listens, and looks for conditions, states that are computed and states for errors: for
    a transition without any of these, this is the whole of it.
    """

    def change_state(self, instance: Any, method: Any, *args: Any, **kwargs: Any) -> Any:
        """Make the transition `method`; raises `TransitionNotAllowed` from a state that is no source of it."""
        values = instance.__dict__
        transition = method._django_fsm.transitions.get(values[self.name])
        if transition is None or transition.conditions or transition.on_error or not isinstance(transition.target, str):
            return super().change_state(instance, method, *args, **kwargs)
        result = method(instance, *args, **kwargs)
        values[self.name] = transition.target
        return result

    def deconstruct(self) -> Any:
        """For migrations it is an FSMField: the database does not know the difference."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django_fsm.FSMField", args, kwargs
