"""The alert rules for the Prometheus operator: writes `prometheusrule.yaml` from `rules.yaml`."""

from pathlib import Path
from typing import Final

RUNBOOKS: Final = "docs/runbooks"

_FOLDER: Final = Path(__file__).parent
SOURCE: Final = _FOLDER / "rules.yaml"
FILE: Final = _FOLDER / "prometheusrule.yaml"

_HEAD: Final = """\
# Written by write.py from rules.yaml. Change that file instead.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: headrace
spec:
"""


def write(runbooks: str = RUNBOOKS) -> None:
    """Write the rules, with the runbooks in this folder or below this URL."""
    FILE.write_text(text(runbooks), encoding="utf-8")


def text(runbooks: str = RUNBOOKS) -> str:
    """Return the rules as the file has them."""
    source = SOURCE.read_text(encoding="utf-8").replace(
        f"runbook: {RUNBOOKS}/", f"runbook: {runbooks.rstrip('/')}/"
    )
    return _HEAD + "".join(f"  {line}" if line.strip() else line for line in source.splitlines(keepends=True))
