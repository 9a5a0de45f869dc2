"""The jobs of a bulk cancel are changed in portions that no transaction takes long for."""

import pytest

from app.core import ids
from app.jobs.bulk_actions.queries import Candidate
from app.jobs.bulk_actions.service import portions


@pytest.mark.parametrize(
    ("shards", "expected"),
    [
        ([], []),
        ([0] * 10, [10]),
        ([0] * 11, [10, 1]),
        ([4, 4], [2]),
        ([4, 5], [1, 1]),
        ([0, 9, 0, 0], [1, 1, 2]),
        ([1000, 0, 1000], [1, 1, 1]),
    ],
)
def test_a_portion_has_so_many_jobs_with_their_shards_or_one(shards: list[int], expected: list[int]) -> None:
    candidates = [Candidate(ids.new_id(), ids.new_id(), shards=count) for count in shards]

    found = list(portions(candidates, 10))

    assert [len(portion) for portion in found] == expected
    assert [candidate for portion in found for candidate in portion] == candidates
