"""Counts the attempts to sign in by their result."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from app.auth.errors import InactiveUser, InvalidCredentials, TooManyAttempts, TooManySignIns
from app.core import metrics

P = ParamSpec("P")
T = TypeVar("T")

_results: Final = metrics.counters(metrics.SIGN_INS, ("ok", "refused", "throttled"))


def counted(sign_in: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Count the result of each call. A failure of Headrace itself, such as a lost Postgres, is none."""

    @wraps(sign_in)
    async def count(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            answer = await sign_in(*args, **kwargs)
        except (InvalidCredentials, InactiveUser):
            _results["refused"].inc()
            raise
        except (TooManyAttempts, TooManySignIns):
            _results["throttled"].inc()
            raise
        _results["ok"].inc()
        return answer

    return count
