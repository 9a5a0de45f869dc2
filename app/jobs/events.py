"""An event as it travels: from the statement that wrote it, over Redis, to whoever follows the job."""

from datetime import datetime
from uuid import UUID

import msgspec

from app.jobs.states import EventType


class Event(msgspec.Struct, frozen=True):
    """One fact about a job. `data` stays encoded JSON: nobody on the way needs to look inside."""

    job_id: UUID
    seq: int
    type: EventType
    at: datetime
    data: msgspec.Raw

    def encoded(self) -> bytes:
        """The event as a message."""
        return _encode(self)

    def flat(self) -> bytes:
        """The event as clients see it: one JSON object, the envelope's members and then the data's."""
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
