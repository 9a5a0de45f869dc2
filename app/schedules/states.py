"""The states of a schedule, what may become of a tick, and the policies of both."""

from enum import StrEnum


class ScheduleStatus(StrEnum):
    """The state of a schedule. Only an active one has a next tick.

    `suspended`: its owner's account is not active. `broken`: its next tick cannot be computed.
    """

    ACTIVE = "active"
    PAUSED = "paused"
    FINISHED = "finished"
    SUSPENDED = "suspended"
    BROKEN = "broken"


class FiringOutcome(StrEnum):
    """What became of a tick.

    `fired`: it created a job. `waiting`: it creates one when the job before it has ended. `skipped`: a job of
    the schedule was active. `replaced`: a newer tick waits in its place. `missed`: no process was there in
    time. `refused`: the job could not be planned. `manual`: no tick, but a job on request.
    """

    FIRED = "fired"
    WAITING = "waiting"
    SKIPPED = "skipped"
    REPLACED = "replaced"
    MISSED = "missed"
    REFUSED = "refused"
    MANUAL = "manual"


class CatchUp(StrEnum):
    """Which misfires create a job after all."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


class Overlap(StrEnum):
    """What to do at a tick while a job of the schedule is active."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"
    ALLOW = "allow"
