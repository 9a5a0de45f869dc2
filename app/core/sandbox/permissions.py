"""What a confined process may do beyond computing."""

from enum import StrEnum


class Permission(StrEnum):
    """Something that confined processes may not do unless they are given it.

    `network`: open sockets. `processes`: start processes and programs. `files`: use all files of the worker's
    user, not only those of the job.
    """

    NETWORK = "network"
    PROCESSES = "processes"
    FILES = "files"
