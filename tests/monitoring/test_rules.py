"""The recording rules record what they should, and each alert fires and stays silent where it should."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from k8s.components.monitoring import prometheus_rule
from tests.monitoring import promtool, rule_cases
from tests.monitoring.promtool import Case, Firing, Moment, Sample
from tests.monitoring.recording_cases import FAULTLESS, OBJECTIVES, QUEUES
from tests.monitoring.rule_cases import ML, WELL, A, constant
from tests.monitoring.rule_mutants import mutants
from tests.monitoring.rules import ALERTS, RECORDINGS, Rule, named, needed_for, shipped
from tests.support.prometheus import promtool_path

CONFIGURATION: Final = prometheus_rule.SOURCE.parent / "prometheus.yaml"
WATCHDOG: Final = "HeadraceWatchdog"


def test_promtool_accepts_the_rules_and_the_configuration_that_names_them() -> None:
    for arguments in (("rules", prometheus_rule.SOURCE), ("config", CONFIGURATION)):
        command: list[str | Path] = [promtool_path(), "check", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_record_what_they_should(tmp_path: Path) -> None:
    assert promtool.failures((QUEUES, OBJECTIVES, FAULTLESS), tmp_path, RECORDINGS) == ""


def test_an_objective_has_the_same_rule_for_every_window() -> None:
    windows: dict[str, dict[str, str]] = {}
    for rule in RECORDINGS:
        if match := re.fullmatch(r"headrace:slo_errors:ratio_rate(\w+)", rule.name):
            windows.setdefault(rule.labels["slo"], {})[match[1]] = rule.expr

    assert set(windows) == {"availability", "submit", "start", "outcome"}
    for of in windows.values():
        assert set(of) == {"5m", "30m", "1h", "6h", "3d"}
        assert {expr.replace(f"[{window}]", "[5m]") for window, expr in of.items()} == {of["5m"]}


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_fires_and_stays_silent_beside_each_of_its_thresholds(alert: str, tmp_path: Path) -> None:
    cases = rule_cases.of(alert)
    firing = [case for case in cases if any(isinstance(e, Moment) and e.fires for e in case.expects)]

    assert firing
    assert len(firing) < len(cases) or alert == WATCHDOG
    assert promtool.failures(cases, tmp_path, (*needed_for(ALERTS[alert]), ALERTS[alert])) == ""


@pytest.mark.parametrize("alert", [alert for alert in ALERTS if alert != WATCHDOG])
def test_no_threshold_comparison_matcher_or_duration_of_an_alert_can_change_unnoticed(
    alert: str, tmp_path: Path
) -> None:
    rule = ALERTS[alert]
    needed = [other for other in needed_for(rule) if other.labels.get("slo", "start") == "start"]
    runs = {change: ((*needed, mutant), rule_cases.of(alert)) for change, mutant in mutants(rule)}

    failures = promtool.outcomes(runs, tmp_path)

    assert runs
    assert [change for change, failure in failures.items() if not failure] == []


@pytest.mark.parametrize("case", [QUEUES, OBJECTIVES], ids=lambda case: case.story.rpartition(" ")[2])
def test_no_matcher_or_number_of_a_recording_rule_can_change_unnoticed(case: Case, tmp_path: Path) -> None:
    runs = {
        f"{number}: {change}": ((*needed_for(rule), mutant), cases)
        for number, rule in enumerate(RECORDINGS)
        if (cases := _about(rule, case, FAULTLESS))
        for change, mutant in mutants(rule)
    }

    failures = promtool.outcomes(runs, tmp_path)

    assert runs
    assert [change for change, failure in failures.items() if not failure] == []


def test_three_percent_of_errors_burn_the_budget_and_the_same_share_of_six_requests_does_not(
    tmp_path: Path,
) -> None:
    def requests(scale: float) -> dict[str, str]:
        name = f'headrace_http_requests_total{{{A}, method="GET", route="/jobs"'
        return {
            f'{name}, status="200"}}': f"0+{97 * scale:g}x90",
            f'{name}, status="500"}}': f"0+{3 * scale:g}x90",
        }

    alert = "HeadraceErrorBudgetBurnsFast"
    firing = Firing(
        "3% of the last hour's events missed the objective availability.", {**ML, "slo": "availability"}
    )
    cases = (
        Case("many requests", requests(1), (Moment("80m", alert, (firing,)),), "1m"),
        Case("six requests an hour", requests(0.001), (Moment("80m", alert),), "1m"),
    )

    assert promtool.failures(cases, tmp_path) == ""


def test_with_nothing_there_only_the_alerts_on_that_fire(tmp_path: Path) -> None:
    expected = {
        "HeadraceDown": Firing(ALERTS["HeadraceDown"].annotations["summary"], {"component": "api"}),
        WATCHDOG: Firing(ALERTS[WATCHDOG].annotations["summary"], {}),
    }
    moments = tuple(
        Moment("150m", alert, (expected[alert],) if alert in expected else ()) for alert in ALERTS
    )

    assert promtool.failures([Case("nothing", {}, moments, "5m")], tmp_path) == ""


def test_a_healthy_system_is_silent(tmp_path: Path) -> None:
    healthy = {
        f'headrace_build_info{{{A}, component="api", version="1"}}': constant(1),
        f"headrace_postgres_up{{{A}}}": constant(1),
        f"headrace_redis_up{{{A}}}": constant(1),
        f"headrace_lease_age_seconds{{{A}}}": constant(1),
        f"headrace_queue_stats_timestamp_seconds{{{A}}}": "0+60x200",
        f"headrace_statistics_folded_timestamp_seconds{{{A}}}": WELL,
        f'headrace_loop_rounds_total{{{A}, loop="rescue", result="done"}}': "0+60x200",
        f'headrace_loop_rounds_total{{{A}, loop="prune", result="done"}}': "0+1x200",
        f"headrace_jobs_rescued_total{{{A}}}": WELL,
        f'headrace_dead_letters{{{A}, kind="k"}}': WELL,
        f'headrace_child_deaths_total{{{A}, reason="died"}}': WELL,
        f'headrace_queue_oldest_seconds{{{A}, queue="default"}}': constant(1),
        f'headrace_queue_jobs{{{A}, queue="default", priority="normal", state="due"}}': constant(3),
        f'headrace_queue_slots{{{A}, queue="default", state="idle"}}': constant(1),
        **rule_cases.wait_seconds(((0.001, 190),), 100),
        **FAULTLESS.series,
    }
    moments = tuple(Moment("90m", alert) for alert in ALERTS if alert != WATCHDOG)

    assert promtool.failures([Case("healthy", healthy, moments, "1m")], tmp_path) == ""


def test_each_alert_has_a_severity_and_every_annotation() -> None:
    for alert, rule in ALERTS.items():
        assert rule.labels.keys() == {"severity"}, alert
        assert rule.labels["severity"] in ("page", "ticket", "none"), alert
        assert (rule.labels["severity"] == "none") == (alert == WATCHDOG)
        assert rule.annotations.keys() == {"summary", "description", "dashboard", "runbook"}, alert
        assert re.search(r"\$value|\b0 API", rule.annotations["summary"]) or alert == WATCHDOG, alert
        assert rule.annotations["summary"].endswith("."), alert
        assert "{{" not in rule.annotations["description"], alert


def test_a_rule_with_its_name_is_found_by_it() -> None:
    assert named("headrace:slo_budget{start}").expr == "vector(0.01)"
    assert named("HeadraceDown") is ALERTS["HeadraceDown"]


def test_the_file_of_the_rules_names_each_once() -> None:
    alerts = [rule["alert"] for group in shipped()["groups"] for rule in group["rules"] if "alert" in rule]

    assert len(alerts) == len(set(alerts)) == len(ALERTS)


def _about(rule: Rule, *cases: Case) -> list[Case]:
    """Return the cases that expect a value of this rule, with nothing but that."""
    found = []
    for case in cases:
        expects = tuple(
            sample
            for sample in case.expects
            if isinstance(sample, Sample)
            and sample.query.partition("{")[0] == rule.name
            and all(f'{name}="{value}"' in sample.query for name, value in rule.labels.items())
        )
        if expects:
            found.append(replace(case, expects=expects))
    return found
