"""Measures the dashboard in Chromium: first paint, frames and memory with 10 000 jobs, 200 events/s."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from playwright.async_api import Browser, CDPSession, Page, ViewportSize, async_playwright

from app.auth.passwords import open_passwords
from app.core.resources import Resources, open_resources
from bench import options
from bench.followed import Committer, start_jobs
from bench.listen import Listener, Plan, Stream
from bench.measuring import MIB, measure_usage, spread
from bench.options import Options
from bench.results import Results
from bench.stack import Api, Stack, User, stack
from tests.support import chromium

JOBS: Final = 10_000
RUNNING: Final = 200
"""Each commits one batch, and so one event, per second."""

VIEWERS: Final = 50
"""Users, each with their share of the running jobs, and each with one page open."""

IDLE_SECONDS: Final = 30.0
SETTLE_SECONDS: Final = 2.0
PASSWORD: Final = "correct horse battery staple"  # noqa: S105  # guards nothing
VIEWPORT: Final[ViewportSize] = {"width": 1440, "height": 900}

# Jobs that wait for a queue without a worker, older than those that run.
_WAITING: Final = """
INSERT INTO jobs (id, owner_id, kind, queue, priority, run_at, sort_key, params, max_attempts,
    total, soft_limit_seconds, time_limit_seconds, retention_seconds, created_at)
SELECT gen_random_uuid(), $1, 'batch_predict', 'nobody', 'normal', now(), now(), '{}',
    3, 1, 60, 60, 60, now() - make_interval(secs => n) FROM generate_series(1, $2::int) n"""

# When the page first painted, and when it showed a figure.
_START: Final = """() => new Promise(resolve => {
    const look = () => {
        const figures = [...document.querySelectorAll(".pipeline .figure")];
        if (!figures.some(figure => /\\d/.test(figure.textContent))) { requestAnimationFrame(look); return; }
        const paint = performance.getEntriesByName("first-contentful-paint")[0];
        resolve({ paint: paint.startTime, main: performance.now() });
    };
    look();
})"""

# Frames in so many milliseconds, while scrolling by so many pixels a frame, and what kept the page busy.
_FRAMES: Final = """([milliseconds, step]) => new Promise(resolve => {
    const began = performance.now();
    const tasks = [];
    const observer = new PerformanceObserver(list => tasks.push(...list.getEntries()));
    observer.observe({ type: "longtask" });
    let frames = 0;
    let down = true;
    const count = now => {
        frames += 1;
        if (step > 0) {
            const end = document.documentElement.scrollHeight - innerHeight;
            if (scrollY >= end - 1) { down = false; } else if (scrollY <= 0) { down = true; }
            scrollBy({ top: down ? step : -step, behavior: "instant" });
        }
        if (now - began < milliseconds) { requestAnimationFrame(count); return; }
        observer.disconnect();
        resolve({
            rate: frames * 1000 / (now - began),
            frames,
            long: tasks.length,
            longest: Math.max(0, ...tasks.map(task => task.duration)),
        });
    };
    requestAnimationFrame(count);
})"""


@dataclass(frozen=True)
class Frames:
    """What a page achieved during some seconds."""

    page: str
    per_second: float
    script_ms_per_frame: float
    tasks_over_50_ms: int
    longest_task_ms: float


async def measure(system: Stack, options: Options) -> Results:
    """Load the overview some times, then show the list of jobs beside a page that does nothing."""
    results = Results("dashboard", options)
    seconds = options.choose(20.0, 3.0)
    owner, name = await _person(system)
    starts: list[dict[str, float]] = []
    frames: list[Frames] = []
    async with open_resources(system.settings) as resources:
        await system.execute(_WAITING, owner.id, JOBS - RUNNING)
        jobs = await start_jobs(system, resources, [owner], RUNNING)
        # In development the cookie of the session may travel over HTTP.
        with system.api(ENVIRONMENT="development") as api:
            async with _browser() as browser:
                for _ in range(max(5, options.rounds)):
                    async with _visit(browser, api, name) as page:
                        starts.append(await _start(page, api))
                async with _visit(browser, api, name) as page:
                    idle = await _requests_when_idle(page, api, options.choose(IDLE_SECONDS, 5.0))
                async with _visit(browser, api, name) as page:
                    session = await _list(page, api, options.choose(JOBS, 500))
                    heap = await _heap(session)
                    committer = Committer(resources, jobs)
                    events = asyncio.create_task(
                        committer.run(seconds * 4 * options.rounds + options.choose(60.0, 3.0))
                    )
                    for _ in range(options.rounds):
                        frames += await _round(browser, page, session, seconds)
                    shown = int(await page.locator(".jobs-table tr[data-key]").count())
                    await events
                    later = await _heap(session)
        viewing = await _viewers(system, resources, seconds)
    _report(results, starts, frames)
    results.at_most(
        f"processor of the API for {VIEWERS} viewers of {RUNNING} events/s in all", viewing, 0.05, "cores"
    )
    results.at_most("requests of a page that nobody touches, in 15 s", idle, 1.0)
    results.at_most(f"rows in the page of {JOBS} jobs", float(shown), 80.0)
    results.at_most(f"heap with {JOBS} jobs", heap / MIB, 40.0, "MiB")
    results.at_most(f"heap after {len(committer.committed)} events more", (later - heap) / MIB, 5.0, "MiB")
    results.rounds = {
        "starts": starts,
        "frames": [asdict(one) for one in frames],
        "heap": heap,
        "heap_later": later,
        "committer_late_seconds": committer.late_seconds,
    }
    return results


async def _viewers(system: Stack, resources: Resources, seconds: float) -> float:
    """The cores that an API takes to show `VIEWERS` users their jobs, with the clock and the counts."""
    owners = [await system.user() for _ in range(VIEWERS)]
    jobs = await start_jobs(system, resources, owners, RUNNING)
    with system.api() as api:
        streams = [
            Stream(transport="sse", path="/jobs/stream?with=clock,stats", headers=owner.headers)
            for owner in owners
        ]
        listener = Listener(Plan(api.port, streams))
        await asyncio.sleep(SETTLE_SECONDS)
        before = measure_usage(api.program.pid)
        await Committer(resources, jobs).run(seconds)
        after = measure_usage(api.program.pid)
        listener.stop()
    return after.cores_since(before)


async def _person(system: Stack) -> tuple[User, str]:
    """Somebody who can sign in."""
    user = await system.user("ada")
    async with open_passwords() as passwords, passwords.turn() as turn:
        password_hash = await turn.hash(PASSWORD)
    await system.execute("UPDATE users SET password_hash = $2 WHERE id = $1", user.id, password_hash)
    return user, "ada"


@asynccontextmanager
async def _browser() -> AsyncIterator[Browser]:
    path = chromium.find()
    if path is None:
        sys.exit("Chromium is not on the PATH; `make browser` installs it.")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=chromium.FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def _visit(browser: Browser, api: Api, name: str) -> AsyncIterator[Page]:
    """Open a tab in a new profile that has signed in."""
    context = await browser.new_context(viewport=VIEWPORT, locale="en-GB")
    try:
        page = await context.new_page()
        await page.goto(f"{api.url}/dashboard/")
        await page.get_by_label("Username").fill(name)
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await page.locator("#top .connection", has_text="Live").wait_for()
        yield page
    finally:
        await context.close()


async def _start(page: Page, api: Api) -> dict[str, float]:
    """Load the overview with an empty cache: the milliseconds until it painted, and until it had figures."""
    session = await page.context.new_cdp_session(page)
    await session.send("Network.enable")
    await session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    await page.goto(f"{api.url}/dashboard/", wait_until="commit")
    return dict(await page.evaluate(_START))


async def _requests_when_idle(page: Page, api: Api, seconds: float) -> float:
    """How many requests the list of jobs sends in 15 s in which nothing happens."""
    await page.goto(f"{api.url}/dashboard/jobs?status=completed")
    await page.locator("#top .connection", has_text="Live").wait_for()
    await asyncio.sleep(3)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    await asyncio.sleep(seconds)
    return len(sent) / seconds * 15


async def _list(page: Page, api: Api, jobs: int) -> CDPSession:
    """Open the list of jobs and scroll until so many have been loaded."""
    await page.goto(f"{api.url}/dashboard/jobs")
    foot = page.locator(".list-foot").first
    await foot.wait_for()
    loaded = 0
    while loaded < jobs - 100:
        await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        await page.wait_for_timeout(20)
        text = (await foot.inner_text()).split("/")[0]
        loaded = int("".join(filter(str.isdigit, text)) or "0")
    await page.evaluate("scrollTo(0, 0)")
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")
    await session.send("HeapProfiler.enable")
    return session


async def _round(browser: Browser, page: Page, session: CDPSession, seconds: float) -> list[Frames]:
    empty = await browser.new_page(viewport=VIEWPORT)
    try:
        nothing = await empty.context.new_cdp_session(empty)
        await nothing.send("Performance.enable")
        reference = await _frames("an empty page", empty, nothing, seconds, 0)
    finally:
        await empty.close()
    await page.bring_to_front()
    return [
        reference,
        await _frames("the list of jobs", page, session, seconds, 0),
        await _frames("the same, scrolling", page, session, seconds, 40),
    ]


async def _frames(name: str, page: Page, session: CDPSession, seconds: float, step: int) -> Frames:
    before = await _script_seconds(session)
    counted = await page.evaluate(_FRAMES, [seconds * 1000, step])
    script = await _script_seconds(session) - before
    return Frames(
        name,
        counted["rate"],
        script * 1000 / counted["frames"],
        counted["long"],
        counted["longest"],
    )


async def _script_seconds(session: CDPSession) -> float:
    metrics: dict[str, Any] = await session.send("Performance.getMetrics")
    return float(next(one["value"] for one in metrics["metrics"] if one["name"] == "ScriptDuration"))


async def _heap(session: CDPSession) -> int:
    for _ in range(3):
        await session.send("HeapProfiler.collectGarbage")
    usage: dict[str, Any] = await session.send("Runtime.getHeapUsage")
    return int(usage["usedSize"])


def _report(results: Results, starts: list[dict[str, float]], frames: list[Frames]) -> None:
    paint = spread(one["paint"] for one in starts)
    main = spread(one["main"] for one in starts)
    results.table(
        "The overview on loopback, with an empty cache",
        ("", "ms"),
        [["first paint", str(paint)], ["figures on the page", str(main)]],
        f"{len(starts)} loads.",
    )
    names = list(dict.fromkeys(one.page for one in frames))
    of = {name: [one for one in frames if one.page == name] for name in names}
    results.table(
        f"{JOBS} jobs, {RUNNING} events/s",
        ("page", "frames/s", "script ms per frame", "tasks over 50 ms", "longest ms"),
        [
            [
                name,
                str(spread(one.per_second for one in of[name])),
                str(spread(one.script_ms_per_frame for one in of[name])),
                str(sum(one.tasks_over_50_ms for one in of[name])),
                max(one.longest_task_ms for one in of[name]),
            ]
            for name in names
        ],
        "The browser draws at most 60 frames per second.",
    )
    results.at_most("first paint", paint.median, 300.0, "ms")
    results.at_most("figures on the page", main.median, 500.0, "ms")
    shown, scrolled = (spread(one.per_second for one in of[name]).median for name in names[1:])
    results.at_least("frames/s of the list", shown, 58.0)
    results.at_least("frames/s of the list while scrolling", scrolled, 55.0)


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
