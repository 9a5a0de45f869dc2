"""What the audit log records: actions, the objects that they concern, and outcomes."""

from enum import StrEnum


class Action(StrEnum):
    """An action that leaves an entry. Entries keep the name: never rename a member that was released."""

    SIGN_IN = "session.signed_in"
    SIGN_OUT = "session.signed_out"
    SESSION_ENDED = "session.ended"
    ALL_SESSIONS_ENDED = "session.all_ended"
    REFRESH_TOKEN_REUSED = "session.refresh_token_reused"  # noqa: S105  # a name, not a secret

    PASSWORD_CHANGED = "password.changed"  # noqa: S105
    PASSWORD_SET = "password.set"  # noqa: S105
    PASSWORD_RESET_ISSUED = "password.reset_issued"  # noqa: S105
    PASSWORD_RESET = "password.reset"  # noqa: S105

    USER_CREATED = "user.created"
    USER_DISABLED = "user.disabled"
    USER_ENABLED = "user.enabled"
    USER_DELETED = "user.deleted"
    ROLE_CHANGED = "user.role_changed"
    SHARE_CHANGED = "user.share_changed"
    QUOTAS_CHANGED = "user.quotas_changed"

    INVITATION_ISSUED = "invitation.issued"
    INVITATION_REVOKED = "invitation.revoked"

    API_KEY_CREATED = "api_key.created"
    API_KEY_REVOKED = "api_key.revoked"

    DATASET_DELETED = "dataset.deleted"
    MODEL_CHANGED = "model.changed"
    MODEL_DELETED = "model.deleted"
    MODEL_VERSION_CHANGED = "model.version_changed"
    MODEL_VERSION_DELETED = "model.version_deleted"

    JOB_CANCELLED = "job.cancelled"
    JOB_RETRIED = "job.retried"
    JOB_DISMISSED = "job.dismissed"
    GROUP_CANCELLED = "group.cancelled"

    QUEUE_PAUSED = "queue.paused"
    QUEUE_RESUMED = "queue.resumed"

    SCHEDULE_CHANGED = "schedule.changed"
    SCHEDULE_PAUSED = "schedule.paused"
    SCHEDULE_RESUMED = "schedule.resumed"
    SCHEDULE_RUN = "schedule.run"
    SCHEDULE_DELETED = "schedule.deleted"

    SUBSCRIPTION_CREATED = "subscription.created"
    SUBSCRIPTION_CHANGED = "subscription.changed"
    SUBSCRIPTION_CONFIRMED = "subscription.confirmed"
    SUBSCRIPTION_SECRET_ROTATED = "subscription.secret_rotated"  # noqa: S105
    SUBSCRIPTION_UNSUBSCRIBED = "subscription.unsubscribed"
    SUBSCRIPTION_DELETED = "subscription.deleted"


class ObjectType(StrEnum):
    """The type of the object that an action concerns."""

    USER = "user"
    SESSION = "session"
    INVITATION = "invitation"
    API_KEY = "api_key"
    DATASET = "dataset"
    MODEL = "model"
    JOB = "job"
    GROUP = "group"
    QUEUE = "queue"
    SCHEDULE = "schedule"
    SUBSCRIPTION = "subscription"


class AuditOutcome(StrEnum):
    """How an action ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """A wrong password, or an unknown username."""

    DENIED = "denied"
    """The password or the token is right, but the account is disabled, or the token is used again."""

    THROTTLED = "throttled"
    """Too many attempts: the response does not tell whether the password was right."""
