"""What can go wrong on the way to the bus."""

from marketplace.kernel.errors import Unavailable


class BusUnavailable(Unavailable):
    """The event bus did not confirm that it took the events."""

    code = "bus_unavailable"
