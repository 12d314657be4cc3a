from django.urls import include, path

urlpatterns = [path("api/", include("inventory.api.urls"))]

handler404 = "marketplace.kernel.problems.page_not_found"
