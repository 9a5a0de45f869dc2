"""Any row in any batch, by any way in, gets the prediction that its model gives outside Headrace."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import pytest
import skops.io
import threadpoolctl
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from app.core.config import Settings
from app.core.resources import Resources
from app.datasets.formats import MEDIA_TYPES
from app.datasets.values import Format
from app.jobs.predictions.schemas import MAX_ROWS
from tests.cases.pipelines import CATEGORIES, MODELS, Model, Row, plain_predictions, table
from tests.cases.test_properties import answers, as_csv, as_parquet, categories, ensure_same, numbers
from tests.support import invariants, processes

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

Written = tuple[str | None, str | None, str | None]
"""Two numbers and a category, as a file of texts has them."""

AT_ONCE: Final = 2
"""As many models as the worker has slots."""

SECONDS: Final = 120.0
NO_PREDICTION: Final = object()

LARGE = examples(
    max_examples=3,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

whole_rows = st.tuples(numbers, numbers, categories)
rows_with_holes = st.tuples(numbers | st.none(), numbers | st.none(), categories | st.none())
# A job fails if its model raises for all rows of its first batch: so a whole row comes first, and then any.
many_rows = st.builds(
    lambda first, others: [first, *others],
    whole_rows,
    st.lists(whole_rows | rows_with_holes, min_size=20, max_size=MAX_ROWS - 1),
)


@dataclass(frozen=True)
class Served:
    """A model of the API's, which columns it takes, and the same model outside."""

    name: str
    columns: tuple[str, ...]
    model: Model

    @property
    def takes_text(self) -> bool:
        """Whether a row is a text."""
        return self.model.columns == "c"


@dataclass(frozen=True)
class Service:
    """An API with a worker, and its models."""

    client: httpx.AsyncClient
    models: Sequence[Served]


@pytest.fixture
async def service(ada: httpx.AsyncClient, settings: Settings, tmp_path: Path) -> AsyncIterator[Service]:
    """Every pipeline as an upload, one that the API trains, and the one that is built in."""
    log = tmp_path / "worker.log"
    # With many models and a few children each, what each would import takes longer than all the predictions.
    async with processes.worker(settings, log, WORKER_NAME="one", CHILD_PRELOAD="true"):
        brought = [await _bring(ada, tmp_path / name, name, make()) for name, make in MODELS.items()]
        trained = Served("trained", ("x0", "x1", "x2"), await _train(ada, tmp_path / "trained"))
        yield Service(ada, [*brought, trained, Served("sentiment", ("x2",), _vader())])


@LARGE
@given(rows=many_rows, batch_size=st.integers(1, 30), are_lists=st.booleans())
async def test_a_row_gets_the_prediction_that_its_model_gives_outside_by_every_way_in(
    service: Service, resources: Resources, rows: list[Written], batch_size: int, are_lists: bool
) -> None:
    as_text = [_named(place, row) for place, row in enumerate(rows)]
    typed: list[Row] = [(_number(x), _number(y), c) for x, y, c in rows]
    named = [_named(place, row) for place, row in enumerate(typed)]
    lines = b"\n".join(json.dumps(row).encode() for row in named)
    files = {Format.CSV: as_csv(as_text), Format.JSONL: lines, Format.PARQUET: as_parquet(named)}
    datasets = [await _upload(service.client, form, content) for form, content in files.items()]
    places = asyncio.Semaphore(AT_ONCE)
    by_hand = asyncio.Lock()

    async def ensure_served(served: Served) -> None:
        # One at a time: scikit-learn replaces the warning filters of the process while it predicts, and warns
        # if it finds none. In a thread: the loop has an API to serve.
        async with by_hand:
            expected = await asyncio.to_thread(outside, served.model, typed)
        sent = [_instance(served, row, is_list=are_lists) for row in named]
        column = {"column": "x2"} if served.takes_text else {}
        bodies: list[dict[str, Any]] = [
            {"instances": sent},
            *({"dataset_id": one, **column} for one in datasets),
        ]
        async with places:
            ensure_all_same(await _predict(service.client, served.name, sent), expected)
            for body in bodies:
                found = await _run(service.client, model=served.name, batch_size=batch_size, **body)
                ensure_all_same(found, expected)

    async with asyncio.TaskGroup() as group:
        for served in service.models:
            group.create_task(ensure_served(served), name=served.name)
    await invariants.all_hold(resources.database, storage=resources.storage)


def outside(model: Model, rows: Sequence[Row]) -> list[Any]:
    """What a model says of each row by hand; NO_PREDICTION of a row that it refuses, or says NaN of."""
    whole = [row for row in rows if None not in row]
    with threadpoolctl.threadpool_limits(1):
        of_whole = iter(model.by_hand(whole) if whole else [])
        expected = [_alone(model, row) if None in row else next(of_whole) for row in rows]
    return [NO_PREDICTION if _is_nan(one) else one for one in expected]


def _alone(model: Model, row: Row) -> Any:
    if model.columns == "c" and row[2] is None:
        return NO_PREDICTION  # it takes texts, and this is none
    try:
        (one,) = model.by_hand([row])
    except ValueError:  # it takes no NaN
        return NO_PREDICTION
    return one


def _is_nan(one: Any) -> bool:
    floats = one[1] if isinstance(one, tuple) else [one]
    return any(isinstance(value, float) and math.isnan(value) for value in floats)


def ensure_all_same(found: list[dict[str, Any]], expected: list[Any]) -> None:
    """Each row has the prediction that is expected, or an error where there is none."""
    assert ["error" in row for row in found] == [one is NO_PREDICTION for one in expected]
    predicted = [(row, one) for row, one in zip(found, expected, strict=True) if one is not NO_PREDICTION]
    ensure_same(answers([row for row, _ in predicted]), [one for _, one in predicted])


# Rows


def _number(cell: str | None) -> float | None:
    return None if cell is None else float(cell)


def _named(place: int, row: Sequence[Any]) -> dict[str, Any]:
    """The row with every name that a model has for its columns."""
    x, y, c = row
    return {"id": f"r{place}", "x0": x, "x1": y, "x2": c, "x": x, "y": y, "c": c}


def _instance(served: Served, row: dict[str, Any], *, is_list: bool) -> Any:
    if served.takes_text:
        return {"text": row["x2"], "id": row["id"]}
    if is_list:
        return [row[name] for name in served.columns]
    return row


# Requests


async def _bring(client: httpx.AsyncClient, path: Path, name: str, model: Model) -> Served:
    if model.is_onnx:
        content = model.content
    else:
        skops.io.dump(model.content, path)
        content = path.read_bytes()
    answer = await client.post(f"/models/{name}/versions", content=content, timeout=SECONDS)
    assert answer.status_code == 201, answer.text
    return Served(name, tuple(column["name"] for column in answer.json()["columns"]), model)


async def _train(client: httpx.AsyncClient, path: Path) -> Model:
    """A model that the API trains, and its file as a data scientist loads it."""
    kinds = [CATEGORIES[place % len(CATEGORIES)] for place in range(200)]
    xs = np.random.default_rng(3).normal(size=(200, 2)).tolist()
    rows = [
        {"x0": x, "x1": y, "x2": kind, "label": "up" if x + len(kind) / 4 > 1 else "down"}
        for (x, y), kind in zip(xs, kinds, strict=True)
    ]
    told = {"model": "trained", "target": "label", "algorithm": "logistic_regression", "epochs": 3}
    created = await client.post("/jobs/train-model", json={"rows": rows, **told})
    assert created.status_code == 202, created.text
    job = await _ended(client, created.json()["job_id"])
    assert job["status"] == "completed", json.dumps(job)
    path.write_bytes((await client.get("/models/trained/versions/1/artifact")).content)
    pipeline = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))

    def by_hand(rows: Sequence[Row]) -> list[Any]:
        mixed = table(rows, "xyc")
        mixed[:, 2] = [row[2] for row in rows]  # a missing category is None to our own pipelines
        return plain_predictions(pipeline, mixed)

    return Model("xyc", pipeline, by_hand)


def _vader() -> Model:
    analyzer = SentimentIntensityAnalyzer()

    def by_hand(rows: Sequence[Row]) -> list[Any]:
        found = [analyzer.polarity_scores(row[2]) for row in rows]
        return [
            (_sentiment(one["compound"]), [one["pos"], one["neu"], one["neg"], one["compound"]])
            for one in found
        ]

    return Model("c", None, by_hand)


def _sentiment(compound: float) -> str:
    """As its authors say: positive from 0.05, negative to -0.05."""
    if compound >= 0.05:
        return "positive"
    return "negative" if compound <= -0.05 else "neutral"


async def _upload(client: httpx.AsyncClient, form: Format, content: bytes) -> str:
    headers = {"Content-Type": MEDIA_TYPES[form]}
    answer = await client.post("/datasets?name=rows", content=content, headers=headers, timeout=SECONDS)
    assert answer.status_code == 201, answer.text
    dataset_id: str = answer.json()["dataset_id"]
    return dataset_id


async def _predict(client: httpx.AsyncClient, name: str, instances: list[Any]) -> list[dict[str, Any]]:
    body = {"model": name, "instances": instances}
    answer = await client.post("/predict", json=body, timeout=SECONDS)
    assert answer.status_code == 200, answer.text
    faulty = {error["index"] for error in answer.json()["row_errors"]}
    predictions = answer.json()["predictions"]
    return [
        {"error": None} if place in faulty else {"prediction": one} for place, one in enumerate(predictions)
    ]


async def _ended(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """The job once it has ended, however busy the machine is."""
    while True:
        answer = await client.get(f"/jobs/{job_id}", params={"wait": 30}, timeout=SECONDS)
        job: dict[str, Any] = answer.json()
        if job["status"] not in ("pending", "running"):
            return job


async def _run(client: httpx.AsyncClient, **body: Any) -> list[dict[str, Any]]:
    """The results of a batch-predict job, each under the id of its row where rows have one."""
    created = await client.post("/jobs/batch-predict", json=body)
    assert created.status_code == 202, created.text
    job = await _ended(client, created.json()["job_id"])
    assert job["status"] == "completed", json.dumps(job)
    headers = {"Accept": "application/x-ndjson"}
    answer = await client.get(f"/jobs/{job['job_id']}/results", headers=headers)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["input_index"] for line in lines] == list(range(len(lines)))
    assert all(line.get("id") in (None, f"r{place}") for place, line in enumerate(lines))
    return lines
