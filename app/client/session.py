"""Keeps the client signed in: signs in, and renews the access token."""

import json
from typing import Final
from urllib.parse import urlencode

from app.client import errors, steps
from app.client.errors import HeadraceError, MissingCredentials, UnexpectedResponse
from app.client.steps import Flow, Request, Response

OK: Final = 200


class Session:
    """The tokens of one client, or its API key.

    A refresh token can be used once. A second use revokes all tokens of the same sign-in, so a refresh whose
    response was lost is never repeated: the client signs in with the password instead.
    """

    def __init__(
        self,
        *,
        username: str | None,
        password: str | None,
        token: str | None,
        api_key: str | None = None,
    ) -> None:
        if token is not None and api_key is not None:
            raise MissingCredentials("Pass a token or an API key, not both.")
        token = api_key if token is None else token
        if token is None and (username is None or password is None):
            raise MissingCredentials("Pass an API key, a token, or a username and a password.")
        if token is not None and not (token.isascii() and token.isprintable() and token):
            raise MissingCredentials("The token or API key contains characters that are not allowed there.")
        self._username = username
        self._password = password
        self._access = token
        self._refresh: str | None = None
        self.can_renew = token is None

    def bearer(self, rejected: str | None) -> Flow[str]:
        """A token other than the rejected one. Of concurrent requests, only one renews the token."""
        if self._access is not None and self._access != rejected:
            return self._access
        return (yield from steps.exclusively(self._renew(rejected)))

    def _renew(self, rejected: str | None) -> Flow[str]:
        if self._access is not None and self._access != rejected:
            return self._access  # another request has renewed it
        self._access = None
        refresh, self._refresh = self._refresh, None
        if refresh is not None:
            renewed = yield from self._use_refresh_token(refresh)
            if renewed is not None:
                return renewed
        return (yield from self._sign_in())

    def _use_refresh_token(self, refresh: str) -> Flow[str | None]:
        body = json.dumps({"refresh_token": refresh}).encode()
        request = Request("POST", "/token/refresh", headers={"content-type": "application/json"}, body=body)
        try:
            response = yield from steps.send(request)
        except HeadraceError:
            return None
        return self._store(response) if response.status == OK else None

    def _sign_in(self) -> Flow[str]:
        form = urlencode({"username": self._username, "password": self._password}, errors="replace")
        request = Request(
            "POST",
            "/token",
            headers={"content-type": "application/x-www-form-urlencoded"},
            body=form.encode(),
        )
        response = yield from steps.send(request)
        errors.raise_for_status(response)
        return self._store(response)

    def _store(self, response: Response) -> str:
        try:
            pair = json.loads(response.body)
            access: str = pair["access_token"]
            self._refresh = pair.get("refresh_token")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UnexpectedResponse(
                "The response to the sign-in does not come from Headrace: check the URL."
            ) from None
        self._access = access
        return access
