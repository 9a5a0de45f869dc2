"""The page of metrics: in the format that a scraper asks for, and with exemplars where it has them."""

import pytest
from prometheus_client import parser as text_parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from app.core import exposition, metrics

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OF_PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    "accept", ["", "*/*", "text/plain", "text/html,*/*;q=0.8", "text/plain;version=0.0.4"]
)
def test_text_is_the_default(accept: str) -> None:
    page = exposition.render(accept)

    assert page.content_type == TEXT
    families = list(text_parser.text_string_to_metric_families(page.body.decode()))
    assert "headrace_redis_up" in {family.name for family in families}


@pytest.mark.parametrize(
    "accept",
    [
        OF_PROMETHEUS,
        "application/openmetrics-text",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
        "application/openmetrics-text; version=1.0.0; escaping=dots",
    ],
)
def test_openmetrics_is_served_to_a_scraper_that_asks_for_it(accept: str) -> None:
    page = exposition.render(accept)

    assert page.content_type.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    parsed = openmetrics_parser.text_string_to_metric_families(page.body.decode())  # type: ignore[no-untyped-call]
    families = list(parsed)
    assert "headrace_redis_up" in {family.name for family in families}


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text;version=x",
        "text/plain;version=one",
        "application/openmetrics-text;version=",
        "text/plain;version=1.x;;;=,",
        ";,=" * 1000,
        "\xff",
    ],
)
def test_a_header_that_makes_no_sense_is_no_error(accept: str) -> None:
    page = exposition.render(accept)

    assert b"headrace_redis_up" in page.body


def test_only_openmetrics_has_exemplars() -> None:
    metrics.REQUEST_SECONDS.labels("GET", "/exemplary").observe(0.2, {"trace_id": TRACE})

    text, openmetrics = exposition.render("").body.decode(), exposition.render(OF_PROMETHEUS).body.decode()

    assert TRACE not in text
    [line] = [line for line in openmetrics.splitlines() if TRACE in line]
    assert 'le="0.25"' in line
    assert f'# {{trace_id="{TRACE}"}} 0.2 ' in line
