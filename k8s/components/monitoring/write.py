"""Writes the generated files of this folder: `python -m k8s.components.monitoring.write [--runbooks URL]`."""

import argparse

from k8s.components.monitoring import dashboard, prometheus_rule


def main() -> None:
    """Write the files; with `--runbooks`, the alerts link to the runbooks below that URL."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runbooks", metavar="URL", default=prometheus_rule.RUNBOOKS)
    prometheus_rule.write(parser.parse_args().runbooks)
    dashboard.write()


if __name__ == "__main__":
    main()
