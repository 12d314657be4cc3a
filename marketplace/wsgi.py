"""The WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

from marketplace.kernel.starting import refuse_to_start

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")

application = get_wsgi_application()
refuse_to_start()
