"""Events of jobs, as they are passed from the statement that wrote them, over Redis, to the streams."""

from datetime import datetime
from typing import Self
from uuid import UUID

import msgspec

from app.core.rows import Row
from app.jobs.states import EventType


class Event(msgspec.Struct, frozen=True):
    """One fact about a job. `data` is encoded JSON, passed through unparsed."""

    job_id: UUID
    seq: int
    type: EventType
    at: datetime
    data: msgspec.Raw

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row with the columns of `job_events`, `data` as text."""
        return cls(
            row["job_id"], row["seq"], EventType(row["type"]), row["at"], msgspec.Raw(row["data"].encode())
        )

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
    type: EventType
    at: datetime


_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode
