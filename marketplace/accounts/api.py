"""The accounts' endpoint."""

from typing import ClassVar, Final

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts import services
from marketplace.kernel.limits import Limit, Throttle
from marketplace.kernel.serializers import StrictSerializer

LONGEST_NAME: Final = 150


class CredentialsSerializer(StrictSerializer):
    """Who signs in."""

    username = serializers.CharField(max_length=LONGEST_NAME)
    password = serializers.CharField(max_length=4096, trim_whitespace=False, style={"input_type": "password"})


class TokenSerializer(StrictSerializer):
    """What to send along from then on."""

    token = serializers.CharField()


class ByAddress(Throttle):
    """Who tries passwords from one address."""

    limit: ClassVar = Limit("tokens by address", 60, 60)


class ByName(Throttle):
    """Who tries the passwords of one account, from wherever."""

    limit: ClassVar = Limit("tokens by name", 10, 60)

    def who(self, request: Request) -> str:
        """The name that is tried, whether or not there is such an account."""
        name = request.data.get("username") if isinstance(request.data, dict) else None
        return str(name)[:LONGEST_NAME].casefold()


class TokenView(APIView):
    """API tokens."""

    authentication_classes = ()  # a stale token must not keep anybody from getting a new one
    permission_classes = ()
    throttle_classes = (ByAddress, ByName)

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
        token = services.issue_token(**body.validated_data)
        return Response({"token": token}, headers={"Cache-Control": "no-store"})
