"""The page of a job with shards: what each of them does, their list, and the results there are."""

import re
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from app.core.config import Settings
from app.core.database import Database
from app.core.resources import open_resources
from app.jobs.transition_types import ClaimedJob
from tests.dashboard import browser
from tests.dashboard.browser import Visit
from tests.dashboard.site import Person
from tests.dashboard.test_pages import violations
from tests.support import jobs, rows, sharding

browser.skip_without()

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUEUE = "nobody"
"""Served by no real worker, so that the tests decide what happens."""

NO_INPUT = frozenset({410, 422})
"""The jobs of these tests have no dataset, which their page asks for."""


@pytest_asyncio.fixture(loop_scope="module")
async def site_store(site_settings: Settings) -> AsyncIterator[Database]:
    async with open_resources(site_settings) as resources:
        yield resources.database


@pytest_asyncio.fixture(loop_scope="module")
async def job_id(site_store: Database, ada: Person) -> UUID:
    """A running job of five shards of 20 rows, none of which runs yet."""
    owner_id = await rows.value(site_store, "SELECT id FROM users WHERE username = $1", ada.name)
    return await sharding.create(site_store, owner_id, total=100, queue=QUEUE)


async def started(store: Database, job_id: UUID) -> list[ClaimedJob]:
    """Shard 0 is done, 1 has one of its two batches, 2 has failed, 3 and 4 run."""
    shards = await sharding.claim(store, job_id, queue=QUEUE)
    await jobs.complete(store, shards[0])
    await jobs.commit(store, shards[1])
    await jobs.fail(store, shards[2], is_retryable=False)
    return shards


def cells(visit: Visit) -> Locator:
    return visit.page.locator(".job-progress .ledger span")


def listed(visit: Visit) -> Locator:
    return visit.page.locator("tr[data-shard]")


async def test_the_bar_and_the_list_show_what_each_shard_does(
    visit: Visit, ada: Person, site_store: Database, job_id: UUID
) -> None:
    visit.expected |= NO_INPUT
    shards = await started(site_store, job_id)
    await visit.enter(ada, f"jobs/{job_id}?tab=shards")

    await expect(cells(visit)).to_have_count(5)
    styles = [await cells(visit).nth(place).get_attribute("class") for place in range(5)]
    assert styles == ["flow", "part", "broken", "part", "part"]
    said = visit.page.locator(".job-progress .ledger")
    await expect(said).to_have_attribute("aria-label", "1 of 5 shards · Running: 3 · Failed: 1")
    await expect(listed(visit)).to_have_count(5)
    running = listed(visit).nth(1)
    await expect(running).to_contain_text("21–40")
    await expect(running).to_contain_text("50")
    await expect(running).to_contain_text("test-")
    await expect(listed(visit).nth(2)).to_contain_text("It went wrong.")

    await visit.page.locator(".tab-panel select").select_option("failed")
    await expect(listed(visit)).to_have_count(1)
    await expect(listed(visit)).to_have_attribute("data-shard", "2")
    await visit.page.locator(".tab-panel select").select_option("")

    life = visit.page.locator(".life .timeline")
    await expect(life).to_have_attribute("aria-label", re.compile("^Timeline: .*Running, "))

    await jobs.commit(site_store, shards[1], first=1)
    await expect(running).to_contain_text("100")
    assert "1 of 5 shards" in await visit.page.locator(".why").inner_text()
    await expect(visit.page.locator(".activity")).to_contain_text("1 of 5 shards")


async def test_results_come_up_to_the_first_row_that_is_missing(
    visit: Visit, ada: Person, site_store: Database, job_id: UUID
) -> None:
    visit.expected |= NO_INPUT
    await started(site_store, job_id)
    await visit.enter(ada, f"jobs/{job_id}")

    found = visit.page.locator(".results tbody tr:not(.more)")
    await expect(found).to_have_count(25)
    await expect(visit.page.locator(".tab-panel .list-foot")).to_contain_text("1–25")
    await visit.page.get_by_role("button", name="More").click()
    await expect(found).to_have_count(5)
    await expect(found.last).to_contain_text("30")


async def test_a_shard_links_to_its_job_and_is_not_changed_alone(
    visit: Visit, ada: Person, site_store: Database, job_id: UUID
) -> None:
    visit.expected |= NO_INPUT
    shards = await started(site_store, job_id)
    await visit.enter(ada, f"jobs/{job_id}?tab=shards")
    await listed(visit).nth(1).get_by_role("link").click()

    await expect(visit.page.locator(".crumbs .mono")).to_have_text(str(shards[1].id))
    await expect(visit.page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)
    await visit.page.get_by_role("link", name="Shard of job").click()
    await expect(visit.page.locator(".crumbs .mono")).to_have_text(str(job_id))


async def test_axe_finds_nothing(visit: Visit, ada: Person, site_store: Database, job_id: UUID) -> None:
    from axe_playwright_python.async_playwright import Axe  # slow to import

    visit.expected |= NO_INPUT
    await started(site_store, job_id)
    await visit.enter(ada, f"jobs/{job_id}?tab=shards")
    await expect(listed(visit)).to_have_count(5)

    assert await violations(Axe(), visit.page) == []


async def test_only_the_rows_of_a_dataset_are_divided(visit: Visit, ada: Person) -> None:
    await visit.enter(ada, "new?kind=batch_predict")
    field = visit.page.get_by_label("Shards", exact=True)
    await expect(visit.page.get_by_label("Texts")).to_be_visible()
    await expect(field).to_be_hidden()

    await visit.page.get_by_text("Dataset", exact=True).first.click()

    await expect(field).to_be_visible()
    await expect(field).to_have_attribute("placeholder", "auto")
