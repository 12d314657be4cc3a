"""The admin's menu: by what people look for, not by app."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

_GROUPS = (
    ("", (("Dashboard", "monitoring", "index", ""), ("The shop", "storefront", "/", ""))),
    (
        "Orders",
        (
            ("Orders", "receipt_long", "orders_order_changelist", "orders.view_order"),
            ("Sagas", "account_tree", "sagas_sagainstance_changelist", "sagas.view_sagainstance"),
            ("Breakers and pauses", "pause_circle", "sagas_sagainstance_standby", "sagas.view_sagainstance"),
        ),
    ),
    (
        "Money",
        (
            ("Payments", "payments", "payments_payment_changelist", "payments.view_payment"),
            (
                "Reconciliation",
                "balance",
                "payments_reconciliationcase_changelist",
                "payments.view_reconciliationcase",
            ),
            ("Webhooks", "webhook", "payments_webhookevent_changelist", "payments.view_webhookevent"),
        ),
    ),
    (
        "Stock",
        (
            ("Products", "sell", "inventory_product_changelist", "inventory.view_product"),
            ("Categories", "category", "inventory_category_changelist", "inventory.view_category"),
            ("Levels", "inventory_2", "inventory_stock_changelist", "inventory.view_stock"),
            ("Holds", "front_hand", "inventory_reservation_changelist", "inventory.view_reservation"),
            ("Ledger", "menu_book", "inventory_ledgerentry_changelist", "inventory.view_ledgerentry"),
        ),
    ),
    (
        "Under the hood",
        (
            ("Events", "campaign", "outbox_outboxevent_changelist", "outbox.view_outboxevent"),
            (
                "Answered requests",
                "key",
                "idempotency_idempotencyrecord_changelist",
                "idempotency.view_idempotencyrecord",
            ),
            (
                "Schedule",
                "schedule",
                "django_celery_beat_periodictask_changelist",
                "django_celery_beat.view_periodictask",
            ),
        ),
    ),
    (
        "People",
        (
            ("Users", "person", "accounts_user_changelist", "accounts.view_user"),
            ("Groups", "group", "auth_group_changelist", "auth.view_group"),
        ),
    ),
)


_BELOW_ANOTHER = "sagas_sagainstance_standby"  # its address lies below that of the sagas, which are not meant then


def _item(request: HttpRequest, name: str, icon: str, target: str) -> dict[str, Any]:
    if target.startswith("/"):
        return {"title": name, "icon": icon, "link": target, "active": False}
    item: dict[str, Any] = {"title": name, "icon": icon, "link": reverse(f"admin:{target}")}
    if target != _BELOW_ANOTHER and request.path.startswith(reverse(f"admin:{_BELOW_ANOTHER}")):
        item["active"] = False
    return item


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the menu with what the person who asks may view."""
    groups = [
        {
            "title": title,
            "items": [
                _item(request, name, icon, target)
                for name, icon, target, permission in entries
                if not permission or request.user.has_perm(permission)
            ],
        }
        for title, entries in _GROUPS
    ]
    return [group for group in groups if group["items"]]


def stylesheet(request: HttpRequest) -> str:
    """Return the address of our own styles."""
    return static("operations/operations.css")


def icon(request: HttpRequest) -> str:
    """Return the address of the site's icon."""
    return static("operations/icon.svg")
