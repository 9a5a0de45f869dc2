"""The components of Headrace: what a process is, in its log and in its metrics."""

from enum import StrEnum


class Component(StrEnum):
    """What a process is."""

    API = "api"
    WORKER = "worker"
    NOTIFY = "notify"
    CLI = "cli"
