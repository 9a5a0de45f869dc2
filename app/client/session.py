"""Staying signed in: which token to send, and a new one when the old one is not good any more."""

import json
from typing import Final
from urllib.parse import urlencode

from app.client import errors, steps
from app.client.errors import HeadraceError, MissingCredentials, UnexpectedResponse
from app.client.steps import Answer, Flow, Request

OK: Final = 200


class Session:
    """The tokens of one client.

    A refresh token is good once, and its second use signs out everybody who stems from the same sign-in. So a
    refresh whose answer was lost is never repeated: the password begins anew.
    """

    def __init__(self, *, username: str | None, password: str | None, token: str | None) -> None:
        if token is None and (username is None or password is None):
            raise MissingCredentials("Give a token, or a username and its password.")
        if token is not None and not (token.isascii() and token.isprintable() and token):
            raise MissingCredentials("The token has characters that no token has.")
        self._username = username
        self._password = password
        self._access = token
        self._refresh: str | None = None
        self.can_renew = token is None

    def bearer(self, refused: str | None) -> Flow[str]:
        """A token that is not the refused one. However many ask for it at a time, one of them gets it."""
        if self._access is not None and self._access != refused:
            return self._access
        return (yield from steps.alone(self._renew(refused)))

    def _renew(self, refused: str | None) -> Flow[str]:
        if self._access is not None and self._access != refused:
            return self._access  # somebody was first
        self._access = None
        refresh, self._refresh = self._refresh, None
        if refresh is not None:
            renewed = yield from self._refreshed(refresh)
            if renewed is not None:
                return renewed
        return (yield from self._signed_in())

    def _refreshed(self, refresh: str) -> Flow[str | None]:
        body = json.dumps({"refresh_token": refresh}).encode()
        request = Request("POST", "/token/refresh", headers={"content-type": "application/json"}, body=body)
        try:
            answer = yield from steps.send(request)
        except HeadraceError:
            return None
        return self._take(answer) if answer.status == OK else None

    def _signed_in(self) -> Flow[str]:
        form = urlencode({"username": self._username, "password": self._password}, errors="replace")
        request = Request(
            "POST",
            "/token",
            headers={"content-type": "application/x-www-form-urlencoded"},
            body=form.encode(),
        )
        answer = yield from steps.send(request)
        errors.ensure_ok(answer)
        return self._take(answer)

    def _take(self, answer: Answer) -> str:
        try:
            pair = json.loads(answer.body)
            access: str = pair["access_token"]
            self._refresh = pair.get("refresh_token")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UnexpectedResponse(
                "The answer to the sign-in is not one of Headrace: is the URL right?"
            ) from None
        self._access = access
        return access
