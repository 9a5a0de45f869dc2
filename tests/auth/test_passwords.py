"""Passwords are hashed aside, a few at a time."""

from contextlib import ExitStack

import pytest

from app.auth import passwords
from app.auth.errors import TooManySignIns, WeakPassword
from app.auth.passwords import MAX_WAITING, THREADS, open_passwords
from tests.auth.support import passwords_computed


async def test_a_hash_is_argon2id_with_the_parameters_we_chose() -> None:
    async with open_passwords() as opened:
        with opened.turn() as turn:
            hashed = await turn.hash("correct horse")

    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_only_the_password_itself_is_right() -> None:
    async with open_passwords() as opened:
        with opened.turn() as turn:
            hashed = await turn.hash("correct horse")

            assert await turn.check("correct horse", hashed)
            assert not await turn.check("Correct horse", hashed)
            assert not await turn.check("", hashed)


async def test_without_a_hash_a_decoy_is_checked_and_never_right() -> None:
    async with open_passwords() as opened:
        with opened.turn() as turn:
            before = passwords_computed()

            assert not await turn.check("correct horse", None)
            assert passwords_computed() == before + 1


async def test_no_more_than_the_bound_may_wait() -> None:
    async with open_passwords() as opened:
        with ExitStack() as others:
            for _ in range(THREADS + MAX_WAITING):
                others.enter_context(opened.turn())
            with pytest.raises(TooManySignIns), opened.turn():
                pass

        with opened.turn() as turn:  # there is room again
            assert not await turn.check("correct horse", None)


@pytest.mark.parametrize("taken", ["correct horse", "x7$Kp!qz", "пароль-длинный", "🙂" * 8, "y" * 128])
def test_a_password_that_nobody_would_try_first_is_accepted(taken: str) -> None:
    assert passwords.accept(taken) == taken


@pytest.mark.parametrize(
    "weak", ["", "1234567", "y" * 129, "password1", "PASSWORD1", "a\0bcdefgh", "\ud800abcdefgh"]
)
def test_any_other_is_not(weak: str) -> None:
    with pytest.raises(WeakPassword):
        passwords.accept(weak)


def test_the_length_is_counted_in_characters_as_they_are_hashed() -> None:
    assert len(passwords.accept("e\u0301" * 128)) == 128
    with pytest.raises(WeakPassword):
        passwords.accept("e\u0301" * 7)
