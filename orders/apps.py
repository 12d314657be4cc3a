from django.apps import AppConfig
from django.core.checks import register


class OrdersConfig(AppConfig):
    name = "orders"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Models can be imported only now that all apps are there.
        from fulfillment import scanning  # noqa: PLC0415
        from marketplace.outbox import listeners  # noqa: PLC0415
        from orders import parcel_news, payment_news  # noqa: PLC0415
        from orders.fraud.checking import check_checkers, check_patience  # noqa: PLC0415
        from orders.messages import intake, kinds  # noqa: PLC0415
        from orders.sagas import (  # noqa: F401, PLC0415 - known by being imported
            fulfill_order,
            payment_case_1,
            return_order,
            reverse_order_1,
        )
        from payments import observations  # noqa: PLC0415

        observations.listen(payment_news.heard)
        scanning.listen(parcel_news.heard)
        listeners.listen(intake.take_in, *kinds.EVENTS)
        register(check_checkers, "orders")
        register(check_patience, "orders")
