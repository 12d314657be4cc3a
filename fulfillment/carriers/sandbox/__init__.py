"""A carrier of our own to develop and test with: a small, strict parcel service and its client.

The service (`python -m fulfillment.carriers.sandbox`) is a process of its own with its own durable ledger. It shares no
database and no settings with the shop, so it can be asked what it believes whatever became of us.

    service: options -> server (HTTP), pages (for people) -> ledger (the rules), behaviour (what an address does)
             what it has in common with the sandbox bank: `marketplace.sandbox`
    client:  client
"""
