"""What is made of the rules is up to date, and each alert has a runbook and a line in the documentation."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml

from k8s.components.monitoring import prometheus_rule
from tests.monitoring.rules import ALERTS, shipped
from tests.support.processes import ROOT

FOLDER: Final = prometheus_rule.FILE.parent
RUNBOOKS: Final = ROOT / prometheus_rule.RUNBOOKS
HEADINGS: Final = ["Means", "Look", "Do", "If it comes back"]
OBSERVABILITY: Final = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")


def write(tmp_path: Path, *arguments: str) -> dict[str, str]:
    """Run `write.py` on a copy of its folder; return the files that it leaves there."""
    copy = tmp_path / FOLDER.relative_to(ROOT)
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for generated in ("prometheusrule.yaml", "dashboards/headrace.json"):
        (copy / generated).unlink()
    command = [sys.executable, "-m", "k8s.components.monitoring.write", *arguments]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    return {
        path.name: path.read_text("utf-8") for path in copy.rglob("*") if path.suffix in (".yaml", ".json")
    }


def test_the_generated_files_are_those_that_write_makes(tmp_path: Path) -> None:
    committed = {
        path.name: path.read_text("utf-8") for path in FOLDER.rglob("*") if path.suffix in (".yaml", ".json")
    }

    assert write(tmp_path) == committed


def test_the_operator_gets_exactly_the_rules() -> None:
    manifest = yaml.safe_load(prometheus_rule.FILE.read_text(encoding="utf-8"))

    assert manifest["spec"] == shipped()


def test_runbooks_can_be_links(tmp_path: Path) -> None:
    written = write(tmp_path, "--runbooks", "https://docs.example.org/runbooks/")

    groups = yaml.safe_load(written["prometheusrule.yaml"])["spec"]["groups"]
    links = {rule["annotations"]["runbook"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert links == {f"https://docs.example.org/runbooks/{alert}.md" for alert in ALERTS}


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == set(ALERTS)
    for alert, rule in ALERTS.items():
        assert rule.annotations["runbook"] == f"{prometheus_rule.RUNBOOKS}/{alert}.md"


@pytest.mark.parametrize("alert", ALERTS)
def test_a_runbook_is_short_and_has_four_headings(alert: str) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text(encoding="utf-8")

    assert text.startswith(f"# {alert}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert len(text.splitlines()) <= 25
    assert all(section.strip() for section in re.split(r"^#+ .+$", text, flags=re.MULTILINE)[2:])


def test_the_index_of_the_runbooks_lists_each_once() -> None:
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")

    assert sorted(re.findall(r"\]\((\w+)\.md\)", index)) == sorted(ALERTS)


def test_the_documentation_lists_each_alert_with_its_severity() -> None:
    rows = re.findall(r"^\| `(Headrace\w+)` \| (\w+) \| .+ \|$", OBSERVABILITY, re.MULTILINE)

    assert rows == [(alert, rule.labels["severity"]) for alert, rule in ALERTS.items()]


def test_the_dashboard_has_the_row_that_an_alert_names() -> None:
    dashboard = json.loads((FOLDER / "dashboards" / "headrace.json").read_text(encoding="utf-8"))
    rows = {
        f"{dashboard['title']} / {panel['title']}" for panel in dashboard["panels"] if panel["type"] == "row"
    }

    assert {rule.annotations["dashboard"] for rule in ALERTS.values()} <= rows


def test_the_documentation_shows_the_scrape_configuration() -> None:
    configuration = (FOLDER / "prometheus.yaml").read_text(encoding="utf-8")

    assert f"```yaml\n{configuration}```" in OBSERVABILITY
