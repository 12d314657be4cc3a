from django.apps import AppConfig
from django.core.checks import register

from marketplace.kernel.starting import ask_before_starting


class SagasConfig(AppConfig):
    name = "marketplace.sagas"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Have the settings and the definitions checked with everything else that Django checks."""
        # Models can be imported only now that all apps are there.
        from marketplace.sagas.checks import check_sagas  # noqa: PLC0415
        from marketplace.sagas.startup import obstacles  # noqa: PLC0415

        register(check_sagas, "sagas")
        ask_before_starting(obstacles)
