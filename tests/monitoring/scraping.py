"""Reads what a process shows to Prometheus."""

from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Page:
    """The series of one process by name and labels."""

    series: dict[tuple[str, Labels], float]

    def value(self, name: str, **labels: str) -> float | None:
        return self.series.get((name, frozenset(labels.items())))

    def nonzero(self, name: str) -> dict[Labels, float]:
        """The series of this name that have counted anything."""
        return {labels: value for (found, labels), value in self.series.items() if found == name and value}

    @property
    def label_values(self) -> set[str]:
        return {value for _, labels in self.series for _, value in labels}


async def scrape(client: httpx.AsyncClient) -> Page:
    answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return Page(
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }
    )
