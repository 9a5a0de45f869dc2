"""Failpoints: named places in the code where a test can kill or freeze the process.

`FAILPOINTS=advance:before=kill@3` sends SIGKILL to the process when it reaches `advance:before` for the third
time; `stop` instead of `kill` sends SIGSTOP. Separate several failpoints by commas. A name consists of a SQL
statement's name and `before` (about to be sent) or `after` (just executed). If the variable is not set,
reaching a failpoint costs one lookup in an empty dict.
"""

import os
import signal
from dataclasses import dataclass
from typing import Final

_SIGNALS: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


@dataclass
class _Failpoint:
    signal: signal.Signals
    hits_left: int


def parse(text: str) -> dict[str, _Failpoint]:
    """Parse the value of `FAILPOINTS` into failpoints by name; raises ValueError."""
    failpoints = {}
    for part in filter(None, text.split(",")):
        name, _, trigger = part.partition("=")
        action, _, hits = trigger.partition("@")
        if action not in _SIGNALS:
            raise ValueError(f"FAILPOINTS: {part!r} is not NAME=kill@N or NAME=stop@N")
        failpoints[name] = _Failpoint(_SIGNALS[action], int(hits or 1))
    return failpoints


def reach(name: str) -> None:
    """Record that execution has reached this failpoint; kill or freeze the process if it is due."""
    if name in _armed:
        _hit(_armed[name])


def _hit(failpoint: _Failpoint) -> None:
    failpoint.hits_left -= 1
    if failpoint.hits_left == 0:
        os.kill(os.getpid(), failpoint.signal)


_armed: Final = parse(os.environ.get("FAILPOINTS", ""))
