"""Every address of the site."""

from django.contrib import admin
from django.urls import path

urlpatterns = [
    path("admin/", admin.site.urls),
]

handler400 = "marketplace.kernel.problems.bad_request"
handler403 = "marketplace.kernel.problems.permission_denied"
handler404 = "marketplace.kernel.problems.page_not_found"
handler500 = "marketplace.kernel.problems.server_error"
