"""`POST /api/auth/token` and `/api/auth/token/refresh`: our own tokens for a name and password."""

from __future__ import annotations

from django.contrib.auth import authenticate
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from config.api import errors
from config.api.auth import user_of_own_token
from config.api.errors import ApiError


class Login(serializers.Serializer[None]):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=4096, trim_whitespace=False)


class TokenPair(serializers.Serializer[None]):
    access = serializers.CharField()
    refresh = serializers.CharField()


class Refresh(serializers.Serializer[None]):
    refresh = serializers.CharField(max_length=8192)


class Access(serializers.Serializer[None]):
    access = serializers.CharField()


class Public(APIView):
    """No token is read here: a stale one in the header must not keep its owner from a new one."""

    authentication_classes = ()
    permission_classes = (AllowAny,)


class TokenView(Public):
    @extend_schema(operation_id="token", tags=["auth"], request=Login, responses=TokenPair, auth=[])
    def post(self, request: Request) -> Response:
        """Log in: an access token for the Authorization header, and a refresh token for new ones."""
        login = Login(data=request.data)
        login.is_valid(raise_exception=True)
        user = authenticate(request._request, **login.validated_data)
        if user is None:
            wait_s = getattr(request._request, "login_retry_after_s", None)
            if wait_s is not None:
                limited = errors.rate_limited(wait_s)
                raise ApiError(limited.status, limited.code, limited.message, headers=limited.headers)
            raise ApiError(401, "LOGIN_FAILED", "Wrong name or password.", counted=True)
        refresh = RefreshToken.for_user(user)
        return Response({"access": str(refresh.access_token), "refresh": str(refresh)})


class RefreshView(Public):
    @extend_schema(operation_id="token_refresh", tags=["auth"], request=Refresh, responses=Access, auth=[])
    def post(self, request: Request) -> Response:
        """Get a new access token. Refused when the person is gone or disabled, or the password was changed."""
        body = Refresh(data=request.data)
        body.is_valid(raise_exception=True)
        raw = body.validated_data["refresh"]
        user = user_of_own_token(raw, RefreshToken)
        return Response({"access": str(AccessToken.for_user(user))})
