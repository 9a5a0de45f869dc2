"""Producer side of the ARQ queue: enqueues wake tokens.

A wake token names a queue and carries nothing else; Postgres decides which job runs. Only this module and
`worker.consumer` depend on ARQ.
"""

from typing import Any, Final

import msgspec
from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from arq.jobs import serialize_job
from arq.utils import timestamp_ms
from redis.asyncio import ConnectionPool

from app.core import ids, keys
from app.core.redis import Command

FUNCTION: Final = "run_next"

# ARQ's default is pickle, which would let anyone with write access to Redis execute code here.
serialize: Final = msgspec.json.encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def deserialize(data: bytes) -> dict[str, Any]:
    """Decode a token's payload; raises msgspec.DecodeError if it is not a JSON object."""
    return _decode(data)


def client(pool: ConnectionPool) -> ArqRedis:
    """Return ARQ's Redis client on this connection pool, with JSON serializers."""
    return ArqRedis(pool, job_serializer=serialize, job_deserializer=deserialize)


def token_commands(queue: str, count: int) -> list[Command]:
    """Return the commands that enqueue `count` wake tokens.

    They write what `ArqRedis.enqueue_job` writes, but without WATCH and in one round trip: token ids are
    unique, so there is no existing job to check for.
    """
    now = timestamp_ms()
    payload = serialize_job(FUNCTION, (queue,), {}, None, now, serializer=serialize)
    tokens = [ids.new_id().hex for _ in range(count)]
    lifetime_ms = keys.TOKEN_LIFETIME_SECONDS * 1000
    commands: list[Command] = [("PSETEX", job_key_prefix + token, lifetime_ms, payload) for token in tokens]
    scored: list[str | float] = []
    for token in tokens:
        scored += (now, token)
    return [*commands, ("ZADD", keys.queue(queue), *scored)]
