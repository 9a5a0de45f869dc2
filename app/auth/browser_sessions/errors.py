"""Errors of browser sessions."""

from app.core.errors import Forbidden, Unauthorized


class CrossOrigin(Forbidden):
    """Only pages of this origin and of those in `ALLOWED_ORIGINS` may use browser sessions."""

    code = "cross_origin"
    title = "Cross-origin request"


class NoSession(Unauthorized):
    """Sign in first: this browser has no session, or it has ended."""

    def __init__(self, clearing: str | None = None) -> None:
        """`clearing` is the header that deletes the cookie, if the browser has sent one."""
        super().__init__()
        self._clearing = clearing

    @property
    def headers(self) -> dict[str, str]:
        """Delete the cookie."""
        return super().headers | ({} if self._clearing is None else {"Set-Cookie": self._clearing})
