"""Routes with which programs sign in and stay signed in."""

from typing import Annotated

from fastapi import APIRouter, Form, Response
from fastapi.exceptions import RequestValidationError

from app.auth.deps import AuthDep, SourceDep
from app.auth.errors import InactiveUser, InvalidCredentials, TooManyAttempts, TooManySignIns
from app.auth.oauth import problem_members, schemas
from app.auth.oauth.errors import InvalidGrant, UnsupportedGrantType
from app.auth.oauth.problem_members import TokenRoute
from app.auth.oauth.schemas import GRANT_TYPES, Refresh, SignIn, TokenPair
from app.auth.service import RequestSource, SignIns
from app.auth.values import TokenSet
from app.core.errors import DatabaseUnavailable, Unauthorized, Unprocessable

router = APIRouter(route_class=TokenRoute, tags=["Sign in"])


@router.post(
    "/token",
    operation_id="createToken",
    summary="Sign in",
    response_description="A token pair",
    responses=problem_members.responses(
        InvalidCredentials,
        InactiveUser,
        InvalidGrant,
        UnsupportedGrantType(supported=GRANT_TYPES),
        Unprocessable,
        TooManyAttempts(retry_after=900),
        TooManySignIns,
        DatabaseUnavailable,
    ),
)
async def create_token(
    form: Annotated[SignIn, Form()], source: SourceDep, auth: AuthDep, response: Response
) -> TokenPair:
    """Returns an access token and a refresh token for a username and a password, or for a refresh token.

    This is the token endpoint of OAuth 2. Clients need no id and no secret. Error responses have the members
    `error` and `error_description` of OAuth 2.
    """
    return _answer(response, await _grant(auth.sign_ins, form, source))


@router.post(
    "/token/refresh",
    operation_id="refreshToken",
    summary="Refresh a token",
    response_description="A new token pair",
    responses=problem_members.responses(Unauthorized, Unprocessable, TooManySignIns, DatabaseUnavailable),
)
async def refresh_token(body: Refresh, source: SourceDep, auth: AuthDep, response: Response) -> TokenPair:
    """Returns a new token pair for a refresh token.

    A refresh token is valid once. A second use revokes all tokens that descend from the same sign-in.
    """
    return _answer(response, await auth.sign_ins.refresh(body.refresh_token.get_secret_value(), source))


async def _grant(sign_ins: SignIns, form: SignIn, source: RequestSource) -> TokenSet:
    match form.grant_type:
        case schemas.PASSWORD:
            if form.username is None or form.password is None:
                raise _missing(username=form.username, password=form.password)
            return await sign_ins.sign_in(form.username, form.password.get_secret_value(), source)
        case schemas.REFRESH_TOKEN:
            if form.refresh_token is None:
                raise _missing(refresh_token=form.refresh_token)
            try:
                return await sign_ins.refresh(form.refresh_token.get_secret_value(), source)
            except Unauthorized:
                raise InvalidGrant from None
        case _:
            raise UnsupportedGrantType(supported=GRANT_TYPES)


def _missing(**fields: object) -> RequestValidationError:
    """The error that lists those of the fields that are None."""
    return RequestValidationError(
        [
            {"type": "missing", "loc": ("body", name), "msg": "Field required"}
            for name, value in fields.items()
            if value is None
        ]
    )


def _answer(response: Response, tokens: TokenSet) -> TokenPair:
    response.headers["Cache-Control"] = "no-store"  # RFC 6749, section 5.1
    return TokenPair(
        access_token=tokens.access_token, expires_in=tokens.expires_in, refresh_token=tokens.refresh_token
    )
