"""What all metrics have in common: who serves them, and which trace they name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Histogram, generate_latest

from app.core import metrics
from app.core.component import Component
from app.core.errors import ConfigurationError
from app.core.metrics import MAX_QUEUES, OTHER_QUEUE, OptionalGauge, QueueLabels
from app.core.version import VERSION

ROOT = Path(__file__).parents[2]
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


def test_the_build_is_published() -> None:
    metrics.describe_process(Component.WORKER)

    labels = {"component": "worker", "version": VERSION}
    assert REGISTRY.get_sample_value("headrace_build_info", labels) == 1


@pytest.mark.parametrize("name", metrics.MULTIPROCESS_VARIABLES)
def test_the_multiprocess_mode_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setenv(name, str(tmp_path))

    with pytest.raises(ConfigurationError, match=name):
        metrics.describe_process(Component.API)


@pytest.mark.parametrize("arguments", [("-m", "worker"), ("-m", "app", "serve", "--port", "0")])
@pytest.mark.parametrize("is_there", [True, False], ids=["folder", "no-folder"])
def test_a_process_in_multiprocess_mode_says_so_in_one_line_and_leaves_no_files(
    tmp_path: Path, arguments: tuple[str, ...], is_there: bool
) -> None:
    folder = tmp_path / "metrics"
    if is_there:
        folder.mkdir()
    servers = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing", "REDIS_URL": "redis://127.0.0.1:1"}

    process = subprocess.run(
        (sys.executable, *arguments),
        env={**os.environ, **servers, MULTIPROCESS: str(folder)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 1
    [line] = process.stderr.splitlines()
    assert MULTIPROCESS in line
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_statistics_of_the_garbage_collector_are_not_published() -> None:
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("python_gc")]


def test_an_exemplar_names_the_current_trace_if_there_is_one() -> None:
    assert metrics.exemplar() is None

    trace_ids: list[str | None] = ["4bf92f3577b34da6a3ce929d0e0e4736", None]
    metrics.take_exemplars_from(lambda: trace_ids[0])
    try:
        assert metrics.exemplar() == {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
        trace_ids.pop(0)
        assert metrics.exemplar() is None
    finally:
        metrics.take_exemplars_from(lambda: None)


def test_an_observation_accepts_the_exemplar_of_no_trace() -> None:
    histogram = Histogram("some_seconds", "Some.", registry=(registry := CollectorRegistry()))

    histogram.observe(0.1, metrics.exemplar())

    assert registry.get_sample_value("some_seconds_count") == 1


def test_a_queue_that_nobody_serves_has_no_label_of_its_own() -> None:
    labels = QueueLabels()
    labels.admit(["default"])

    assert labels.label("default") == "default"
    assert {labels.label(f"made-up-{number}") for number in range(1000)} == {OTHER_QUEUE}
    assert labels.names == ("default",)


def test_no_more_queues_than_the_limit_get_a_label() -> None:
    labels = QueueLabels()

    assert labels.admit(["a", "b", "a"], 3) == ["a", "b"]
    assert labels.admit(["b", "c", "d"], 3) == ["c"]
    assert labels.admit(["e"], 3) == []
    assert labels.admit(["e"], 2) == []
    assert [labels.label(name) for name in "abcde"] == ["a", "b", "c", OTHER_QUEUE, OTHER_QUEUE]


def test_the_number_of_labels_is_bounded_whoever_asks() -> None:
    labels = QueueLabels()

    labels.admit([f"served-{number}" for number in range(100)], 1000)

    assert len(labels.names) == MAX_QUEUES


@pytest.fixture
def gauge() -> OptionalGauge:
    gauge = OptionalGauge("headrace_only_here", "A gauge of one test.", registry=None)
    REGISTRY.register(gauge)
    return gauge


def test_a_gauge_that_was_never_set_shows_no_false_zero(gauge: OptionalGauge) -> None:
    try:
        assert b"\nheadrace_only_here " not in generate_latest(REGISTRY)
        gauge.set(0)
        assert b"\nheadrace_only_here 0.0" in generate_latest(REGISTRY)
    finally:
        REGISTRY.unregister(gauge)


def test_a_gauge_whose_value_a_function_returns_is_shown(gauge: OptionalGauge) -> None:
    try:
        gauge.set_function(lambda: 2.5)
        assert b"\nheadrace_only_here 2.5" in generate_latest(REGISTRY)
    finally:
        REGISTRY.unregister(gauge)


def test_a_process_that_is_no_worker_shows_no_gauges_of_a_worker() -> None:
    show_page = "import app.main; from app.core import exposition; print(exposition.render('').body.decode())"
    page = subprocess.run(
        (sys.executable, "-c", show_page), cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    shown = {line.split()[0] for line in page.splitlines() if line and not line.startswith("#")}
    assert "headrace_redis_up" in shown
    assert shown.isdisjoint(
        {
            "headrace_worker_slots",
            "headrace_worker_slots_busy",
            "headrace_child_memory_bytes",
            "headrace_child_memory_limit_bytes",
            "headrace_lease_age_seconds",
        }
    )
