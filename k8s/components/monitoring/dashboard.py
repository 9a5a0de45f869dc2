"""The Grafana dashboard: writes `dashboards/headrace.json` from its rows."""

import json
from pathlib import Path
from typing import Final

from k8s.components.monitoring.dashboard_of_jobs import QUEUES, SCHEDULES, WELL, WORK
from k8s.components.monitoring.dashboard_of_notifications import NOTIFICATIONS
from k8s.components.monitoring.dashboard_of_processes import API_AND_STREAMS, DURABILITY, INSIDE, WORKERS
from k8s.components.monitoring.dashboard_panels import DATASOURCE, Json, laid_out
from k8s.components.monitoring.dashboard_queries import FIRING, select

ROWS: Final = (WELL, QUEUES, WORK, SCHEDULES, WORKERS, DURABILITY, API_AND_STREAMS, NOTIFICATIONS, INSIDE)
FILE: Final = Path(__file__).parent / "dashboards" / "headrace.json"

NEW_VERSION: Final = (
    f"sum by (component, version) ({select('headrace_build_info')}) unless"
    f" sum by (component, version) ({select('headrace_build_info')} offset 2m)"
)
"""Versions that did not run two minutes ago."""

ANY_QUEUE: Final = select("", '__name__=~"headrace_queue_(jobs|slots)"')


def write() -> None:
    """Write the dashboard."""
    FILE.write_text(text(), encoding="utf-8")


def text() -> str:
    """Return the dashboard as the file has it."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


def dashboard() -> Json:
    """Return the dashboard as Grafana reads it."""
    return {
        "uid": "headrace",
        "title": "Headrace",
        "description": "Jobs, processes and notifications. Written by a program: change the table instead.",
        "tags": ["headrace"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "graphTooltip": 1,
        "annotations": {
            "list": [
                _annotation("Alerts", "red", FIRING, "{{alertname}}", "{{severity}} {{queue}} {{kind}}"),
                _annotation("Versions", "blue", NEW_VERSION, "{{component}} {{version}}", "New version"),
            ]
        },
        "templating": {
            "list": [
                _datasource_variable(),
                _variable("namespace", "Namespace", "label_values(headrace_build_info, namespace)"),
                _variable("queue", "Queue", f"label_values({ANY_QUEUE}, queue)"),
            ]
        },
        "panels": list(laid_out(ROWS)),
    }


def _annotation(name: str, colour: str, expression: str, title: str, text: str) -> Json:
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": colour,
        "expr": expression,
        "titleFormat": title,
        "textFormat": text,
        "step": "30s",
    }


def _datasource_variable() -> Json:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(name: str, label: str, query: str) -> Json:
    """A variable whose `All` also matches series without the label, as outside Kubernetes."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"], "selected": True},
    }
