"""Roles of users."""

from enum import StrEnum


class Role(StrEnum):
    """The role of a user. It is read from the database, and never part of a token."""

    USER = "user"
    ADMIN = "admin"
