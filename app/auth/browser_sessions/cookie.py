"""The cookie that holds the refresh token of a browser."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from app.core.config import Settings

SECURE_NAME: Final = "__Host-headrace"
"""Browsers accept a cookie of this name only with `Secure` and `Path=/`, from this host itself, over https.

They treat `localhost` as https. Other subdomains cannot set it.
"""

PLAIN_NAME: Final = "headrace"


class SessionCookie:
    """Reads, sets and deletes the cookie: for https only, or for any scheme, as the settings say.

    No script can read it (`HttpOnly`), and a request that another site starts does not carry it
    (`SameSite=Strict`).
    """

    def __init__(self, settings: Settings) -> None:
        self.is_secure = settings.has_secure_cookies
        self.name = SECURE_NAME if self.is_secure else PLAIN_NAME
        self._max_age = settings.refresh_token_seconds

    def read(self, request: Request) -> str | None:
        """Return the refresh token that the browser has sent."""
        return request.cookies.get(self.name) or None

    def set(self, response: Response, token: str) -> None:
        """Make the browser keep a refresh token for as long as it is valid."""
        self._write(response, token, self._max_age)

    def delete(self, response: Response) -> None:
        """Make the browser forget the refresh token."""
        self._write(response, "", 0)

    def deletion(self) -> str:
        """Return the value of a `Set-Cookie` header that makes the browser forget the refresh token."""
        response = Response()
        self.delete(response)
        return response.headers["set-cookie"]

    def _write(self, response: Response, value: str, max_age: int) -> None:
        response.set_cookie(
            self.name,
            value,
            max_age=max_age,
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="strict",
        )
