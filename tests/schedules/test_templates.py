"""Templates: what a schedule submits is checked as if it were submitted, and stored as it was given."""

import httpx
import pytest

from app.core.database import Database
from app.jobs.kinds import batch_predict, registry
from app.models.versions import InputColumn, Task
from app.schedules import templates
from app.schedules.errors import KindUnknown, NotOneJob, StartInTemplate, TemplateInvalid, TemplateTooLarge
from tests.models import versions
from tests.support import rows
from tests.support.accounts import Account

KIND = batch_predict.KIND


def request(**fields: object) -> batch_predict.BatchPredictRequest:
    return batch_predict.BatchPredictRequest.model_validate({"texts": ["a"], **fields})


def test_a_template_is_stored_without_defaults() -> None:
    assert templates.to_stored(KIND, request(priority="high")) == {"texts": ["a"], "priority": "high"}


def test_a_stored_template_is_read_with_the_defaults_of_its_time() -> None:
    read = templates.to_request(KIND, {"kind": "batch_predict", "texts": ["a"]})

    assert read == request()


@pytest.mark.parametrize("field", ["run_at", "delay_seconds"])
def test_a_template_has_no_start(field: str) -> None:
    value = "2030-01-01T00:00:00Z" if field == "run_at" else 0

    with pytest.raises(StartInTemplate) as raised:
        templates.to_stored(KIND, request(**{field: value}))
    assert raised.value.facts == {"field": field}


def test_a_template_has_at_most_64_kibibytes_as_json() -> None:
    room = templates.MAX_BYTES - len('{"texts":[""]}')

    templates.to_stored(KIND, request(texts=["x" * room]))
    with pytest.raises(TemplateTooLarge) as raised:
        templates.to_stored(KIND, request(texts=["x" * (room + 1)]))
    assert raised.value.facts == {"limit": templates.MAX_BYTES, "got": templates.MAX_BYTES + 1}


def test_an_email_to_several_recipients_is_not_one_job() -> None:
    kind = registry.BUILT_IN["send_email"]
    email = {"to": ["ada@example.com", "bob@example.com"], "subject": "Report", "body": "It is ready."}

    with pytest.raises(NotOneJob, match="no e-mail to several recipients"):
        templates.to_stored(kind, kind.request.model_validate(email))


def test_a_template_that_its_kind_no_longer_takes_says_why() -> None:
    with pytest.raises(TemplateInvalid, match=r"texts: Input should be a valid (list|array)"):
        templates.to_request(KIND, {"texts": 7})
    with pytest.raises(KindUnknown, match="'gone'"):
        templates.kind_of(registry.BUILT_IN, "gone")


async def test_a_template_is_planned_when_it_is_stored(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    columns = [InputColumn("rooms", "number")]
    await versions.register(store, alice.id, "houses", task=Task.REGRESSION, columns=columns)
    job = {"kind": "batch_predict", "model": "houses", "instances": [{"colour": "red"}]}
    body = {"name": "a", "trigger": {"hourly": {}}, "job": job}

    answer = await client.post("/schedules", json=body, headers=alice.headers)

    assert (answer.status_code, answer.json()["code"]) == (422, "missing_columns")
    assert await rows.value(store, "SELECT count(*) FROM schedules") == 0
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 0
