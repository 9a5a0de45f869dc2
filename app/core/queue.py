"""The ARQ queue, producer's side: how a wake token is written.

A token says "look at this queue" and carries nothing else; which job runs is decided by Postgres. Only
this module and `worker.consumer` know ARQ.
"""

from typing import Any, Final

import msgspec
from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from arq.jobs import serialize_job
from arq.utils import timestamp_ms
from redis.asyncio import ConnectionPool
from redis.asyncio.client import Pipeline

from app.core import ids, keys

FUNCTION: Final = "run_next"

# ARQ pickles by default, and a pickle in Redis is code that whoever can write there gets run.
serialize: Final = msgspec.json.encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def deserialize(data: bytes) -> dict[str, Any]:
    """The content of a token; raises msgspec.DecodeError for whatever is not a JSON object."""
    return _decode(data)


def client(pool: ConnectionPool) -> ArqRedis:
    """ARQ's Redis client on our pool and with our serializers."""
    return ArqRedis(pool, job_serializer=serialize, job_deserializer=deserialize)


def add_tokens(pipe: Pipeline, queue: str, count: int) -> None:
    """Put the commands that add `count` wake tokens on a pipeline.

    What `ArqRedis.enqueue_job` writes, without its WATCH and its round trips: our token ids are always
    new, so nothing can be there already.
    """
    now = timestamp_ms()
    payload = serialize_job(FUNCTION, (queue,), {}, None, now, serializer=serialize)
    tokens = [ids.new_id().hex for _ in range(count)]
    for token in tokens:
        pipe.psetex(job_key_prefix + token, keys.TOKEN_LIFETIME_SECONDS * 1000, payload)
    pipe.zadd(keys.queue(queue), dict.fromkeys(tokens, now))
