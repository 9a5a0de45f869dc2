"""A test that needs a program of Prometheus skips without it, and fails in CI."""

from pathlib import Path

import pytest

from tests.support import prometheus


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_a_program_that_is_missing_skips_the_test_or_fails_it_in_ci(
    ci: str, outcome: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "UNPACKED", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)

    for find in (prometheus.promtool_path, prometheus.prometheus_path, prometheus.alertmanager_path):
        with pytest.raises(outcome, match="make prometheus"):
            find()


def test_alertmanager_is_found_under_either_of_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "UNPACKED", tmp_path / "nothing")
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("alertmanager", "prometheus-alertmanager"):
        program = tmp_path / name
        program.touch(mode=0o755)

        assert prometheus.alertmanager_path() == program
