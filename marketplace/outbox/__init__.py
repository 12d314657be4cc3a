"""The transactional outbox: events are written with the change they tell of, and relayed to the bus afterwards.

    services.append   in the caller's transaction: the event, and a note that it is unpublished
    relay             another process: lease shards, publish in order, then strike the note
    transports        the bus behind a small protocol, chosen by EVENT_BUS_URL
    listeners         parts of this project that write down what events mean for them, and lose none
    subscribers       Celery tasks of this project that want to hear of some types of event
    selectors         what was told about an order; how far behind the relay is

Delivery is at least once and in order per saga: of each topic, whoever drops an event whose `sequence` is not above the
last one it saw there of that `sagaid` sees each event exactly once, in order.
"""
