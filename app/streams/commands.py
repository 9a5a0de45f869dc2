"""What a WebSocket client may say: a closed set of commands, as data."""

from typing import Final
from uuid import UUID

import msgspec

MAX_FRAME_BYTES: Final = 64 * 1024


class Command(msgspec.Struct, frozen=True, tag_field="action", forbid_unknown_fields=True):
    """One command; its action is its tag."""


class Subscribe(Command, frozen=True, tag="subscribe"):
    """Follow a job from an event on, or, without a job, all of one's jobs from a place on.

    `after` is the number of an event of the job, or the id of an event of the stream of all jobs.
    """

    job_id: UUID | None = None
    after: int | str | None = None


class Unsubscribe(Command, frozen=True, tag="unsubscribe"):
    """Follow a job, or all of one's jobs, no longer."""

    job_id: UUID | None = None


class Cancel(Command, frozen=True, tag="cancel"):
    """Cancel a job."""

    job_id: UUID


class Ping(Command, frozen=True, tag="ping"):
    """Ask whether anybody is there."""


class Authenticate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first frame of a client that could say who it is no other way."""

    token: str


AnyCommand = Subscribe | Unsubscribe | Cancel | Ping

_command: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)
_authentication = msgspec.json.Decoder(Authenticate)


def decode_command(text: str) -> AnyCommand:
    """The command in a frame; raises msgspec.DecodeError."""
    try:
        return _command.decode(text)
    except RecursionError:
        raise msgspec.DecodeError("JSON is nested too deeply") from None


def decode_authentication(text: str) -> Authenticate:
    """What the first frame says; raises msgspec.DecodeError."""
    try:
        return _authentication.decode(text)
    except RecursionError:
        raise msgspec.DecodeError("JSON is nested too deeply") from None
