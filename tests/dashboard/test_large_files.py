"""Files that are larger than the memory that a page may take: uploads and downloads of 200 MB."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.dashboard import browser
from tests.dashboard.browser import Visit
from tests.dashboard.site import Person, Site

browser.skip_without()

pytestmark = [pytest.mark.long, pytest.mark.huge, pytest.mark.asyncio(loop_scope="module")]

ROWS = 1_400_000
BAD_LINE = 1_200_001
CHUNK_ROWS = 10_000
FILE_BYTES = 200_000_000
PAGE_BYTES = 150_000_000
PATIENCE_MILLISECONDS = 600_000
UNTIL_STOPPED = 10_000_000
"""Bytes of an upload after which it is stopped."""


def lines() -> Iterator[bytes]:
    yield b"id,score,text\n"
    for row in range(ROWS):
        yield b'%d,%d.5,"%s"\n' % (
            row,
            row % 977,
            b"a review that is neither short nor long, " * 3 + b"%09d" % row,
        )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A file of 200 MB, and one with a bad row near its end."""
    folder = tmp_path_factory.mktemp("large")
    found = {name: folder / f"{name}.csv" for name in ("good", "bad")}
    with found["good"].open("wb") as good, found["bad"].open("wb") as bad:
        written = 0
        source = lines()
        while chunk := list(islice(source, CHUNK_ROWS)):
            good.writelines(chunk)
            if written < BAD_LINE <= written + len(chunk):
                chunk[BAD_LINE - written - 1] = b"1,2\n"
            bad.writelines(chunk)
            written += len(chunk)
    assert found["good"].stat().st_size >= FILE_BYTES
    yield found
    for path in found.values():
        path.unlink()


async def test_a_file_of_200_megabytes_is_stopped_refused_stored_and_comes_back(
    visit: Visit, the_browser: Browser, the_site: Site, ada: Person, files: dict[str, Path]
) -> None:
    visit.expected |= {422}
    page = visit.page
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    await visit.enter(ada, "datasets")
    choose = page.locator("input[type=file]")
    line = page.locator(".uploads li")
    before = await page_bytes(the_browser)

    slowly = await page.context.new_cdp_session(page)
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 5_000_000}
    await slowly.send("Network.emulateNetworkConditions", limits)
    await choose.set_input_files(files["good"])
    await page.wait_for_function(
        f"() => document.querySelector('.uploads progress')?.value > {UNTIL_STOPPED}"
    )
    await expect(line).to_contain_text(re.compile(r"MB of \d+ MB, .* MB/s"))
    assert await page_bytes(the_browser) - before < PAGE_BYTES
    await line.get_by_role("button", name="Cancel upload").click()
    await expect(line).to_have_count(0)
    await slowly.send("Network.emulateNetworkConditions", {**limits, "uploadThroughput": -1})
    assert (await ada.ask("GET", "/datasets"))["items"] == []
    assert (await ada.ask("GET", "/quota"))["used_bytes"] == 0

    await choose.set_input_files(files["bad"])
    await expect(line.get_by_role("alert")).to_contain_text(
        f"Line {BAD_LINE:,}:", timeout=PATIENCE_MILLISECONDS
    )
    assert (await ada.ask("GET", "/datasets"))["items"] == []
    assert (await ada.ask("GET", "/quota"))["used_bytes"] == 0
    await line.get_by_role("button", name="Close").click()

    await choose.set_input_files(files["good"])
    link = page.get_by_role("link", name="good.csv")
    await expect(link).to_be_visible(timeout=PATIENCE_MILLISECONDS)
    await link.click()
    await expect(visit.main).to_contain_text(f"{ROWS:,} rows", timeout=PATIENCE_MILLISECONDS)
    async with page.expect_download(timeout=PATIENCE_MILLISECONDS) as download:
        await page.get_by_role("button", name="Download").click()
    path = await (await download.value).path()
    assert same_bytes(path, files["good"])
    assert await page_bytes(the_browser) - before < PAGE_BYTES
    assert await heap_bytes(page) < PAGE_BYTES


async def page_bytes(the_browser: Browser) -> int:
    """The memory that the processes of pages have to themselves, from the system."""
    session = await the_browser.new_browser_cdp_session()
    found: dict[str, Any] = await session.send("SystemInfo.getProcessInfo")
    await session.detach()
    pages = [process["id"] for process in found["processInfo"] if process["type"] == "renderer"]
    return sum(map(_private_bytes, pages))


def _private_bytes(process: int) -> int:
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    return sum(int(kilobytes) * 1024 for kilobytes in re.findall(r"^Private_\w+: +(\d+) kB", text, re.M))


async def heap_bytes(page: Any) -> float:
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")
    await session.send("HeapProfiler.collectGarbage")
    metrics = (await session.send("Performance.getMetrics"))["metrics"]
    await session.detach()
    return next(float(metric["value"]) for metric in metrics if metric["name"] == "JSHeapUsedSize")


def same_bytes(one: str | os.PathLike[str], other: Path) -> bool:
    """Compare files without reading them whole."""
    with Path(one).open("rb") as left, other.open("rb") as right:
        while chunk := left.read(1 << 20):
            if chunk != right.read(1 << 20):
                return False
        return not right.read(1)
