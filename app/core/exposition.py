"""The page of metrics of this process, in the format that a scraper asks for."""

from dataclasses import dataclass

from prometheus_client import REGISTRY, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics import exposition as openmetrics


@dataclass(frozen=True)
class Page:
    """A page of metrics, and its media type."""

    body: bytes
    content_type: str


def render(accept: str) -> Page:
    """Return the metrics as OpenMetrics, which has exemplars, if `Accept` asks for it; otherwise as text."""
    try:
        _, content_type = choose_encoder(accept)
    except TypeError:  # a version that is no number
        _, content_type = choose_encoder("")
    is_open_metrics = content_type.startswith("application/openmetrics-text")
    encode = openmetrics.generate_latest if is_open_metrics else generate_latest
    # No name needs escaping in any scheme, and this one does not look at each of its characters.
    return Page(encode(REGISTRY, escaping=openmetrics.ALLOWUTF8), content_type)
