"""Passwords are hashed aside, a few at a time."""

import asyncio

import pytest

from app.auth import passwords
from app.auth.errors import TooManySignIns, WeakPassword
from app.auth.passwords import MAX_WAITING, TURNS, open_passwords
from tests.auth.support import passwords_computed


async def test_a_hash_is_argon2id_with_the_parameters_we_chose() -> None:
    async with open_passwords() as opened, opened.turn() as turn:
        hashed = await turn.hash("correct horse")

    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_only_the_password_itself_is_right() -> None:
    async with open_passwords() as opened, opened.turn() as turn:
        hashed = await turn.hash("correct horse")

        assert await turn.check("correct horse", hashed)
        assert not await turn.check("Correct horse", hashed)
        assert not await turn.check("", hashed)


async def test_without_a_hash_a_decoy_is_checked_and_never_right() -> None:
    async with open_passwords() as opened, opened.turn() as turn:
        before = passwords_computed()

        assert not await turn.check("correct horse", None)
        assert passwords_computed() == before + 1


async def test_no_more_than_the_bound_may_wait() -> None:
    async with open_passwords() as opened:
        done = asyncio.Event()

        async def hold() -> None:
            async with opened.turn():
                await done.wait()

        others = [asyncio.create_task(hold()) for _ in range(TURNS + MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(TooManySignIns):
            async with opened.turn():
                pass
        done.set()
        await asyncio.gather(*others)

        async with opened.turn() as turn:  # there is room again
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


@pytest.mark.parametrize(
    "password", ["Ada Lovelace", "ada lovelace", "ＡＤＡ ＬＯＶＥＬＡＣＥ", " ADA LOVELACE"]
)
def test_the_username_is_no_password_however_it_is_written(password: str) -> None:
    with pytest.raises(WeakPassword, match="username"):
        passwords.accept(password, "Ada Lovelace")


def test_a_password_that_only_holds_the_username_is_accepted() -> None:
    assert passwords.accept("ada lovelace 1815", "Ada Lovelace")
