"""The accounts' endpoint."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts import guessing, services
from marketplace.kernel.serializers import StrictSerializer


class CredentialsSerializer(StrictSerializer):
    """Who signs in."""

    username = serializers.CharField(max_length=guessing.LONGEST_NAME)
    password = serializers.CharField(max_length=4096, trim_whitespace=False, style={"input_type": "password"})


class TokenSerializer(StrictSerializer):
    """What to send along from then on."""

    token = serializers.CharField()


class TokenView(APIView):
    """API tokens."""

    authentication_classes = ()  # a stale token must not keep anybody from getting a new one
    permission_classes = ()

    @extend_schema(
        operation_id="createToken",
        tags=["accounts"],
        request=CredentialsSerializer,
        responses=TokenSerializer,
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Trade a user name and a password for an API token, to be sent as `Authorization: Token …`."""
        body = CredentialsSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        tried = guessing.begin(body.validated_data["username"], address=guessing.address_of(request))
        token = services.issue_token(**body.validated_data)
        tried.was_right()
        return Response({"token": token}, headers={"Cache-Control": "no-store"})
