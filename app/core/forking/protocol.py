"""What `fork_server` and `server` say to each other.

A request is one byte, the place of a function in the list that the server was started with, and carries three
file descriptors: the connection over which the process gets its task and answers, its stderr, and its
*lifeline*. The server keeps the lifeline of each process. Over it, it sends the process id, negative and an
errno if it could not fork, and at the end the exit code. If the lifeline closes, it kills the process.
"""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

Function = Callable[[bytes, Sequence[Path]], bytes]
"""Runs in a process of its own, with its task and the paths of the installation; returns the answer."""

REQUEST_BYTES: Final = 1
DESCRIPTORS: Final = 3
NUMBER: Final = struct.Struct(">i")
