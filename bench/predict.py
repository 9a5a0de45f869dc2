"""Latency of `POST /predict`: built-in model, uploaded model, and two alternating users."""

import asyncio
import time
from typing import Final

import msgspec
import skops.io
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from bench import options
from bench.measuring import milliseconds, percentile
from bench.options import Options
from bench.results import Results
from bench.stack import Api, Stack, User, stack

WARM_UP: Final = 4
BLOCK: Final = 20
"""Requests of one kind before the next kind: short, so that other load on the machine affects all kinds."""

SHARES: Final = (0.5, 0.95, 1.0)
BUILT_IN: Final = "built-in model, two users alternating"
ONE_USER: Final = "uploaded model, one user"
ALTERNATING: Final = "uploaded model, two users alternating"


async def measure(system: Stack, options: Options) -> Results:
    """Send requests sequentially to a worker with one slot, which alternating users share."""
    results = Results("predict", options)
    times = options.choose(300, 20)
    measured: dict[str, list[float]] = {BUILT_IN: [], ONE_USER: [], ALTERNATING: []}
    ada, bob = await system.user(), await system.user()
    texts = msgspec.json.encode({"texts": ["What a lovely day"]})
    rows = msgspec.json.encode({"model": "flowers", "instances": [[5.1, 3.5, 1.4, 0.2]]})
    with system.api() as api, system.worker(WORKER_SLOTS="1"):
        model = _model()
        for user in (ada, bob):
            headers = {**user.headers, "Content-Type": "application/octet-stream"}
            api.call("POST", "/models/flowers/versions", headers, model)
        for _ in range(options.rounds * times // BLOCK):
            measured[BUILT_IN] += _predict(api, (ada, bob), texts)
            measured[ONE_USER] += _predict(api, (ada,), rows)
            measured[ALTERNATING] += _predict(api, (ada, bob), rows)
    results.table(
        f"`POST /predict` with one row, {times} sequential requests per round, one slot",
        ("", "p50 ms", "p95 ms", "max ms"),
        [
            [name, *(milliseconds(percentile(seconds, share)) for share in SHARES)]
            for name, seconds in measured.items()
        ],
        "A child process that has loaded a user's file serves only that user, so each change of user starts"
        " a new child, which loads the model again.",
    )
    built_in, one_user, alternating = (
        milliseconds(percentile(measured[name], 0.5)) for name in (BUILT_IN, ONE_USER, ALTERNATING)
    )
    results.table(
        "Cost of switching users: p50 of alternating users relative to one user",
        ("", "factor", "additional ms"),
        [["new child process that loads the model", alternating / one_user, alternating - one_user]],
    )
    results.at_most("`POST /predict`, built-in model, p50", built_in, 30.0, "ms")
    results.rounds = {"seconds": measured}
    return results


def _model() -> bytes:
    forest = RandomForestClassifier(20, random_state=7).fit(*load_iris(return_X_y=True))
    content: bytes = skops.io.dumps(forest)
    return content


def _predict(api: Api, users: tuple[User, ...], body: bytes) -> list[float]:
    seconds = []
    for turn in range(BLOCK + WARM_UP):
        user = users[turn % len(users)]
        began = time.perf_counter()
        answer = api.call("POST", "/predict", user.headers, body)
        seconds.append(time.perf_counter() - began)
        assert answer["errors"] == 0, answer
    return seconds[WARM_UP:]


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
