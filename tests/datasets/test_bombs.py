"""Small files whose rows are large: the API refuses them, or serves them in pages that are bounded."""

import asyncio
import io
import math
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.core.config import Settings
from app.core.database import Database, open_database
from app.core.paging import PAGE_BYTES
from app.core.storage import Storage
from app.datasets.conversion.faults import Fault
from app.datasets.conversion.task import CONVERT
from app.datasets.import_limits import ImportLimits
from app.datasets.options import AS_FOUND
from app.datasets.routes import PREVIEW_BYTES
from app.datasets.values import Format
from tests.datasets.conftest import Upload
from tests.support import apis, rows
from tests.support.accounts import Account
from tests.support.apis import Api

PARQUET = {"Content-Type": "application/vnd.apache.parquet"}
ROWS = 100
GROWTH_BYTES = 100 * 1024 * 1024

_COPIES = """INSERT INTO datasets SELECT copy.* FROM datasets d, generate_series(1, $1::int) number,
    jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(), 'number', number)) copy"""


def repeated(text_bytes: int, *, columns: int, rows: int = ROWS) -> bytes:
    """A small file in which each column repeats one long text in every row."""
    column = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["a" * text_bytes]))
    file = io.BytesIO()
    pq.write_table(pa.table({f"c{n}": column for n in range(columns)}), file, compression="zstd")
    return file.getvalue()


@pytest.fixture
async def api(settings: Settings, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_database(settings.database_url, pool_size=2) as database:
        headers = await apis.sign_in(settings, database)
    async with apis.api(settings, tmp_path / "api.log", headers) as running:
        yield running


async def test_rows_of_one_repeated_text_leave_the_api_as_small_as_it_was(api: Api) -> None:
    process = psutil.Process(api.process.pid)
    attack = repeated(1_048_566, columns=4)
    assert len(attack) < 10_000
    before_bytes = highest_bytes = process.memory_info().rss
    refused = await api.client.post("/datasets?name=bomb", content=attack, headers=PARQUET)
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_row"), refused.text

    # As large as rows may be.
    allowed = await api.client.post(
        "/datasets?name=large", content=repeated(1_048_500, columns=1), headers=PARQUET
    )
    assert allowed.status_code == 201, allowed.text
    preview = f"{allowed.json()['links']['preview']}?rows={ROWS}"
    asking = [asyncio.create_task(api.client.get(preview)) for _ in range(3)]
    while not all(task.done() for task in asking):
        await asyncio.wait(asking, timeout=0.02)
        highest_bytes = max(highest_bytes, process.memory_info().rss)
    answers = [await task for task in asking]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert all(len(answer.json()["rows"]) == 1 for answer in answers)
    assert all(answer.json()["total"] == ROWS for answer in answers)
    assert all(len(answer.content) < 2 * PREVIEW_BYTES for answer in answers)
    assert highest_bytes - before_bytes < GROWTH_BYTES


async def test_a_preview_has_as_many_rows_as_fit(api: Api) -> None:
    allowed = await api.client.post("/datasets?name=x", content=repeated(100_000, columns=1), headers=PARQUET)

    shown = (await api.client.get(f"{allowed.json()['links']['preview']}?rows=100")).json()["rows"]

    assert shown == [{"c0": "a" * 100_000}] * (PREVIEW_BYTES // 100_010)


async def test_a_list_of_datasets_ends_early_where_their_columns_take_much(
    upload: Upload, client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    header = ",".join(f"{n:04}" + "x" * 400 for n in range(1000))
    created = await upload(f"{header}\n{',' * 999}\n".encode())
    assert created.status_code == 201, created.text
    await rows.execute(store, _COPIES, 19)
    size = int(await rows.value(store, "SELECT octet_length(columns::text) FROM datasets LIMIT 1"))

    listed: list[str] = []
    pages = 0
    cursor: str | None = ""
    while cursor is not None:
        page = (
            await client.get("/datasets", params={"cursor": cursor} if cursor else {}, headers=alice.headers)
        ).json()
        listed += [item["dataset_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        pages += 1

    stored = await rows.fetch(store, "SELECT id FROM datasets ORDER BY id DESC")
    assert listed == [str(row["id"]) for row in stored]
    assert (len(listed), pages) == (20, math.ceil(20 / (PAGE_BYTES // size)))
    assert pages > 1


@pytest.mark.parametrize("import_limits", [ImportLimits(growth_grace_bytes=0, max_growth=2)])
async def test_rows_that_grow_beyond_measure_are_refused_by_name(
    upload: Upload, store: Database, storage: Storage
) -> None:
    texts = pa.array([os.urandom(50_000).hex() for _ in range(20)])
    column = pa.DictionaryArray.from_arrays(pa.array([n % 20 for n in range(300)], pa.int32()), texts)
    file = io.BytesIO()
    pq.write_table(pa.table({"c": column}), file)

    answer = await upload(file.getvalue(), "parquet")

    assert (answer.status_code, answer.json().get("code")) == (413, "dataset_rows_too_large"), answer.text
    assert answer.json()["limit"] == 2 * len(file.getvalue())
    assert await rows.value(store, "SELECT count(*) FROM datasets") == 0
    assert not [found async for found in storage.list("datasets")]


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet"])
def test_a_file_with_too_many_rows_is_refused_by_name(tmp_path: Path, file_format: str) -> None:
    source, target = tmp_path / "content", tmp_path / "rows.parquet"
    match file_format:
        case "csv":
            source.write_bytes(b"a\n" + b"1\n" * 30)
        case "jsonl":
            source.write_bytes(b'{"a":1}\n' * 30)
        case _:
            pq.write_table(pa.table({"a": [1] * 30}), source)
    CONVERT[Format(file_format)](source, target, AS_FOUND, 30)

    with pytest.raises(Fault) as refused:
        CONVERT[Format(file_format)](source, target, AS_FOUND, 29)

    assert refused.value.code == "too_many_rows"


@pytest.mark.parametrize("import_limits", [ImportLimits(cpu_seconds=1, cpu_bytes=2**40)])
async def test_a_conversion_that_takes_too_much_processor_time_is_refused(upload: Upload) -> None:
    """A file whose conversion takes several times as long even on a fast machine."""
    column = pa.array([0] * 1_000_000)
    file = io.BytesIO()
    pq.write_table(pa.table({f"c{n}": column for n in range(200)}), file)

    answer = await upload(file.getvalue(), "parquet")

    assert (answer.status_code, answer.json().get("code")) == (422, "bad_file"), answer.text
    assert "seconds of CPU time" in answer.json()["detail"]
