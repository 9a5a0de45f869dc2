"""Commands of WebSocket clients: the closed set of frames that a client may send."""

from typing import Final
from uuid import UUID

import msgspec

MAX_FRAME_BYTES: Final = 64 * 1024


class Command(msgspec.Struct, frozen=True, tag_field="action", forbid_unknown_fields=True):
    """Base class of commands; `action` in the frame selects the subclass."""


class Subscribe(Command, frozen=True, tag="subscribe"):
    """Subscribe to one job or, without `job_id`, to all jobs of the user.

    Events after `after` are sent: an event's `seq` for one job, an event id for the stream of all jobs.
    """

    job_id: UUID | None = None
    after: int | str | None = None


class Unsubscribe(Command, frozen=True, tag="unsubscribe"):
    """Unsubscribe from one job or, without `job_id`, from the stream of all jobs."""

    job_id: UUID | None = None


class Cancel(Command, frozen=True, tag="cancel"):
    """Cancel a job."""

    job_id: UUID


class Ping(Command, frozen=True, tag="ping"):
    """Check that the connection is alive; the server answers with `pong`."""


class Authenticate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """First frame of a client that sent neither a bearer token nor a ticket."""

    token: str


AnyCommand = Subscribe | Unsubscribe | Cancel | Ping

_command: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)
_authentication = msgspec.json.Decoder(Authenticate)


def decode_command(text: str) -> AnyCommand:
    """Decode a command frame; raises msgspec.DecodeError."""
    try:
        return _command.decode(text)
    except RecursionError:
        raise msgspec.DecodeError("JSON is nested too deeply") from None


def decode_authentication(text: str) -> Authenticate:
    """Decode the authentication frame; raises msgspec.DecodeError."""
    try:
        return _authentication.decode(text)
    except RecursionError:
        raise msgspec.DecodeError("JSON is nested too deeply") from None
