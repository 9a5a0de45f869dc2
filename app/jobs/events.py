"""Events of jobs, as they are passed from the statement that wrote them, over Redis, to the streams."""

from datetime import datetime
from typing import Final, Self
from uuid import UUID

import msgspec

from app.core.rows import Row
from app.jobs.states import EventType

_FINAL: Final = frozenset(event_type for event_type in EventType if event_type.is_final)


class Event(msgspec.Struct, frozen=True):
    """One fact about a job. `data` is encoded JSON, passed through unparsed.

    `type` is an EventType, or an event of a newer version: during a rollout, streams pass it on.
    """

    job_id: UUID
    seq: int
    type: str
    at: datetime
    data: msgspec.Raw

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row with the columns of `job_events`, `data` as text."""
        return cls(row["job_id"], row["seq"], row["type"], row["at"], msgspec.Raw(row["data"].encode()))

    @property
    def is_final(self) -> bool:
        """Whether the job ended with this event."""
        return self.type in _FINAL

    def encoded(self) -> bytes:
        """Return the event as a message."""
        return _encode(self)

    def flat(self) -> bytes:
        """Return the event as clients see it: one JSON object, the envelope's members and then the data's."""
        envelope = _encode(_Envelope(self.job_id, self.seq, self.type, self.at))
        members = bytes(self.data).strip()[1:]
        return envelope[:-1] + (b"}" if members == b"}" else b"," + members)


class _Envelope(msgspec.Struct):
    job_id: UUID
    seq: int
    type: str
    at: datetime


_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode
