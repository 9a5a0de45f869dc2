"""Models that users bring: from the file to a prediction, and everything that is turned away on that road."""

import asyncio
import contextlib
import os
import pickle  # noqa: TID251  # to have files that must be refused
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from app.core.config import Settings
from app.core.database import Database
from app.core.storage import Storage
from app.jobs.times import JobTimes
from tests.conftest import StartWorker
from tests.models import files
from tests.support import invariants, rows
from tests.support.accounts import Account
from tests.support.waiting import until

HERE = "/models/flowers/versions"
FLOWER = files.FLOWERS[0].tolist()


class CodeThatRan:
    """A pickle of it leaves a mark when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._mark),)


async def bring(
    client: httpx.AsyncClient, who: Account, content: bytes, path: str = HERE, **headers: str
) -> httpx.Response:
    return await client.post(path, content=content, headers={**who.headers, **headers}, timeout=60)


async def predict(client: httpx.AsyncClient, who: Account, model: str, instances: list[Any]) -> list[Any]:
    """What a job with this model predicts."""
    body = {"instances": instances, "model": model}
    sent = await client.post("/jobs/batch-predict", json=body, headers=who.headers)
    assert sent.status_code == 202, sent.text
    answer = await client.get(
        f"/jobs/{sent.json()['job_id']}", params={"wait": 30}, headers=who.headers, timeout=40
    )
    job = answer.json()
    assert job["status"] == "completed", job
    predictions: list[Any] = job["result"]["predictions"]
    return predictions


async def stored_keys(storage: Storage) -> list[str]:
    return [found.key async for found in storage.list("artifacts")]


def assert_problem(answer: httpx.Response, status: int, code: str) -> str:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    detail: str = answer.json()["detail"]
    return detail


async def test_a_model_is_brought_and_predicts_as_it_does_by_hand(
    client: httpx.AsyncClient, store: Database, storage: Storage, alice: Account, start_worker: StartWorker
) -> None:
    classifier = files.classifier()
    skops, onnx = files.as_skops(classifier), files.as_onnx(classifier, zipmap=False)
    rows_of_lists = files.FLOWERS[::10].tolist()
    by_hand = list(classifier.predict(files.FLOWERS[::10]))

    async with start_worker():
        first = await bring(client, alice, skops)
        in_a_form = await client.post(
            f"{HERE}?alias=best",
            files={"file": ("flowers.pkl", onnx, "application/octet-stream")},  # the name says nothing
            headers=alice.headers,
            timeout=60,
        )
        assert (first.status_code, in_a_form.status_code) == (201, 201), (first.text, in_a_form.text)
        predicted = await predict(client, alice, "flowers@1", rows_of_lists)
        predicted_by_alias = await predict(client, alice, "flowers@best", rows_of_lists)

    one, two = first.json(), in_a_form.json()
    assert first.headers["Location"] == one["links"]["self"] == f"{HERE}/1"
    assert (one["model"], one["runtime"], one["task"]) == ("flowers@1", "sklearn", "classification")
    assert (two["model"], two["runtime"], two["aliases"]) == ("flowers@2", "onnx", ["best"])
    assert one["classes"] == two["classes"] == ["setosa", "versicolor", "virginica"]
    assert [column["name"] for column in two["columns"]] == ["x0", "x1", "x2", "x3"]
    assert one["lineage"]["source"] == "upload"
    assert two["library_versions"]["skl2onnx"]
    assert [said["label"] for said in predicted] == [said["label"] for said in predicted_by_alias] == by_hand
    for version, content in ((one, skops), (two, onnx)):
        artifact = await client.get(version["links"]["artifact"], headers=alice.headers)
        assert artifact.content == content
    await invariants.all_hold(store)


async def test_what_is_hostile_is_turned_away_by_name_and_nothing_of_it_is_kept_or_run(
    client: httpx.AsyncClient,
    store: Database,
    storage: Storage,
    alice: Account,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    mark = tmp_path / "the code ran"
    in_an_array = files.zipped(
        {
            "schema.json": b'{"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode",'
            b' "type": "numpy", "file": "0.npy", "__id__": 1, "protocol": 2, "_skops_version": "0.16.0"}',
            "0.npy": _object_array(mark),
        }
    )
    refusals = {
        "external data '../../etc/passwd'": files.with_external_data("../../etc/passwd"),
        "external data '/etc/shadow'": files.with_hidden_external_data("/etc/shadow"),
        "operator com.example.Launch": files.with_custom_domain(),
        "function local.f0": files.with_functions(),
        "posix.system": files.skops_of_type("posix", "system"),
        "subprocess.Popen": files.skops_of_type("subprocess", "Popen"),
        "os.mkdir": files.skops_of_function("os", "mkdir"),
        "pickle": pickle.dumps(CodeThatRan(mark)),
    }
    async with start_worker():
        for named, content in refusals.items():
            answer = await bring(client, alice, content)
            assert named in assert_problem(answer, 422, "unsafe_model") or named in answer.json()["types"]
        for broken in (files.bomb(), files.as_onnx(files.regressor())[:-3], in_an_array, b""):
            assert_problem(await bring(client, alice, broken), 422, "broken_model")

        assert not mark.exists()
        assert await stored_keys(storage) == []
        assert_problem(await client.get("/models/flowers", headers=alice.headers), 404, "model_not_found")
        dead = await client.get("/dead-letters", headers=alice.headers)
        assert dead.json()["items"] == []
        assert (await bring(client, alice, files.as_onnx(files.regressor()))).json()["model"] == "flowers@1"
    await invariants.all_hold(store)


def _object_array(mark: Path) -> bytes:
    """A NumPy file with a pickle in it, as `np.save` writes arrays of objects."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header = header.ljust(117) + b"\n"
    return (
        b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + pickle.dumps([CodeThatRan(mark)])
    )


@pytest.mark.parametrize("job_times", [JobTimes(inspection_seconds=0.2)])
async def test_whoever_does_not_wait_finds_the_version_later(
    client: httpx.AsyncClient, store: Database, alice: Account, start_worker: StartWorker
) -> None:
    answer = await bring(client, alice, files.as_onnx(files.regressor()))

    assert_problem(answer, 504, "inspection_pending")
    job = f"/jobs/{answer.json()['job_id']}"
    assert (await client.get("/models/flowers", headers=alice.headers)).status_code == 404
    async with start_worker():
        ended = (await client.get(job, params={"wait": 30}, headers=alice.headers, timeout=40)).json()
    assert (ended["kind"], ended["status"]) == ("inspect_model", "completed")
    version = (await client.get(f"{HERE}/1", headers=alice.headers)).json()
    assert ended["result"]["model"] == version["model"]
    assert ended["result"]["model_id"] == version["model_id"]


async def test_the_same_upload_with_the_same_key_is_one_version(
    client: httpx.AsyncClient, storage: Storage, alice: Account, start_worker: StartWorker
) -> None:
    content = files.as_onnx(files.regressor())
    async with start_worker():
        first = await bring(client, alice, content, **{"Idempotency-Key": "once"})
        again = await bring(client, alice, content, **{"Idempotency-Key": "once"})
        other = await bring(client, alice, files.doubling(), **{"Idempotency-Key": "once"})

    assert (first.status_code, again.status_code) == (201, 200), (first.text, again.text)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    assert_problem(other, 422, "idempotency_key_reused")
    assert len(await stored_keys(storage)) == 1


async def test_an_inspection_that_is_cancelled_leaves_nothing(
    client: httpx.AsyncClient, storage: Storage, alice: Account
) -> None:
    upload = asyncio.create_task(bring(client, alice, files.doubling()))
    job_id = await until(lambda: _first_job(client, alice))

    cancelled = await client.post(f"/jobs/{job_id}/cancel", headers=alice.headers)

    assert cancelled.status_code == 200
    assert_problem(await upload, 409, "inspection_cancelled")
    assert await stored_keys(storage) == []


async def _first_job(client: httpx.AsyncClient, who: Account) -> str | None:
    items = (await client.get("/jobs", headers=who.headers)).json()["items"]
    return items[0]["job_id"] if items else None


# Two workers start and a lease ends, wherever that is.
@pytest.mark.parametrize("job_times", [JobTimes(inspection_seconds=60.0)])
async def test_a_worker_that_is_killed_while_it_looks_changes_nothing(
    client: httpx.AsyncClient, store: Database, alice: Account, start_worker: StartWorker
) -> None:
    upload = asyncio.create_task(bring(client, alice, files.as_skops(files.classifier())))
    await until(lambda: _first_job(client, alice))
    async with start_worker() as first:
        with contextlib.suppress(TimeoutError):
            await until(lambda: _is_running(store), seconds=10)
        first.send(signal.SIGKILL)
        await first.wait()
    async with start_worker():
        answer = await upload

    assert (answer.status_code, answer.json()["model"]) == (201, "flowers@1"), answer.text
    assert await rows.value(store, "SELECT count(*) FROM model_versions") == 1
    await invariants.all_hold(store)


async def _is_running(store: Database) -> bool:
    return bool(await rows.value(store, "SELECT count(*) FROM jobs WHERE status <> 'pending'"))


@pytest.mark.parametrize("is_form", [False, True])
async def test_what_is_too_large_is_refused_as_it_arrives(
    client: httpx.AsyncClient, storage: Storage, alice: Account, is_form: bool
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        if is_form:
            yield b'--x\r\nContent-Disposition: form-data; name="f"; filename="m"\r\n\r\n'
        while True:
            yield bytes(100_000)

    content_type = "multipart/form-data; boundary=x" if is_form else "application/octet-stream"
    answer = await client.post(
        HERE, content=endless(), headers={**alice.headers, "Content-Type": content_type}
    )

    assert answer.status_code == 413, answer.text
    assert answer.json()["code"] in ("model_too_large", "body_too_large")
    assert await stored_keys(storage) == []


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Small models only."""
    return settings.model_copy(update={"max_model_bytes": 1_000_000})


async def test_classes_are_named_at_the_upload_and_what_cannot_predict_is_refused(
    client: httpx.AsyncClient, storage: Storage, alice: Account, start_worker: StartWorker
) -> None:
    numbered = LogisticRegression(max_iter=500).fit(files.FLOWERS, files.KINDS)
    several = OneVsRestClassifier(LogisticRegression()).fit(
        files.FLOWERS, np.column_stack([files.KINDS == 0, files.KINDS == 1])
    )
    named = f"{HERE}?classes=setosa&classes=versicolor&classes=Iris+%C3%A9toil%C3%A9e"
    content = files.as_onnx(numbered, zipmap=False)

    async with start_worker():
        taken = await bring(client, alice, content, named)
        said = await predict(client, alice, "flowers", files.FLOWERS[::50].tolist())
        refused = await bring(client, alice, files.as_skops(several))
        too_many = await bring(client, alice, content, f"{named}&classes=rose")

    assert taken.status_code == 201, taken.text
    assert taken.json()["classes"] == ["setosa", "versicolor", "Iris étoilée"]
    assert [row["label"] for row in said] == ["setosa", "versicolor", "Iris étoilée"]
    assert "fit and upload one model for each output" in assert_problem(refused, 422, "broken_model")
    assert "4 class names were given" in assert_problem(too_many, 422, "broken_model")
    of_skops = await bring(client, alice, files.as_skops(numbered), named)
    assert_problem(of_skops, 422, "classes_not_taken")
    assert_problem(await bring(client, alice, content, f"{HERE}?classes=one"), 422, "validation_error")
    assert len(await stored_keys(storage)) == 1


async def test_a_form_without_a_file_is_refused(client: httpx.AsyncClient, alice: Account) -> None:
    answer = await client.post(HERE, files={"field": (None, "text")}, headers=alice.headers)

    assert_problem(answer, 422, "bad_upload")


async def test_nobody_brings_a_model_without_signing_in(client: httpx.AsyncClient) -> None:
    answer = await client.post(HERE, content=files.doubling())

    assert_problem(answer, 401, "invalid_token")


@pytest.mark.parametrize("path", ["/models/1st/versions", f"{HERE}?alias=1", f"{HERE}?alias="])
async def test_names_that_cannot_be_are_refused_before_the_file(
    client: httpx.AsyncClient, alice: Account, path: str
) -> None:
    assert_problem(await bring(client, alice, b"x", path), 422, "validation_error")
