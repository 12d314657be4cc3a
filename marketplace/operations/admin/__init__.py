"""The admin site: what is there, and why it is where it is.

Sagas move orders, and only they; so everything they write can be looked at here and not be touched. What people decide
(the catalogue, deliveries and counts, logins) can be changed, through the same services as everywhere else.
"""

from django.contrib import admin

from marketplace.operations.admin import (
    accounts,
    cases,
    catalogue,
    fraud,
    idempotency,
    invoices,
    mailbox,
    messages,
    news,
    orders,
    outbox,
    parcels,
    payments,
    refunds,
    returns,
    sagas,
    schedule,
    stock,
    warehouse,
    webhooks,
)

__all__ = [
    "accounts",
    "cases",
    "catalogue",
    "fraud",
    "idempotency",
    "invoices",
    "mailbox",
    "messages",
    "news",
    "orders",
    "outbox",
    "parcels",
    "payments",
    "refunds",
    "returns",
    "sagas",
    "schedule",
    "stock",
    "warehouse",
    "webhooks",
]

admin.site.index_template = "operations/dashboard.html"
