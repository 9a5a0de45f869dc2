"""The pages of metrics are documented, valid, bounded, and name nobody."""

import re
import string
import subprocess
from pathlib import Path

import httpx
from prometheus_client import parser as text_parser
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics import parser as openmetrics_parser

from app.core import metrics
from app.core.config import Settings
from app.core.database import Database
from tests.monitoring import pages
from tests.monitoring.pages import Scraper, Series
from tests.support import apis, jobs, rows
from tests.support.processes import ROOT
from tests.support.prometheus import promtool_path
from tests.support.waiting import until

PAGE = (ROOT / "docs" / "observability.md").read_text()
MAX_SERIES = 4000
ENDED = "SELECT status = 'completed' FROM jobs WHERE id = $1"

_ROW = re.compile(r"^\| `(headrace_\w+)` \| (\w+) \|([^|]*)\|(.*)\|$", re.MULTILINE)
_PARAMETER = re.compile(r"\{(\w+)[^}]*\}")
_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}")

Documented = dict[str, tuple[str, tuple[str, ...]]]


def documented() -> Documented:
    """The type and the labels of each metric in the tables of the page."""
    found = _ROW.findall(PAGE)
    assert len({name for name, *_ in found}) == len(found), "a metric has two rows"
    assert all(meaning.strip() for *_, meaning in found), "a metric has no meaning"
    return {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in found}


def declared() -> Documented:
    """The type and the labels of each metric of the module, under the name that a query uses."""
    found: Documented = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            [family] = metric.describe()
            name = family.name + ("_total" if family.type == "counter" else "")
            found[name] = (family.type, tuple(metric._labelnames))
    return found


def test_the_page_of_the_docs_lists_exactly_the_metrics_of_the_module() -> None:
    assert documented() == declared()


def test_every_name_follows_the_rules() -> None:
    for name, (kind, labels) in declared().items():
        assert re.fullmatch(r"headrace_[a-z0-9_]+", name)
        assert name.endswith("_total") == (kind == "counter"), name
        assert not {"user", "user_id", "owner", "job", "job_id", "model", "path", "error"} & set(labels), name


async def test_the_pages_of_both_processes_are_valid_in_both_formats(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    headers = await apis.sign_in(settings, database)
    async with (
        pages.api(settings, tmp_path, headers) as (client, of_api),
        pages.worker(settings, tmp_path) as of_worker,
    ):
        created = await client.post("/jobs/batch-predict", json=["fine"])
        await until(lambda: rows.value(database, ENDED, created.json()["job_id"]))
        for component, scraper in (("api", of_api), ("worker", of_worker)):
            await _check_page(component, scraper)


async def _check_page(component: str, scraper: Scraper) -> None:
    text, openmetrics = await scraper.text(), await scraper.openmetrics()
    names = {family.name for family in text_parser.text_string_to_metric_families(text)}
    assert names >= {"headrace_build_info", "headrace_event_loop_lag_seconds", "process_cpu_seconds"}
    # Neither parser keeps `_total` in the name of a counter.
    parsed = openmetrics_parser.text_string_to_metric_families(openmetrics)  # type: ignore[no-untyped-call]
    assert {family.name for family in parsed} == names
    assert f'headrace_build_info{{component="{component}"' in text
    assert "headrace_postgres_up 1.0" in text
    assert "_seconds_created" not in text
    assert "python_gc" not in text


async def test_promtool_has_nothing_to_say_about_the_pages(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    promtool = promtool_path()
    headers = await apis.sign_in(settings, database)
    async with (
        pages.api(settings, tmp_path, headers) as (_, of_api),
        pages.worker(settings, tmp_path) as of_worker,
    ):
        texts = [await of_api.text(), await of_worker.text()]

    for text in texts:
        checked = subprocess.run(
            (promtool, "check", "metrics"), input=text, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


async def test_after_everything_was_used_the_series_are_few_and_no_client_can_add_more(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    headers = await apis.sign_in(settings, database, "zoe-of-the-labels")
    job_id = await jobs.create(database)
    unlimited = {"ANONYMOUS_REQUESTS_PER_MINUTE": "1000000"}
    async with pages.api(settings, tmp_path, headers, **unlimited) as (client, scraper):
        routes = await _routes(client)
        await _tour(client, routes, (str(job_id), "1", "no-such-thing"))
        client.headers.pop("Authorization")
        await _tour(client, routes, ("1",))
        await client.get("/made/up")
        await scraper.series()
        toured = await scraper.series()
        for number in range(1000):
            method = "".join(string.ascii_uppercase[int(digit)] for digit in str(number))
            path = (f"/made/up/{number}", f"/jobs/{number}", f"/{number}")[number % 3]
            await client.request(method if number % 2 else "GET", path)
        afterwards = await scraper.series()

    assert len(toured) <= MAX_SERIES
    assert afterwards - toured == frozenset()
    _check_labels(afterwards, "zoe-of-the-labels")


async def _routes(client: httpx.AsyncClient) -> list[tuple[str, str]]:
    """Every method and path of the OpenAPI document."""
    document = (await client.get("/openapi.json")).json()
    return [(method.upper(), path) for path, item in document["paths"].items() for method in item]


async def _tour(client: httpx.AsyncClient, routes: list[tuple[str, str]], values: tuple[str, ...]) -> None:
    """Send every kind of request to every route: with its methods and others, with and without sense."""
    for method, template in routes:
        for value in values:
            if not template.endswith("stream"):
                await client.request(method, _PARAMETER.sub(value, template))
    for template in dict.fromkeys(template for _, template in routes):
        for value in values:
            await client.head(_PARAMETER.sub(value, template))
        path = _PARAMETER.sub(values[0], template)
        for other in ("OPTIONS", "PUT", "PATCH", "DELETE", "POST", "BREW"):
            await client.request(other, path, content=b"{", headers={"Content-Type": "application/json"})
        await client.get(f"/api/v1{path}", headers={"Authorization": "Bearer nonsense"})


def _check_labels(series: Series, username: str) -> None:
    values = {value for _, labels in series for _, value in labels}
    assert username not in values
    assert not [value for value in values if _UUID.search(value)]
    assert not [value for value in values if re.fullmatch(r"/made/.*|/(jobs/)?\d+", value)]
