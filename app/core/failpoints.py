"""Named places where a process can be told to die, for tests of what happens when it does.

`FAILPOINTS=advance:before=kill@3` kills the process (SIGKILL, nothing is cleaned up) when it comes to
`advance:before` for the third time; `stop` instead of `kill` freezes it (SIGSTOP). Several are separated by
commas. A name says which statement it is about, and whether that is about to be sent or has just been
answered. Without the variable, to come by a failpoint costs one look into an empty dict.
"""

import os
import signal
from dataclasses import dataclass
from typing import Final

_SIGNALS: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


@dataclass
class _Failpoint:
    signal: signal.Signals
    rounds_left: int


def parse(text: str) -> dict[str, _Failpoint]:
    """The failpoints that the variable asks for; raises ValueError for what is none."""
    failpoints = {}
    for part in filter(None, text.split(",")):
        name, _, order = part.partition("=")
        action, _, rounds = order.partition("@")
        if action not in _SIGNALS:
            raise ValueError(f"FAILPOINTS: {part!r} is not NAME=kill@N or NAME=stop@N")
        failpoints[name] = _Failpoint(_SIGNALS[action], int(rounds or 1))
    return failpoints


def reach(name: str) -> None:
    """Come by a failpoint."""
    if name in _armed:
        _strike(_armed[name])


def _strike(failpoint: _Failpoint) -> None:
    failpoint.rounds_left -= 1
    if failpoint.rounds_left == 0:
        os.kill(os.getpid(), failpoint.signal)


_armed: Final = parse(os.environ.get("FAILPOINTS", ""))
