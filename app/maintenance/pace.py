"""The pace of a duty that many processes share: frequent rounds are those of all of them together.

Without it, each API process and each worker would query Postgres several times a second for the same rows.
"""

from redis.asyncio import ConnectionPool

from app.core import keys
from app.core.redis import UNREACHABLE, Availability, DedicatedConnection, Operation, first_error


class Pace:
    """Allows one of all processes to begin a round in so many `seconds`; each of them while Redis is away."""

    def __init__(self, pool: ConnectionPool, availability: Availability, duty: str, seconds: float) -> None:
        self._connection = DedicatedConnection(pool)
        self._availability = availability
        self._begin = ("SET", keys.pace(duty), b"", "NX", "PX", int(seconds * 1000))

    async def __call__(self) -> bool:
        """Return whether this process is the first to ask within the time. Not for two tasks at once."""
        if not self._availability.is_up:
            return True
        try:
            replies = await self._connection.execute([self._begin])
            if (refusal := first_error(replies)) is not None:
                raise refusal
        except UNREACHABLE as error:
            self._availability.failed(error, Operation.PUBLISH)
            return True
        return replies[0] is not None
