"""Latency of `POST /predict` while a training runs in every slot: with a lane and without."""

import asyncio
import time
import urllib.error
from typing import Final

import msgspec

from bench import linear_rows, options
from bench.measuring import milliseconds, percentile
from bench.options import Options
from bench.results import Results
from bench.stack import Api, Stack, User, stack
from tests.support.waiting import until

SLOTS: Final = 2
WARM_UP: Final = 4
SHARES: Final = (0.5, 0.95, 1.0)
IDLE: Final = "idle worker"
TRAINING: Final = "a training in every slot"
START_SECONDS: Final = 60.0

_TRAINING: Final = "SELECT count(*) AS jobs FROM jobs WHERE status = 'running' AND kind = 'train_model'"
_BODY: Final = msgspec.json.encode({"texts": ["What a lovely day"]})


async def measure(system: Stack, options: Options) -> Results:
    """Send requests one after the other to an idle worker and to the same worker with its slots taken."""
    results = Results("lane", options)
    times = options.choose(200, 20)
    user = await system.user()
    measured: dict[str, list[float]] = {IDLE: [], TRAINING: []}
    with system.api() as api:
        dataset_id = _upload(system, api, user, options.choose(200_000, 50_000))
        for _ in range(options.rounds):
            with system.worker(WORKER_SLOTS=str(SLOTS)):
                measured[IDLE] += _predict(api, user, times)
                jobs = await _train(system, api, user, dataset_id)
                measured[TRAINING] += _predict(api, user, times)
                assert await _all_train(system), "a training ended too early"
                _cancel(api, user, jobs)
        with system.worker(WORKER_SLOTS=str(SLOTS), WORKER_PREDICT_SLOTS="0"):
            jobs = await _train(system, api, user, dataset_id)
            without_lane = _status(api, user)
            _cancel(api, user, jobs)
    results.table(
        f"`POST /predict` with one text, {times} sequential requests per round, {SLOTS} slots and a lane",
        ("", "p50 ms", "p95 ms", "max ms"),
        [
            [name, *(milliseconds(percentile(seconds, share)) for share in SHARES)]
            for name, seconds in measured.items()
        ],
        f"Built-in model. Without a lane, the same request is answered with {without_lane} after 30 s.",
    )
    busy = milliseconds(percentile(measured[TRAINING], 0.5))
    results.at_most("`POST /predict` while every slot trains, p50", busy, 100.0, "ms")
    results.rounds = {"seconds": measured}
    return results


def _upload(system: Stack, api: Api, user: User, rows: int) -> str:
    table = system.folder / "rows.csv"
    linear_rows.write(table, system.folder / "model.skops", rows)
    headers = {**user.headers, "Content-Type": "text/csv"}
    dataset: dict[str, str] = api.call("POST", "/datasets?name=rows", headers, table.read_bytes())
    return dataset["dataset_id"]


async def _train(system: Stack, api: Api, user: User, dataset_id: str) -> list[str]:
    """Start trainings that run for minutes, as many as slots, and wait until they do."""
    body = msgspec.json.encode(
        {
            "dataset_id": dataset_id,
            "target": linear_rows.COLUMNS[0],
            "algorithm": "mlp",
            "params": {"patience": 0},
            "epochs": 1000,
        }
    )
    jobs = [api.call("POST", "/jobs/train-model", user.headers, body)["job_id"] for _ in range(SLOTS)]
    await until(lambda: _all_train(system), seconds=START_SECONDS)
    return jobs


async def _all_train(system: Stack) -> bool:
    [row] = await system.fetch(_TRAINING)
    return bool(row["jobs"] == SLOTS)


def _cancel(api: Api, user: User, jobs: list[str]) -> None:
    for job in jobs:
        api.call("POST", f"/jobs/{job}/cancel", user.headers, b"")


def _predict(api: Api, user: User, times: int) -> list[float]:
    seconds = []
    for _ in range(times + WARM_UP):
        began = time.perf_counter()
        answer = api.call("POST", "/predict", user.headers, _BODY)
        seconds.append(time.perf_counter() - began)
        assert answer["errors"] == 0, answer
    return seconds[WARM_UP:]


def _status(api: Api, user: User) -> int:
    """Return the status of the answer to one prediction."""
    try:
        api.call("POST", "/predict", user.headers, _BODY)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
