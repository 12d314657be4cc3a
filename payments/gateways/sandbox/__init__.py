"""A gateway of our own to develop and test with: a small, strict payment service and its client.

The service (`python -m payments.gateways.sandbox`) is a process of its own with its own durable ledger. It shares no
code, no database and no settings with the shop, so it can be asked what it believes whatever became of us.

    service: options -> server -> wire (HTTP), pages (for people), courier (webhooks, and what happens by itself)
             ledger (the rules) -> bank (what it does by itself), telling (events) -> schema (SQLite)
             tokens (what each test card does)
    client:  client
"""
