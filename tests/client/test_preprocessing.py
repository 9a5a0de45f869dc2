"""Datasets are profiled and preprocessed by both clients."""

from pathlib import Path
from typing import Any

import pytest

from app.client import AsyncHeadrace, Invalid

pytestmark = pytest.mark.long

PARTS = [{"name": "train", "fraction": 0.5}, {"name": "test", "fraction": 0.5}]


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A file of four rows, of which two are the same."""
    path = tmp_path / "reviews.csv"
    path.write_text("id,review\n1,Good.\n2,Bad.\n2,Bad.\n3,\n")
    return path


async def test_a_dataset_is_profiled_and_its_parts_become_datasets(
    client: AsyncHeadrace, reviews: Path
) -> None:
    dataset = await client.upload(reviews)

    profile = await client.profile_dataset("reviews.csv")
    steps: list[dict[str, Any]] = [
        {"step": "filter", "conditions": [{"column": "id", "op": "lt", "value": 3}]},
        {"step": "deduplicate"},
        {"step": "split", "parts": PARTS},
    ]
    job = await client.preprocess(dataset, steps, name="parts")
    done = await client.wait(job, timeout=60)

    assert (profile.rows, profile.duplicate_rows) == (4, 1)
    assert profile.columns["review"]["missing"] == 1
    assert done.status == "completed", done.error
    assert done.result is not None
    made = [await client.dataset(one["dataset_id"]) for one in done.result["datasets"]]
    assert [(one.name, one.rows) for one in made] == [("parts-train", 1), ("parts-test", 1)]


async def test_a_step_that_does_not_fit_is_invalid(client: AsyncHeadrace, reviews: Path) -> None:
    dataset = await client.upload(reviews)

    with pytest.raises(Invalid) as refused:
        await client.preprocess(dataset, [{"step": "drop", "columns": ["revue"]}])

    assert (refused.value.code, refused.value.facts["field"]) == ("bad_step", "columns")
