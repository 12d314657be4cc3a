"""What the shop's sandbox services are made of: small, strict HTTP services of their own, each with a durable ledger.

A sandbox stands for a company outside (a bank, a carrier). It is a process of its own that knows neither Django nor the
shop, so it can be asked what it believes whatever became of us. What each of them believes is its own business; what
they have in common is here:

    wire         HTTP/1.1 as far as they speak it
    serving      many connections, one ledger: what waits is decided and committed together
    ledger       one SQLite file, written by one thread; idempotency keys with their answers
    telling      events, kept beside what they tell of      courier     their delivery: signed, until they are taken
    environment  how such a service is told what to do      checks      what it accepts      pages   for people
    client       the other side: what the shop's clients of them have in common
"""
