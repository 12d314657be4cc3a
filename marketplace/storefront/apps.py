from django.apps import AppConfig


class StorefrontConfig(AppConfig):
    name = "marketplace.storefront"
    default_auto_field = "django.db.models.BigAutoField"
