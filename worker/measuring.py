"""What is recorded of an attempt beside its outcome: what it used, and its profile."""

from dataclasses import replace

from app.jobs.transition_types import ClaimedJob, Measurements
from worker.children.inside import InsideChild
from worker.children.messages import Done, Failed, Yielded
from worker.children.pool import Child
from worker.files import Files


async def measure(
    job: ClaimedJob, child: Child | InsideChild, files: Files, end: Done | Yielded | Failed
) -> Measurements:
    """Return the measurements of an attempt that has ended by itself, with its profile in storage."""
    if not job.is_profiled or end.profile is None:
        return child.measurements
    return replace(child.measurements, profile_key=await files.store_profile(job, end.profile))
