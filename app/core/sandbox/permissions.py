"""Permissions that relax the sandbox."""

from enum import StrEnum


class Permission(StrEnum):
    """A capability that sandboxed processes have only if it is granted.

    `network`: open sockets. `processes`: start processes and execute programs. `files`: access all files of
    the worker's user, not only the job's.
    """

    NETWORK = "network"
    PROCESSES = "processes"
    FILES = "files"
