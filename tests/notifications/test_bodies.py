"""What a delivery says is what its type documents."""

from typing import Any
from uuid import UUID

import pytest

from app.core import ids
from app.core.database import Database
from app.notifications import outbox, queries
from app.notifications.bodies import Notice, example
from app.notifications.outbox import Event
from app.notifications.states import NotificationType
from tests.notifications import subscribing
from tests.support import jobs, rows

PUBLIC_URL = "https://ml.example.com"
TICK = "2027-01-01T12:00:00Z"


async def notice(database: Database, owner_id: UUID) -> Notice:
    """What the only delivery says."""
    [delivery] = await subscribing.deliveries(database)
    async with database.connection() as connection:
        _, found = await queries.delivery(connection, owner_id, delivery.id, public_url=PUBLIC_URL)
    assert found is not None
    return found


async def test_a_job_of_a_schedule_names_the_schedule_and_has_the_members_of_the_example(
    database: Database, owner_id: UUID
) -> None:
    schedule_id = ids.new_id()
    await subscribing.subscribe(database, owner_id, events=["job.cancelled"])
    job_id = await jobs.create(database, owner_id)
    await rows.execute(database, "UPDATE jobs SET schedule_id = $2 WHERE id = $1", job_id, schedule_id)

    await jobs.cancel(database, job_id)

    found = await notice(database, owner_id)
    assert found.data["schedule_id"] == schedule_id
    assert found.data.keys() == example(NotificationType.JOB_CANCELLED)["data"].keys()


def of_schedule(**members: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("group", "fire_at", "through_at", "count", "reason"))
    return {"schedule_id": str(ids.new_id()), "name": "nightly", "kind": "train_model", **nothing, **members}


REASON = {"code": "model_not_found", "message": "You have no model with this name."}


@pytest.mark.parametrize(
    ("type_", "members", "headline", "facts"),
    [
        (
            NotificationType.SCHEDULE_REFUSED,
            {"fire_at": TICK, "reason": REASON},
            "Schedule refused: nightly",
            {"Reason": "model_not_found: You have no model with this name.", "Tick": TICK},
        ),
        (
            NotificationType.SCHEDULE_MISSED,
            {"fire_at": TICK, "through_at": "2027-01-01T13:00:00Z", "count": 61},
            "Schedule missed: nightly",
            {"Tick": f"{TICK} to 2027-01-01T13:00:00Z"},
        ),
        (
            NotificationType.SCHEDULE_MISSED,
            {"fire_at": TICK, "through_at": TICK, "count": 1},
            "Schedule missed: nightly",
            {"Tick": TICK},
        ),
        (NotificationType.SCHEDULE_FINISHED, {}, "Schedule finished: nightly", {}),
    ],
    ids=["refused", "missed", "missed once", "finished"],
)
async def test_people_read_what_became_of_a_schedule(
    database: Database,
    owner_id: UUID,
    type_: NotificationType,
    members: dict[str, Any],
    headline: str,
    facts: dict[str, str],
) -> None:
    await subscribing.subscribe(database, owner_id, events=[type_])
    data = of_schedule(**members)
    async with database.transaction() as connection:
        await outbox.add(connection, [Event(owner_id=owner_id, type=type_, data=data)])

    found = await notice(database, owner_id)

    url = f"{PUBLIC_URL}/schedules/{data['schedule_id']}"
    assert found.headline == headline
    assert dict(found.facts) == {**facts, "Schedule": url}
    assert found.data == {**data, "links": {"self": url, "firings": f"{url}/firings"}}
    assert found.data.keys() == example(type_)["data"].keys()
