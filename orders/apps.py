from django.apps import AppConfig


class OrdersConfig(AppConfig):
    name = "orders"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Models can be imported only now that all apps are there.
        from orders import payment_news  # noqa: PLC0415
        from payments import observations  # noqa: PLC0415

        observations.listen(payment_news.heard)
