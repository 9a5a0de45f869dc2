"""A sampling profiler for the thread that runs a handler.

A thread looks a hundred times a second where the handler is, and adds the time since its last look to that
stack. Its memory grows with the number of different stacks, not with time. While a C function holds the
interpreter's lock no sample is taken; the next one adds the whole time to the line that called it.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from threading import Event, Thread, get_ident
from time import perf_counter
from types import CodeType, FrameType
from typing import Final

import msgspec

from app.jobs.profiles.profile import MAX_BYTES, OTHER, Frame, Profile, Stack

INTERVAL_SECONDS: Final = 0.01
MAX_STACKS: Final = 20_000
MAX_FRAMES: Final = 128

WAITING: Final = "(event loop)"
"""The handler is a coroutine, and waits."""

OUTSIDE: Final = "(outside)"
"""The handler has not begun yet, or has ended."""

DEEPER: Final = "(deeper)"
"""Stands for the outer frames of a stack that has more than MAX_FRAMES."""

_NUMBERS_BYTES: Final = 48
"""Bounds the JSON of a stack without its frames."""

_RESERVED_BYTES: Final = 256
"""For the stack `OTHER` and for what is around the stacks."""

Key = tuple[int, ...]
"""A stack, the innermost frame first: for each frame the id of its code and its line."""


class Profiler:
    """Samples the thread that creates it, from `start` to `stop`.

    `root` is the code of our function that calls the handler: it and the frames below it are left out, and
    so are frames of the files `left_out` between it and the handler.
    """

    def __init__(
        self,
        root: CodeType,
        left_out: Sequence[str] = (),
        *,
        interval_seconds: float = INTERVAL_SECONDS,
        max_stacks: int = MAX_STACKS,
        max_frames: int = MAX_FRAMES,
    ) -> None:
        self._root = root
        self._left_out = tuple(left_out)
        self._interval_seconds = interval_seconds
        self._max_stacks = max_stacks
        self._max_frames = max_frames
        self._sampled = get_ident()
        self._codes: dict[int, CodeType] = {}  # keeps them alive, so that no other code gets their ids
        self._stacks: dict[Key, list[float]] = {}
        self._samples = 0
        self._seconds = 0.0
        self._started_at = 0.0
        self._stopping = Event()
        self._thread = Thread(target=self._sample_until_stopped, name="profiler", daemon=True)

    def start(self) -> None:
        """Begin to sample. Raises RuntimeError if no thread can be started."""
        self._started_at = perf_counter()
        self._thread.start()

    def stop(self) -> None:
        """Stop to sample. Further calls do nothing."""
        if not self._stopping.is_set():
            self._seconds = perf_counter() - self._started_at
            self._stopping.set()
            self._thread.join()

    def profile(self, max_bytes: int = MAX_BYTES) -> Profile:
        """Return what was sampled. The shortest stacks are added up if the profile would be too large."""
        other = [*self._stacks.get((), (0.0, 0))]
        by_time = sorted(
            ((key, spent) for key, spent in self._stacks.items() if key),
            key=lambda item: item[1][0],
            reverse=True,
        )
        table = Table(max_bytes)
        for key, (seconds, samples) in by_time:
            if not table.add(self._frames(key), seconds, int(samples)):
                other[0] += seconds
                other[1] += samples
        if other[1]:
            table.add_other(other[0], int(other[1]))
        return Profile(self._seconds, self._samples, tuple(table.frames), tuple(table.stacks))

    def _sample_until_stopped(self) -> None:
        last = self._started_at
        while not self._stopping.wait(self._interval_seconds):
            frame = sys._current_frames().get(self._sampled)  # documented, for debuggers
            now = perf_counter()
            self.add(frame, now - last)
            last = now

    def add(self, frame: FrameType | None, seconds: float) -> None:
        """Add a sample to its stack, or to the other stacks if there are too many different ones."""
        self._samples += 1
        # The handler may run on meanwhile, so the stack is read only once.
        stack = [(inner.f_code, inner.f_lineno or 0) for inner in _walk(frame, self._max_frames)]
        key = tuple(number for code, line in stack for number in (id(code), line))
        spent = self._stacks.get(key)
        if spent is None:
            if len(self._stacks) < self._max_stacks:
                self._codes |= {id(code): code for code, _ in stack}
            else:
                key = ()
            spent = self._stacks.setdefault(key, [0.0, 0])
        spent[0] += seconds
        spent[1] += 1

    def _frames(self, key: Key) -> list[Frame]:
        """Return the frames of the handler, the outermost first."""
        codes = [self._codes[number] for number in key[-2::-2]]
        lines = key[-1::-2]
        frames = [_frame(code, line) for code, line in zip(codes, lines, strict=True)]
        if self._root not in codes:
            return [_no_frame(DEEPER), *frames] if len(codes) == self._max_frames else [_no_frame(OUTSIDE)]
        start = codes.index(self._root) + 1
        while start < len(codes) and codes[start].co_filename.startswith(self._left_out):
            start += 1
        return frames[start:] or [_no_frame(WAITING)]


class Table:
    """The frames and stacks of a profile of at most `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self.frames: list[Frame] = []
        self.stacks: list[Stack] = []
        self._free_bytes = max_bytes - _RESERVED_BYTES
        self._indices: dict[Frame, int] = {}

    def add(self, frames: Sequence[Frame], seconds: float, samples: int) -> bool:
        """Add a stack. Returns False if there is no room for it."""
        new = [frame for frame in dict.fromkeys(frames) if frame not in self._indices]
        stack_bytes = (len(str(len(self.frames) + len(new))) + 1) * len(frames) + _NUMBERS_BYTES
        size = stack_bytes + sum(len(msgspec.json.encode(frame)) + 1 for frame in new)
        if size > self._free_bytes:
            return False
        self._free_bytes -= size
        for frame in new:
            self._indices[frame] = len(self.frames)
            self.frames.append(frame)
        self.stacks.append(Stack(tuple(self._indices[frame] for frame in frames), seconds, samples))
        return True

    def add_other(self, seconds: float, samples: int) -> None:
        """Add the stacks for which there was no room."""
        self.frames.append(_no_frame(OTHER))
        self.stacks.append(Stack((len(self.frames) - 1,), seconds, samples))


def _walk(frame: FrameType | None, max_frames: int) -> Iterator[FrameType]:
    """Yield a frame and those below it, at most so many."""
    for _ in range(max_frames):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def _no_frame(name: str) -> Frame:
    return Frame(name, "", 0, 0)


def _frame(code: CodeType, line: int) -> Frame:
    return Frame(code.co_qualname, short_path(code.co_filename), code.co_firstlineno, line)


def short_path(file: str, search_path: Iterable[str] | None = None) -> str:
    """Return the path of a source file from its package on, which says nothing about the machine."""
    folders = [folder for folder in (sys.path if search_path is None else search_path) if folder]
    for folder in sorted(folders, key=len, reverse=True):
        if file.startswith(f"{folder.rstrip('/')}/"):
            return file[len(folder.rstrip("/")) + 1 :]
    return file if file.startswith("<") else Path(file).name
