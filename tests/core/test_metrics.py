"""What all metrics have in common: who serves them, and which trace they name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Histogram

from app.core import metrics
from app.core.component import Component
from app.core.errors import ConfigurationError
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
