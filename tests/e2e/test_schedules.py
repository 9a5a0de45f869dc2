"""The recipes of docs/schedules.md on a real worker: scored, measured, retrained and promoted."""

from typing import Any

import httpx

from app.core.resources import Resources
from tests.conftest import StartWorker
from tests.e2e.support import wait_for_end
from tests.schedules.recipes import recipe
from tests.support import invariants
from tests.support.waiting import until

GOOD = ("lovely", "great", "wonderful", "quick", "kind")
BAD = ("awful", "slow", "broken", "rude", "late")


def labelled(rows: int, *, wrong_each: int) -> str:
    """Reviews, of which every so many-th has the wrong label."""
    lines = ["text,label"]
    for number in range(rows):
        is_good = number % 2 == 0
        word = (GOOD if is_good else BAD)[number // 2 % 5]
        label = "good" if is_good != (number % wrong_each == wrong_each - 1) else "bad"
        lines.append(f"A {word} thing,{label}")
    return "\n".join(lines) + "\n"


async def upload(client: httpx.AsyncClient, name: str, content: str) -> str:
    answer = await client.post(
        "/datasets", params={"name": name}, content=content.encode(), headers={"Content-Type": "text/csv"}
    )
    assert answer.status_code == 201, answer.text
    dataset_id: str = answer.json()["dataset_id"]
    return dataset_id


async def create(client: httpx.AsyncClient, title: str) -> str:
    """The id of the schedule of a recipe."""
    answer = await client.post("/schedules", json=recipe(title))
    assert answer.status_code == 201, answer.text
    schedule_id: str = answer.json()["schedule_id"]
    return schedule_id


async def run(client: httpx.AsyncClient, schedule_id: str) -> dict[str, Any]:
    """The job of a schedule that runs now, once it has completed."""
    answer = await client.post(f"/schedules/{schedule_id}/run")
    assert answer.status_code == 202, answer.text
    job = await wait_for_end(client, answer.json()["job_id"])
    assert job["status"] == "completed", job["error"]
    return job


async def test_a_model_is_retrained_promoted_and_used_by_schedules(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    async with start_worker("only"):
        await upload(ada, "reviews.csv", labelled(200, wrong_each=11))
        training_id = await create(ada, "Retrain and promote")
        first = await run(ada, training_id)
        fresh_id = await upload(ada, "new-reviews.csv", "text\nA lovely thing\nA broken thing\n")
        scoring_id = await create(ada, "Score each night")
        scored = await run(ada, scoring_id)
        measured = await run(ada, await create(ada, "Report on Monday"))
        await upload(ada, "reviews.csv", labelled(200, wrong_each=3))
        worse = await run(ada, training_id)
        scored_still = await run(ada, scoring_id)
        clean_id = await upload(ada, "reviews.csv", labelled(200, wrong_each=1000))
        fresher_id = await upload(ada, "new-reviews.csv", "text\nA kind thing\n")
        better = await fire(ada, training_id)
        scored_anew = await fire(ada, scoring_id)

    promotions = [job["result"]["promotion"] for job in (first, worse, better)]
    assert [promotion["reason"] for promotion in promotions] == ["first", "not_better", "better"]
    assert {promotion["metric"] for promotion in promotions} == {"f1_macro"}
    models = [job["model"] for job in (scored, measured, scored_still, scored_anew)]
    assert models == ["reviews@1", "reviews@1", "reviews@1", "reviews@3"]
    assert [job["dataset_id"] for job in (scored, scored_still, scored_anew)] == [
        fresh_id,
        fresh_id,
        fresher_id,
    ]
    assert better["dataset_id"] == clean_id
    assert (scored["done"], scored_anew["done"]) == (2, 1)
    await invariants.all_hold(resources.database, storage=resources.storage)


async def fire(client: httpx.AsyncClient, schedule_id: str) -> dict[str, Any]:
    """The job that a schedule creates at its next tick, once it has completed."""
    change = {"trigger": {"once": {"in_seconds": 1}}}
    answer = await client.patch(f"/schedules/{schedule_id}", json=change)
    assert answer.status_code == 200, answer.text

    async def find() -> str | None:
        firings = await client.get(f"/schedules/{schedule_id}/firings", params={"outcome": "fired"})
        items = firings.json()["items"]
        return items[0]["job_id"] if items else None

    job_id = await until(find)
    assert job_id is not None
    job = await wait_for_end(client, job_id)
    assert job["status"] == "completed", job["error"]
    assert job["schedule_id"] == schedule_id
    return job
