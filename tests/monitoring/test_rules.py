"""The recording rules record what they should, and each alert fires and stays silent where it should."""

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

from k8s.components.monitoring import prometheus_rule
from tests.monitoring import promtool, rule_cases
from tests.monitoring.promtool import Case, Firing, Moment, Sample
from tests.monitoring.rule_cases import ML, WELL, A, B, constant
from tests.monitoring.rule_mutants import mutants
from tests.monitoring.rules import ALERTS, RECORDINGS, Rule, named, needed_for
from tests.support.prometheus import promtool_path

CONFIGURATION: Final = prometheus_rule.SOURCE.parent / "prometheus.yaml"
WATCHDOG: Final = "HeadraceWatchdog"

QUEUES: Final = Case(
    "what is recorded of queues",
    {
        **{
            f'headrace_queue_jobs{{{of}, queue="{queue}", priority="{priority}", state="{state}"}}': constant(
                n
            )
            for of, fewer in ((A, 0), (B, 1))
            for queue, priority, state, count in (
                ("default", "high", "due", 4),
                ("default", "low", "due", 8),
                ("default", "high", "running", 3),
                ("default", "high", "delayed", 50),
                ("gpu", "low", "due", 6),
            )
            for n in (count - fewer,)
        },
        f'headrace_queue_oldest_seconds{{{A}, queue="default"}}': constant(11),
        f'headrace_queue_oldest_seconds{{{B}, queue="default"}}': constant(12),
        f'headrace_queue_slots{{{A}, queue="default", state="busy"}}': constant(3),
        f'headrace_queue_slots{{{B}, queue="default", state="busy"}}': constant(2),
        f'headrace_queue_slots{{{A}, queue="default", state="idle"}}': constant(1),
        f'headrace_jobs_ended_total{{{A}, kind="a", queue="default", status="completed", fault="none"}}': (
            "0+1.5x40"
        ),
        f'headrace_jobs_ended_total{{{B}, kind="b", queue="default", status="completed", fault="none"}}': (
            "0+0.375x40"
        ),
        f'headrace_jobs_ended_total{{{B}, kind="b", queue="gpu", status="completed", fault="none"}}': WELL,
    },
    tuple(
        Sample("8m", query, {f'{query.partition("{")[0]}{{namespace="ml", {key}}}': n for key, n in values})
        for query, values in (
            (
                'headrace:queue_jobs:max{queue="default", state="due"}',
                (
                    ('priority="high", queue="default", state="due"', 4),
                    ('priority="low", queue="default", state="due"', 8),
                ),
            ),
            ("headrace:queue_oldest_seconds:max", (('queue="default"', 12),)),
            (
                "headrace:queue_slots:max",
                (('queue="default", state="busy"', 3), ('queue="default", state="idle"', 1)),
            ),
            ("headrace:queue_need:sum", (('queue="default"', 15), ('queue="gpu"', 6))),
            ("headrace:queue_use:ratio", (('queue="default"', 0.75),)),
            (
                "headrace:jobs_ended:rate5m",
                (('queue="default", status="completed"', 0.125), ('queue="gpu", status="completed"', 0)),
            ),
            ("headrace:queue_drain_seconds:ratio", (('queue="default"', 96),)),
        )
    ),
)


def _objective(slo: str, share: float, events: float, budget: float) -> tuple[Sample, ...]:
    labels = f'{{namespace="ml", slo="{slo}"}}'
    return (
        Sample(
            "90m",
            f'headrace:slo_errors:ratio_rate5m{{slo="{slo}"}}',
            {f"headrace:slo_errors:ratio_rate5m{labels}": share},
        ),
        Sample(
            "90m",
            f'headrace:slo_events:increase1h{{slo="{slo}"}}',
            {f"headrace:slo_events:increase1h{labels}": events},
        ),
        Sample("90m", f'headrace:slo_budget{{slo="{slo}"}}', {f'headrace:slo_budget{{slo="{slo}"}}': budget}),
    )


OBJECTIVES: Final = Case(
    "what is recorded of objectives",
    {
        f'headrace_http_requests_total{{{A}, method="GET", route="/jobs", status="200"}}': "0+60x100",
        f'headrace_http_requests_total{{{A}, method="GET", route="/jobs", status="404"}}': "0+30x100",
        f'headrace_http_requests_total{{{B}, method="GET", route="/jobs", status="503"}}': "0+30x100",
        **{
            f'headrace_http_request_seconds_{part}{{{A}, method="{method}", route="{route}"{le}}}': f"0+{n}x100"
            for method, route, total, fast in (
                ("POST", "/jobs/batch-predict", 60, 30),
                ("GET", "/jobs/batch-predict", 120, 15),
                ("POST", "/jobs/{job_id}/cancel", 240, 15),
            )
            for part, le, n in (
                ("count", "", total),
                ("bucket", ', le="0.1"', 0),
                ("bucket", ', le="0.25"', fast),
                ("bucket", ', le="+Inf"', total),
            )
        },
        **{
            f'headrace_wait_seconds_{part}{{{A}, queue="{queue}"{le}}}': f"0+{n}x100"
            for queue, total, soon in (("default", 120, 90), ("gpu", 240, 15))
            for part, le, n in (
                ("count", "", total),
                ("bucket", ', le="5.0"', 0),
                ("bucket", ', le="10.0"', soon),
                ("bucket", ', le="+Inf"', total),
            )
        },
        **{
            f'headrace_jobs_ended_total{{{A}, kind="k", queue="q", status="{status}", fault="{fault}"}}': f"0+{n}x100"
            for status, fault, n in (
                ("completed", "none", 15),
                ("failed", "user", 30),
                ("failed", "system", 15),
            )
        },
    },
    (
        *_objective("availability", 0.25, 7200, 0.001),
        *_objective("submit", 0.5, 3600, 0.01),
        *_objective("start", 0.25, 7200, 0.01),
        *_objective("outcome", 0.25, 3600, 0.001),
    ),
    interval="1m",
)

FAULTLESS: Final = Case(
    "nothing has failed yet, so that there is no series of a failure",
    {
        f'headrace_http_requests_total{{{A}, method="GET", route="/jobs", status="200"}}': "0+60x100",
        f'headrace_jobs_ended_total{{{A}, kind="k", queue="q", status="completed", fault="none"}}': "0+15x100",
    },
    (
        *_objective("availability", 0, 3600, 0.001),
        *_objective("outcome", 0, 900, 0.001),
    ),
    interval="1m",
)


def test_promtool_accepts_the_rules_and_the_configuration_that_names_them() -> None:
    for arguments in (("rules", prometheus_rule.SOURCE), ("config", CONFIGURATION)):
        command = [promtool_path(), "check", *arguments]
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
    queries = {sample.query for sample in case.expects if isinstance(sample, Sample)}
    tested = [rule for rule in RECORDINGS if any(query.partition("{")[0] == rule.name for query in queries)]
    runs = {
        f"{number}: {change}": (_replaced(rule, mutant), (case, FAULTLESS))
        for number, rule in enumerate(tested)
        for change, mutant in mutants(rule)
        if "> 0" not in change and not change.startswith((">", "0 "))
    }

    failures = promtool.outcomes(runs, tmp_path)

    assert len(runs) > 5
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


def test_the_summary_of_a_healthy_system_is_silence(tmp_path: Path) -> None:
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
        **OBJECTIVES.series,
    }
    healthy = {series: values for series, values in healthy.items() if "503" not in series}
    healthy = {series: values for series, values in healthy.items() if 'fault="system"' not in series}
    healthy = {series: values for series, values in healthy.items() if "request_seconds" not in series}
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
    groups = yaml.safe_load(prometheus_rule.SOURCE.read_text(encoding="utf-8"))["groups"]
    alerts = [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]

    assert len(alerts) == len(set(alerts)) == len(ALERTS)


def _replaced(rule: Rule, mutant: Rule) -> tuple[Rule, ...]:
    return tuple(mutant if other is rule else other for other in RECORDINGS)
