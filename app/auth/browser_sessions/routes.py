"""Routes with which a page signs in and stays signed in: `/session`.

The only routes that read the cookie. All of them refuse requests from the pages of other origins, before the
body is read.
"""

from collections.abc import Hashable

from fastapi import APIRouter, Depends, Request, Response
from starlette.status import HTTP_204_NO_CONTENT

from app.auth.browser_sessions.cookie import SessionCookie
from app.auth.browser_sessions.errors import CrossOrigin, NoSession
from app.auth.browser_sessions.schemas import CreateSession, SessionTokens
from app.auth.deps import AuthDep, SourceDep
from app.auth.errors import InactiveUser, InvalidCredentials, TooManyAttempts, TooManySignIns
from app.auth.schemas import UserView
from app.auth.values import TokenSet
from app.core.errors import DatabaseUnavailable, Unauthorized
from app.http import origins, problems
from app.http.deps import SettingsDep
from app.http.routing import BoundedRoute
from app.http.state import HttpState, state_of


class OwnPages:
    """Raises CrossOrigin for a request from the page of an origin that is not allowed."""

    async def __call__(self, request: Request) -> None:
        """Check the request."""
        settings = state_of(request, HttpState).resources.settings
        if not origins.is_allowed(request.headers, settings.allowed_origins):
            raise CrossOrigin

    async def before_body(self, request: Request) -> Hashable:
        """Check the request before its body is read (see `BeforeBody`)."""
        await self(request)
        return None


router = APIRouter(
    prefix="/session", route_class=BoundedRoute, tags=["Sign in"], dependencies=[Depends(OwnPages())]
)


@router.post(
    "",
    operation_id="createSession",
    summary="Sign in with a browser",
    response_description="An access token; the refresh token is in a cookie",
    responses=problems.responses(
        InvalidCredentials,
        InactiveUser,
        CrossOrigin,
        TooManyAttempts(retry_after=900),
        TooManySignIns,
        DatabaseUnavailable,
    ),
)
async def create_session(
    body: CreateSession, source: SourceDep, auth: AuthDep, settings: SettingsDep, response: Response
) -> SessionTokens:
    """Returns an access token, and sets a cookie with which `POST /session/refresh` returns further ones.

    Scripts cannot read the cookie, and no other route accepts it. Programs use `POST /token`.
    """
    tokens = await auth.sign_ins.sign_in(
        body.username, body.password.get_secret_value(), source, in_cookie=True
    )
    return _answer(response, SessionCookie(settings), tokens)


@router.post(
    "/refresh",
    operation_id="refreshSession",
    summary="Renew the access token of a browser",
    response_description="A new access token; the new refresh token is in the cookie",
    responses=problems.responses(NoSession, CrossOrigin, TooManySignIns, DatabaseUnavailable),
)
async def refresh_session(
    request: Request, source: SourceDep, auth: AuthDep, settings: SettingsDep, response: Response
) -> SessionTokens:
    """Returns a new access token for the cookie, and replaces the cookie.

    For 10 seconds the same cookie gets further tokens of the same session, for other tabs and lost responses.
    A later use ends the session. A 401 deletes the cookie.
    """
    cookie = SessionCookie(settings)
    token = cookie.read(request)
    if token is None:
        raise NoSession
    try:
        tokens = await auth.sign_ins.refresh(token, source, in_cookie=True)
    except Unauthorized:
        raise NoSession(cookie.deletion()) from None
    return _answer(response, cookie, tokens)


@router.delete(
    "",
    operation_id="deleteSession",
    summary="Sign out of a browser",
    status_code=HTTP_204_NO_CONTENT,
    responses=problems.responses(CrossOrigin, DatabaseUnavailable),
)
async def delete_session(
    request: Request, source: SourceDep, auth: AuthDep, settings: SettingsDep, response: Response
) -> None:
    """Ends the session of the cookie, and deletes the cookie.

    The refresh token is invalid at once, access tokens within a second. Without an open session, it only
    deletes the cookie.
    """
    cookie = SessionCookie(settings)
    token = cookie.read(request)
    if token is not None:
        await auth.sign_ins.sign_out(token, source)
    cookie.delete(response)


def _answer(response: Response, cookie: SessionCookie, tokens: TokenSet) -> SessionTokens:
    cookie.set(response, tokens.refresh_token)
    response.headers["Cache-Control"] = "no-store"
    return SessionTokens(
        access_token=tokens.access_token,
        expires_in=tokens.expires_in,
        user=UserView.model_validate(tokens.user),
    )
