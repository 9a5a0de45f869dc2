"""Models: uploaded, named, shown, downloaded and deleted by both clients."""

import io
import zipfile
from pathlib import Path

import pytest

from app.client import AsyncHeadrace, Conflict, Invalid, NotFound
from app.client.model_values import ModelReference
from tests.client.conftest import Connect
from tests.client.running import Running, User
from tests.client.scripted import JOB_ID, answer, answering
from tests.models.files import as_onnx, classifier

pytestmark = pytest.mark.long

VERSION = {"model": "churn@1", "name": "churn", "version": 1, "runtime": "onnx", "links": {}}
PENDING = answer(504, {"code": "inspection_pending", "detail": "Later.", "status": 504, "job_id": JOB_ID})


@pytest.fixture
def churn(tmp_path: Path) -> Path:
    """A small ONNX model."""
    path = tmp_path / "churn.onnx"
    path.write_bytes(as_onnx(classifier()))
    return path


async def test_a_model_is_described_tagged_found_and_exported(client: AsyncHeadrace, churn: Path) -> None:
    await client.upload_model("churn", churn)
    await client.upload_model("other", churn)

    model = await client.change_model("churn", description="Who leaves?", tags={"team": "risk"})
    version = await client.change_model_version("churn@1", tags={"stage": "prod"})
    untagged = await client.change_model("churn", description=None)
    content = b"".join([piece async for piece in client.export_model("churn")])

    assert (model.description, model.tags) == ("Who leaves?", {"team": "risk"})
    assert (version.reference, version.description, version.tags) == ("churn@1", None, {"stage": "prod"})
    assert (untagged.description, untagged.tags) == (None, {"team": "risk"})
    assert [found.name async for found in client.models(tags={"team": "risk"})] == ["churn"]
    found = [(one.name, one.scores) async for one in client.models(prefix="OTH", include_scores=True)]
    assert found == [("other", None)]
    assert [found.version async for found in client.model_versions("churn", tags={"stage": "dev"})] == []
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("model.onnx") == churn.read_bytes()
    with pytest.raises(Invalid, match="runtime onnx"):
        await client.convert_model("churn")


async def test_a_model_is_uploaded_named_changed_downloaded_and_deleted(
    client: AsyncHeadrace, churn: Path
) -> None:
    first = await client.upload_model("churn", churn, alias="prod")
    second = await client.upload_model("churn", churn)
    content = b"".join([piece async for piece in client.download_model("churn@prod")])
    moved = await client.set_alias(second, "prod")

    assert (first.reference, second.reference, first.runtime) == ("churn@1", "churn@2", "onnx")
    assert content == churn.read_bytes()
    assert (await client.model_version("churn@1")).aliases == ()
    assert (await client.model_version("churn@prod")).version == 2
    assert (await client.model_version(await client.model("churn"))).version == 2
    assert [found.version async for found in client.model_versions("churn")] == [2, 1]
    assert (moved.latest_version, moved.aliases) == (2, {"prod": 2})

    await client.delete_alias("churn", "prod")
    await client.delete_model_version("churn@1")
    with pytest.raises(NotFound) as no_alias:
        await client.model_version("churn@prod")
    with pytest.raises(ValueError, match="is a version"):
        await client.delete_model("churn@2")
    with pytest.raises(ValueError, match="name the version"):
        await client.delete_model_version("churn")
    await client.delete_model("churn")

    assert no_alias.value.detail == "The model churn has no alias prod."
    with pytest.raises(NotFound):
        await client.model("churn")


async def test_a_public_model_is_read_by_others_and_changed_by_its_owner_only(
    client: AsyncHeadrace, connect: Connect, system: Running, ada: User, churn: Path
) -> None:
    version = await client.upload_model("churn", churn)
    public = await client.change_model("churn", visibility="public")
    other = connect(system.url, **system.sign_up().credentials)

    theirs = await other.model_version(public.reference)
    content = b"".join([piece async for piece in other.download_model(f"{ada.name}/churn@1")])

    assert (theirs.reference, theirs.sha256) == (f"{ada.name}/churn@1", version.sha256)
    assert content == churn.read_bytes()
    await client.delete_model(await client.model("churn"))


async def test_the_reference_to_a_model_of_another_user_changes_none_of_yours(connect: Connect) -> None:
    async with answering(answer(204, {})) as server:
        client = connect(server.url, token="t")
        with pytest.raises(ValueError, match="only its owner can change bob/churn"):
            await client.delete_model("bob/churn")
        with pytest.raises(ValueError, match="only its owner can change bob/churn"):
            await client.delete_alias("bob/churn", "prod")

    assert server.asked == []


async def test_evaluations_are_listed_of_a_model_or_of_one_version_on_a_dataset(connect: Connect) -> None:
    measured = {
        "job_id": JOB_ID,
        "model": "bob/churn@2",
        "version": 2,
        "dataset_id": JOB_ID,
        "dataset": "june",
        "target": "churned",
        "rows": 100,
        "errors": 1,
        "metrics": {"accuracy": 0.9},
        "evaluated_at": "2026-11-29T12:00:00Z",
    }
    first = answer(200, {"items": [measured], "next_cursor": "next"})
    last = answer(200, {"items": [measured | {"dataset_id": None, "dataset": None}], "next_cursor": None})
    async with answering(first, last) as server:
        client = connect(server.url, token="t")
        found = [one async for one in client.evaluations("bob/churn@2", dataset=JOB_ID, page_size=1)]

    query = f"limit=1&owner=bob&version=2&dataset_id={JOB_ID}"
    assert [asked.line.split()[1] for asked in server.asked] == [
        f"/models/churn/evaluations?{query}",
        f"/models/churn/evaluations?{query}&cursor=next",
    ]
    assert [(one.model, one.dataset, one.metrics) for one in found] == [
        ("bob/churn@2", "june", {"accuracy": 0.9}),
        ("bob/churn@2", None, {"accuracy": 0.9}),
    ]


async def test_a_refused_file_is_an_error_with_the_reason(client: AsyncHeadrace, tmp_path: Path) -> None:
    path = tmp_path / "churn.onnx"
    path.write_bytes(b"no model")

    with pytest.raises(Invalid) as refused:
        await client.upload_model("churn", path)
    with pytest.raises(TypeError, match="list of strings"):
        await client.upload_model("churn", path, classes="yes")

    assert refused.value.code == "broken_model"


async def test_a_model_that_a_job_needs_is_not_deleted(client: AsyncHeadrace, churn: Path) -> None:
    version = await client.upload_model("churn", churn)
    job = await client.submit(instances=[[5.1, 3.5, 1.4, 0.2]], model=version, queue="nobody")

    with pytest.raises(Conflict) as conflict:
        await client.delete_model_version(version)

    assert conflict.value.code == "model_in_use"
    assert (await client.job(job)).model == "churn@1"


async def test_the_algorithms_have_the_schema_of_their_params(client: AsyncHeadrace) -> None:
    algorithms = {found.name: found for found in await client.algorithms()}

    assert algorithms["ridge"].tasks == ("regression",)
    assert "alpha" in algorithms["logistic_regression"].params["properties"]


async def test_an_inspection_that_takes_longer_than_the_server_waits_is_awaited(
    connect: Connect, churn: Path
) -> None:
    done = {"job_id": JOB_ID, "status": "completed", "result": {"model": "churn@1"}}
    async with answering(PENDING, answer(200, done), answer(200, VERSION)) as server:
        version = await connect(server.url, token="t").upload_model("churn", churn)

    assert version.reference == "churn@1"
    assert [asked.line.split()[0] for asked in server.asked] == ["POST", "GET", "GET"]
    assert server.asked[0].headers["idempotency-key"]


async def test_an_inspection_that_refuses_late_is_an_error_with_the_reason(
    connect: Connect, churn: Path
) -> None:
    refused = {"code": "unsafe_model", "message": "It has posix.system.", "types": ["posix.system"]}
    done = {"job_id": JOB_ID, "status": "completed", "result": {"refused": refused}}
    async with answering(PENDING, answer(200, done)) as server:
        with pytest.raises(Invalid, match=r"posix\.system") as raised:
            await connect(server.url, token="t").upload_model("churn", churn)

    assert (raised.value.code, raised.value.facts["types"]) == ("unsafe_model", ["posix.system"])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("churn", ("churn", None, None)),
        ("churn@3", ("churn", None, "3")),
        ("bob/churn@best", ("churn", "bob", "best")),
    ],
)
def test_a_reference_has_a_name_an_owner_and_a_version(
    text: str, parts: tuple[str, str | None, str | None]
) -> None:
    assert ModelReference.parse(text) == ModelReference(*parts)


@pytest.mark.parametrize("text", ["", "@3", "churn@", "/churn", "bob/"])
def test_a_text_that_names_no_model_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match="is not a model"):
        ModelReference.parse(text)
