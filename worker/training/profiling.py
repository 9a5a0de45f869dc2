"""The profile of the rows of a training, for comparison with the rows that its model will predict."""

from worker.drift import profile
from worker.drift.profile import Profile
from worker.training.plan import Plan


def of_plan(plan: Plan) -> Profile:
    """Describe the input columns over all rows that have a target, whatever the split uses them for."""
    return Profile(
        tuple(
            profile.describe(column.name, column.content, plan.cells[column.name], column.missing_markers)
            for column in plan.inputs[: profile.MAX_COLUMNS]
            if column.content is not None
        )
    )
