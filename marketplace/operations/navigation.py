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
            ("Mails to buyers", "outgoing_mail", "orders_message_changelist", "orders.view_message"),
            ("Mailbox", "mail", "mail_collectedmail_changelist", "mail.view_collectedmail"),
            ("Sagas", "account_tree", "sagas_sagainstance_changelist", "sagas.view_sagainstance"),
            ("Reviews", "person_search", "orders_review_changelist", "orders.view_review"),
            ("Returns", "assignment_return", "orders_return_changelist", "orders.view_return"),
            ("Breakers and pauses", "pause_circle", "sagas_sagainstance_standby", "sagas.view_sagainstance"),
        ),
    ),
    (
        "Money",
        (
            ("Payments", "payments", "payments_payment_changelist", "payments.view_payment"),
            ("Refunds", "currency_exchange", "payments_refund_changelist", "payments.view_refund"),
            (
                "Reconciliation",
                "balance",
                "payments_reconciliationcase_changelist",
                "payments.view_reconciliationcase",
            ),
            ("Invoices", "receipt", "orders_invoice_changelist", "orders.view_invoice"),
            ("Credit notes", "undo", "orders_creditnote_changelist", "orders.view_creditnote"),
            ("Webhooks", "webhook", "payments_webhookevent_changelist", "payments.view_webhookevent"),
            ("News that are stuck", "sync_problem", "payments_observation_changelist", "payments.view_observation"),
        ),
    ),
    (
        "Fraud",
        (
            ("Rules", "rule", "orders_fraudrule_changelist", "orders.view_fraudrule"),
            ("Deny list", "block", "orders_denyentry_changelist", "orders.view_denyentry"),
            ("Changes", "history", "orders_rulechange_changelist", "orders.view_rulechange"),
        ),
    ),
    (
        "Warehouse",
        (
            ("Pick list", "list_alt", "fulfillment_batch_pick", "fulfillment.pack_shipment"),
            ("Packing", "barcode_scanner", "fulfillment_batch_pack", "fulfillment.pack_shipment"),
            ("Labels", "label", "fulfillment_batch_labels", "fulfillment.pack_shipment"),
            ("Can’t ship", "remove_shopping_cart", "fulfillment_batch_cannot_ship", "fulfillment.pack_shipment"),
        ),
    ),
    (
        "Parcels",
        (
            ("Shipments", "local_shipping", "fulfillment_shipment_changelist", "fulfillment.view_shipment"),
            ("Delivery times", "schedule_send", "fulfillment_deliveryrate_changelist", "fulfillment.view_deliveryrate"),
            ("Scans told", "webhook", "fulfillment_carrierevent_changelist", "fulfillment.view_carrierevent"),
            ("Scans that are stuck", "sync_problem", "fulfillment_scan_changelist", "fulfillment.view_scan"),
        ),
    ),
    (
        "Stock",
        (
            ("Products", "sell", "inventory_product_changelist", "inventory.view_product"),
            ("Categories", "category", "inventory_category_changelist", "inventory.view_category"),
            ("Levels", "inventory_2", "inventory_stock_changelist", "inventory.view_stock"),
            ("Runs low", "production_quantity_limits", "inventory_stock_changelist?low=yes", "inventory.view_stock"),
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


_WITH_A_VIEW_OF_ITS_OWN = "inventory_stock_changelist"  # two entries lead to it, one of them with a filter


def _item(request: HttpRequest, name: str, icon: str, target: str) -> dict[str, Any]:
    if target.startswith("/"):
        return {"title": name, "icon": icon, "link": target, "active": False}
    view, asked, query = target.partition("?")
    item: dict[str, Any] = {"title": name, "icon": icon, "link": reverse(f"admin:{view}") + asked + query}
    if view == _WITH_A_VIEW_OF_ITS_OWN:
        item["active"] = request.path.startswith(reverse(f"admin:{view}")) and ("low" in request.GET) is bool(query)
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
