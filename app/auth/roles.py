"""Roles of users."""

from enum import StrEnum


class Role(StrEnum):
    """The role of a user. It is read from the database, and never part of a token.

    `app.auth.permissions` has the table of what each role permits.
    """

    VIEWER = "viewer"
    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"
