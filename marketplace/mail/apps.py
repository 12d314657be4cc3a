from django.apps import AppConfig


class MailConfig(AppConfig):
    name = "marketplace.mail"
    default_auto_field = "django.db.models.BigAutoField"
