"""What users may do."""

from enum import StrEnum


class Role(StrEnum):
    """What a user may do beyond their own affairs. Kept in the database only, never in a token."""

    USER = "user"
    ADMIN = "admin"
