"""Access tokens: only ours, only whole, only now."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from jose import jwt

from app.auth.tokens import AUDIENCE, ISSUER, Tokens
from app.core.config import Settings, load_settings
from app.core.errors import ConfigurationError, Unauthorized
from tests.auth.support import create_user, me, tokens_of, without_names
from tests.support.app_state import state_of

SECRET = "a secret of at least 32 bytes, for the tests"
USER = uuid4()


@pytest.fixture
def signing() -> Settings:
    """Settings for what needs no server."""
    return settings_with(secret_key=SECRET)


def settings_with(**changes: str) -> Settings:
    return load_settings(
        _env_file=None, database_url="postgresql://unused", redis_url="redis://unused", **changes
    )


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(USER),
        "jti": uuid4().hex,
        "typ": "access",
        "iat": now,
        "exp": now + 60,
    }
    return {**whole, **changes}


def without(name: str) -> dict[str, Any]:
    return {claim: value for claim, value in claims().items() if claim != name}


def encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def signed(header: str, payload: str, *, secret: str = SECRET, digest: str = "sha256") -> str:
    """A token with any header and any payload, rightly signed."""
    signing_input = encoded(header.encode()) + b"." + encoded(payload.encode())
    signature = hmac.digest(secret.encode(), signing_input, digest)
    return (signing_input + b"." + encoded(signature)).decode()


OUR_HEADER = '{"alg":"HS256","typ":"JWT"}'


def test_what_is_issued_is_verified(signing: Settings) -> None:
    tokens = Tokens(signing)

    verified = tokens.verify_access(tokens.issue_access(USER))

    assert verified.user_id == USER
    assert verified.expires_at == pytest.approx(time.time() + signing.access_token_seconds, abs=5)
    assert verified.token_id


def test_no_two_tokens_are_alike(signing: Settings) -> None:
    tokens = Tokens(signing)

    assert tokens.issue_access(USER) != tokens.issue_access(USER)


def test_the_tests_below_would_accept_a_token_without_fault(signing: Settings) -> None:
    tokens = Tokens(signing)

    assert tokens.verify_access(jwt.encode(claims(), SECRET)).user_id == USER
    assert tokens.verify_access(signed(OUR_HEADER, json.dumps(claims()))).user_id == USER


@pytest.mark.parametrize(
    "wrong",
    [
        *[pytest.param(without(name), id=f"no {name}") for name in claims()],
        pytest.param(claims(exp=int(time.time()) - 5), id="expired"),
        pytest.param(claims(nbf=int(time.time()) + 600), id="not yet"),
        pytest.param(claims(iss="somebody"), id="another issuer"),
        pytest.param(claims(aud="another-api"), id="another audience"),
        pytest.param(claims(typ="refresh"), id="a refresh token"),
        pytest.param(claims(typ="ticket"), id="a ticket"),
        pytest.param(claims(sub="root"), id="a subject that is no id"),
        pytest.param(claims(sub=7), id="a subject that is a number"),
        pytest.param(claims(jti=7), id="a jti that is a number"),
        pytest.param(claims(exp=None), id="exp is null"),
        pytest.param(claims(exp="tomorrow"), id="exp is a word"),
        pytest.param(claims(exp=[]), id="exp is a list"),
        pytest.param(claims(iat=None), id="iat is null"),
        pytest.param(claims(iat={}), id="iat is an object"),
        pytest.param(claims(nbf=[1]), id="nbf is a list"),
        pytest.param(claims(aud=None), id="aud is null"),
        pytest.param(claims(at_hash="x"), id="a hash of another token"),
    ],
)
def test_wrong_claims_are_refused(signing: Settings, wrong: dict[str, Any]) -> None:
    with pytest.raises(Unauthorized):
        Tokens(signing).verify_access(signed(OUR_HEADER, json.dumps(wrong)))


@pytest.mark.parametrize(
    "header",
    [
        '{"alg":"none","typ":"JWT"}',
        '{"alg":"HS512","typ":"JWT"}',
        '{"alg":"RS256","typ":"JWT"}',
        '{"typ":"JWT"}',
        '{"alg":["HS256"],"typ":"JWT"}',
        '{"alg":"HS256","crit":["exp"],"typ":"JWT"}',
        '{"alg":"HS256","typ":"JWT","crit":["exp"]}',
        '{"alg":"HS256","typ":"JWT","jwk":{"kty":"oct","k":"AA"}}',
        '{"alg":"HS256","typ":"JWT","x":' + "[" * 1000 + "]" * 1000 + "}",
        "[]",
        "",
    ],
)
def test_no_other_header_is_accepted_than_ours(signing: Settings, header: str) -> None:
    with pytest.raises(Unauthorized):
        Tokens(signing).verify_access(signed(header, json.dumps(claims())))


def test_a_stronger_signature_of_the_same_secret_is_still_another_algorithm(signing: Settings) -> None:
    token = signed('{"alg":"HS512","typ":"JWT"}', json.dumps(claims()), digest="sha512")

    with pytest.raises(Unauthorized):
        Tokens(signing).verify_access(token)


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "null",
        "[]",
        '"text"',
        "{",
        "[" * 100_000,
        '{"exp": 1e400}',
        '{"exp": ' + "9" * 5000 + "}",
        "\ud83d",
    ],
)
def test_no_payload_gets_anything_but_unauthorized_out_of_the_library(
    signing: Settings, payload: str
) -> None:
    token = signed(OUR_HEADER, payload.encode(errors="replace").decode())

    with pytest.raises(Unauthorized):
        Tokens(signing).verify_access(token)


def test_an_infinite_expiry_is_refused(signing: Settings) -> None:
    payload = json.dumps(claims(exp=0)).replace('"exp": 0', '"exp": 1e400')

    with pytest.raises(Unauthorized):
        Tokens(signing).verify_access(signed(OUR_HEADER, payload))


def test_a_valid_token_has_one_spelling(signing: Settings) -> None:
    tokens = Tokens(signing)
    token = tokens.issue_access(USER)

    for other in (
        token + "=",
        token + "\n",
        " " + token,
        token.replace(".", "..", 1),
        token + ".",
        token[:-5] + "*" + token[-5:],
    ):
        with pytest.raises(Unauthorized):
            tokens.verify_access(other)


def test_a_long_token_is_refused_even_when_it_is_right(signing: Settings) -> None:
    token = jwt.encode(claims(note="x" * 2048), SECRET)

    with pytest.raises(Unauthorized):
        Tokens(signing).verify_access(token)


def test_the_secret_before_this_one_still_verifies_and_never_signs(signing: Settings) -> None:
    old = Tokens(signing)
    new = Tokens(settings_with(secret_key="n" * 32, previous_secret_key=SECRET))

    assert new.verify_access(old.issue_access(USER)).user_id == USER
    assert new.verify_access(new.issue_access(USER)).user_id == USER
    with pytest.raises(Unauthorized):
        old.verify_access(new.issue_access(USER))


@pytest.mark.parametrize("setting", ["secret_key", "previous_secret_key"])
def test_a_short_secret_stops_the_start_and_stays_out_of_the_message(setting: str) -> None:
    with pytest.raises(ConfigurationError, match=setting.upper()) as refused:
        settings_with(**{setting: "8 bytes!"})

    assert "8 bytes!" not in str(refused.value)


# ----------------------------------------------------------------------------------------- over HTTP


@pytest.fixture
async def token(client: httpx.AsyncClient) -> str:
    """The access token of a user who just signed in."""
    await create_user(client)
    access_token: str = (await tokens_of(client))["access_token"]
    return access_token


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic YWRhOmFkYQ==",
        "Bearer a.b.c",
        "Bearer ..",
        "Bearer \xff\xfe",
        "Bearer " + "x" * 10_000_000,
        "Bearer " + signed(OUR_HEADER, "{}"),
        "Bearer " + signed('{"alg":"none"}', "{}"),
        "Bearer " + signed('{"x":' + "[" * 1000 + "]" * 1000 + "}", "{}"),
    ],
)
async def test_whatever_is_wrong_the_answer_is_the_same_401(
    client: httpx.AsyncClient, header: str | None
) -> None:
    reference = await client.get("/users/me")
    headers = {} if header is None else {b"Authorization": header.encode("latin-1")}

    response = await client.get("/users/me", headers=headers)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["code"] == "invalid_token"
    assert without_names(response.json()) == without_names(reference.json())


async def test_a_token_with_another_signature_is_refused(client: httpx.AsyncClient, token: str) -> None:
    head, payload, _ = token.split(".")
    forged = encoded(hashlib.sha256(payload.encode()).digest()).decode()

    assert (await me(client, f"{head}.{payload}.{forged}")).status_code == 401


async def test_a_token_of_another_service_with_the_same_secret_is_refused(
    client: httpx.AsyncClient, app: FastAPI, settings: Settings, token: str
) -> None:
    auth = state_of(app).auth
    own = auth.tokens.verify_access(token)
    foreign = jwt.encode(
        claims(sub=str(own.user_id), iss="another-service"), settings.secret_key.get_secret_value()
    )

    assert (await me(client, foreign)).status_code == 401
