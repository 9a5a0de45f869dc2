"""The profile of an attempt shows where its handler spent the time, and nothing of ours."""

import inspect
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from app.core.sandbox.permissions import Permission
from app.jobs.profiles.profile import OTHER, Frame, FunctionTime, Profile
from tests.worker.children import attempts
from worker.children import messages, profiler
from worker.children.child import PROFILE_FILE
from worker.children.messages import Committed, Done, Failed, StopReason, Yielded
from worker.children.pool import Child, ChildPool
from worker.children.profiler import DEEPER, MAX_FRAMES, OUTSIDE, WAITING, Profiler, short_path

HANDLERS = "tests.worker.children.using_handlers:HANDLERS"
FILE = "tests/worker/children/using_handlers.py"


@pytest.fixture
async def children() -> AsyncIterator[ChildPool]:
    async with attempts.pool(handlers=HANDLERS) as children:
        yield children


async def profile_of(child: Child, kind: str, **params: int) -> Profile:
    start = msgspec.structs.replace(profiled(child, kind), params=msgspec.json.encode(params))
    attempt = await attempts.run(child, start)
    return read(child, attempt.end)


def profiled(child: Child, kind: str) -> messages.Start:
    scratch = str(child.folder)
    return msgspec.structs.replace(attempts.start(kind), is_profiled=True, scratch=scratch)


def read(child: Child, end: Done | Yielded | Failed) -> Profile:
    assert end.profile == PROFILE_FILE
    assert child.folder is not None
    return Profile.decode((child.folder / end.profile).read_bytes())


def of(profile: Profile, function: str) -> FunctionTime:
    [found] = [spent for spent in profile.top(1000) if spent.function == function]
    return found


async def test_the_function_that_takes_most_of_the_time_comes_first(children: ChildPool) -> None:
    async with attempts.take(children) as child:
        profile = await profile_of(child, "spend_four_fifths")

    hot = profile.top(1)[0]
    assert (hot.function, hot.file) == ("hot", FILE)
    # Four fifths, but another process may take the machine from any part.
    assert hot.self_seconds > profile.seconds / 2
    assert 0 < of(profile, "lukewarm").self_seconds < hot.self_seconds
    assert profile.samples >= 10


async def test_our_own_frames_are_left_out(children: ChildPool) -> None:
    async with attempts.take(children) as child:
        profile = await profile_of(child, "spend_four_fifths")

    outermost = {profile.frames[stack.frames[0]].function for stack in profile.stacks}
    assert outermost <= {"spend_four_fifths", OUTSIDE}
    assert of(profile, "spend_four_fifths").total_seconds > 0.9 * profile.seconds


async def test_time_that_passes_in_sleep_counts(children: ChildPool) -> None:
    async with attempts.take(children) as child:
        profile = await profile_of(child, "sleep_in_a_function")

    assert profile.top(1)[0].function == "sleep_here"
    assert of(profile, "sleep_here").self_seconds == pytest.approx(profile.seconds, rel=0.25)


async def test_a_c_call_that_keeps_the_interpreter_has_its_whole_time_on_its_line(
    children: ChildPool,
) -> None:
    async with attempts.take(children) as child:
        profile = await profile_of(child, "sort_in_c", numbers=2_000_000)

    source = (Path(__file__).parent / "using_handlers.py").read_text().splitlines()
    sorting = source.index("    numbers.sort()") + 1
    by_line = {
        profile.frames[stack.frames[-1]].line: stack.seconds
        for stack in profile.stacks
        if profile.frames[stack.frames[-1]].function == "sort_in_c"
    }
    # Sampled once or twice, but with the time since the sample before.
    assert by_line[sorting] > 0.1


async def test_a_coroutine_that_waits_is_shown_as_the_event_loop(children: ChildPool) -> None:
    async with attempts.take(children) as child:
        profile = await profile_of(child, "wait_then_burn")

    assert of(profile, WAITING).self_seconds > 0.1
    assert of(profile, "hot").self_seconds > 0
    assert not any(spent.file.startswith("asyncio/") for spent in profile.top(1000))


async def test_a_deep_recursion_keeps_its_inner_frames(children: ChildPool) -> None:
    async with attempts.take(children) as child:
        profile = await profile_of(child, "recurse_deeply")

    assert profile.top(1)[0].function == "hot"
    deep = max(profile.stacks, key=lambda stack: len(stack.frames))
    assert len(deep.frames) == MAX_FRAMES + 1
    assert profile.frames[deep.frames[0]].function == DEEPER
    assert of(profile, "recurse").total_seconds <= profile.seconds  # a recursion counts once


async def test_a_handler_that_raises_leaves_a_profile(children: ChildPool) -> None:
    async with attempts.take(children) as child:
        attempt = await attempts.run(child, profiled(child, "burn_and_raise"))

        assert of(read(child, attempt.failure), "burn").self_seconds > 0.5


async def test_an_attempt_that_stops_in_mid_job_leaves_a_profile(children: ChildPool) -> None:
    async with attempts.take(children) as child:
        child.send(profiled(child, "burn_until_stopped"))
        for _ in range(5):
            child.send(Committed((await attempts.receive_batch(child)).index))
        child.send(messages.Stop(StopReason.DRAIN))
        while not isinstance(end := await attempts.receive(child), Yielded):
            assert isinstance(end, messages.Batch)
            child.send(Committed(end.index))

        assert of(read(child, end), "hot").self_seconds > 0.05


async def test_the_next_attempt_in_the_child_is_not_profiled_unless_it_asks(children: ChildPool) -> None:
    async with attempts.take(children) as child:
        await profile_of(child, "sleep_in_a_function")
        attempt = await attempts.run(child, attempts.start("sleep_in_a_function"))

        assert attempt.end.profile is None


async def test_no_attempt_fails_because_its_profile_cannot_be_written(children: ChildPool) -> None:
    async with attempts.take(children, Permission.FILES) as child:
        start = msgspec.structs.replace(profiled(child, "sleep_in_a_function"), scratch="/proc/nowhere")
        attempt = await attempts.run(child, start)

    assert isinstance(attempt.end, Done)
    assert attempt.end.profile is None
    assert any("profile could not be written" in line.text for line in attempt.logs)


# Bounds


def test_stacks_beyond_the_limit_are_added_up() -> None:
    one = Profiler(read.__code__, max_stacks=3)
    frames = [inspect.currentframe(), *(frame.frame for frame in inspect.stack()[1:6])]
    for frame in (*frames, frames[0]):
        one.add(frame, 0.5)

    profile = one.profile()

    assert profile.samples == 7
    assert len(profile.stacks) == 4
    assert of(profile, OTHER).self_seconds == pytest.approx(1.5)
    assert sum(stack.seconds for stack in profile.stacks) == pytest.approx(3.5)


def test_a_profile_has_at_most_so_many_bytes_and_keeps_the_longest_stacks() -> None:
    frames = [Frame("f" * 100, "g" * 100, number, 1) for number in range(1000)]
    table = profiler.Table(20_000)
    kept = [table.add([frame], 1.0, 1) for frame in frames]
    table.add_other(9.0, 9)

    profile = Profile(1.0, 1, tuple(table.frames), tuple(table.stacks))

    assert kept[0]
    assert not kept[-1]
    assert 15_000 < len(profile.encode()) <= 20_000


def test_a_path_starts_at_its_package() -> None:
    search_path = ["", "/usr/lib/python3", "/usr/lib/python3/site-packages", "/home/ada/shop/"]

    assert short_path("/usr/lib/python3/json/decoder.py", search_path) == "json/decoder.py"
    assert short_path("/usr/lib/python3/site-packages/shop/a.py", search_path) == "shop/a.py"
    assert short_path("/home/ada/shop/worker/a.py", search_path) == "worker/a.py"
    assert short_path("/home/ada/secret/a.py", search_path) == "a.py"
    assert short_path("<frozen posixpath>", search_path) == "<frozen posixpath>"
