"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from marketplace.accounts.doors import door

urlpatterns = [
    path("admin/login/", door(admin.site.login)),
    path("admin/", admin.site.urls),
    path("api/", include("inventory.api.urls")),
    path("api/", include("orders.api.urls")),
    path("api/", include("payments.api.urls")),
    path("api/", include("fulfillment.api.printing")),
    path("api/", include("fulfillment.api.urls")),
    path("api/", include("marketplace.accounts.urls")),
    path("api/schema", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs", SpectacularSwaggerView.as_view(url_name="api-schema"), name="api-docs"),
    path("", include("marketplace.operations.urls")),
    path("", include("marketplace.storefront.urls")),
]

handler400 = "marketplace.kernel.problems.bad_request"
handler403 = "marketplace.kernel.problems.permission_denied"
handler404 = "marketplace.kernel.problems.page_not_found"
handler500 = "marketplace.kernel.problems.server_error"
