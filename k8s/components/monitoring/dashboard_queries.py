"""Parts of PromQL that panels share. Each selects the chosen namespaces."""

from typing import Final

NAMESPACE: Final = 'namespace=~"$namespace"'
QUEUE: Final = 'queue=~"$queue"'
BUSY: Final = 'state="busy"'

PROCESS: Final = "pod, instance"
PROCESS_LEGEND: Final = "{{pod}} {{instance}}"
"""Outside Kubernetes there is only the instance."""

# HeadraceDown has no namespace: nothing is there that would have one.
FIRING: Final = (
    'ALERTS{namespace=~"$namespace|", alertname=~"Headrace.+", alertname!="HeadraceWatchdog",'
    ' alertstate="firing"}'
)


def select(metric: str, *matchers: str) -> str:
    """Select the series of a metric in the chosen namespaces.

    >>> select("headrace_worker_slots")
    'headrace_worker_slots{namespace=~"$namespace"}'
    """
    return f"{metric}{{{', '.join((NAMESPACE, *matchers))}}}"


def rate(metric: str, *matchers: str) -> str:
    """Per second, of a counter or of a histogram's parts, in each process."""
    return f"rate({select(metric, *matchers)}[$__rate_interval])"


def sum_of_rates(metric: str, *matchers: str, by: str) -> str:
    """Per second, summed over processes: facts about a process are summed."""
    return f"sum by ({by}) ({rate(metric, *matchers)})"


def per_minute(metric: str, *matchers: str, by: str) -> str:
    """Per minute, summed over processes, for rare events."""
    return f"60 * {sum_of_rates(metric, *matchers, by=by)}"


def quantile(share: float, histogram: str, *matchers: str, by: str = "") -> str:
    """A quantile of a histogram, over processes or by one of them."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, {sum_of_rates(f'{histogram}_bucket', *matchers, by=labels)})"


def measured(metric: str, *matchers: str, by: str) -> str:
    """A fact about the system, once: every API process shows the same measurement."""
    return f"max by (namespace, {by}) ({select(metric, *matchers)})"
