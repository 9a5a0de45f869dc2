"""What each type of event means, for documentation."""

from collections.abc import Mapping
from typing import Final

from app.notifications.states import NotificationType

DESCRIPTIONS: Final[Mapping[NotificationType, str]] = {
    NotificationType.JOB_STARTED: "An attempt of a job has started.",
    NotificationType.JOB_RETRYING: "An attempt has failed, and the job waits for the next one.",
    NotificationType.JOB_COMPLETED: "A job has completed. The body has its result, if that is small.",
    NotificationType.JOB_FAILED: "A job has failed for good.",
    NotificationType.JOB_CANCELLED: "A job was cancelled.",
    NotificationType.SCHEDULE_REFUSED: "A schedule was due, and its job was refused: `reason` has the error.",
    NotificationType.SCHEDULE_MISSED: "`count` ticks of a schedule were missed; null if more than 1000.",
    NotificationType.SCHEDULE_PAUSED: "A schedule was paused, because its last jobs failed.",
    NotificationType.SCHEDULE_FINISHED: "A schedule has no tick left.",
    NotificationType.SCHEDULE_BROKEN: "A schedule cannot fire any more until you change or resume it.",
    NotificationType.SUBSCRIPTION_DISABLED: "Another of your subscriptions was disabled, because it fails.",
    NotificationType.PING: "A test of the subscription. No subscription names it.",
}
"""All types but the request for a confirmation, which is part of creating a subscription."""
