"""Histograms of durations: their buckets, and the percentiles that they give.

The edges of the buckets are a quarter of a power of two apart, from 1 ms to just over a day. A percentile is
interpolated geometrically within its bucket, so it is at most 19 % off.
"""

import math
from collections.abc import Mapping
from typing import Final

EDGES: Final = tuple(0.001 * 2 ** (step / 4) for step in range(107))
"""The lower edges of the buckets from 1 on, in seconds. Bucket 0 holds what is shorter than the first."""

_EDGES_SQL: Final = f"'{{{','.join(map(repr, EDGES))}}}'::float8[]"


def bucket_of(seconds: str) -> str:
    """Return the SQL for the bucket of a duration; `seconds` is an expression."""
    return f"width_bucket({seconds}, {_EDGES_SQL})"


def percentile(counts: Mapping[int, int], share: float, *, longest: float) -> float | None:
    """Return the duration that this share of the durations do not exceed; None if there are none.

    `longest` is the longest of them. It bounds the last bucket, which has no upper edge.
    """
    total = sum(counts.values())
    if not total:
        return None
    rank = share * total
    below = 0
    for bucket, count in sorted(counts.items()):
        if below + count >= rank:
            return min(_within(bucket, (rank - below) / count, longest), longest)
        below += count
    return longest


def _within(bucket: int, share: float, longest: float) -> float:
    """Return the duration at this share of a bucket."""
    if bucket == 0:
        return share * EDGES[0]
    lower = EDGES[bucket - 1]
    upper = EDGES[bucket] if bucket < len(EDGES) else max(longest, lower)
    return lower * math.pow(upper / lower, share)
