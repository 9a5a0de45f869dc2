"""How long `POST /predict` takes: the built-in model, a user's model, and two users who take turns."""

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
"""So many requests of one sort, then of the next: so whatever else the machine does meets all of them."""

SHARES: Final = (0.5, 0.95, 1.0)
BUILT_IN: Final = "the built-in model, two users in turn"
ONE_USER: Final = "a user's model, one user"
IN_TURN: Final = "the same model's file, two users in turn"


async def measure(system: Stack, options: Options) -> Results:
    """One request after the other, on one slot: so two users who take turns meet in it."""
    results = Results("predict", options)
    times = options.choose(300, 20)
    measured: dict[str, list[float]] = {BUILT_IN: [], ONE_USER: [], IN_TURN: []}
    ada, bob = await system.user(), await system.user()
    texts = msgspec.json.encode({"texts": ["What a lovely day"]})
    rows = msgspec.json.encode({"model": "flowers", "instances": [[5.1, 3.5, 1.4, 0.2]]})
    with system.api() as api, system.worker(WORKER_SLOTS="1"):
        model = _model()
        for user in (ada, bob):
            headers = {**user.headers, "Content-Type": "application/octet-stream"}
            api.call("POST", "/models/flowers/versions", headers, model)
        for _ in range(options.rounds * times // BLOCK):
            measured[BUILT_IN] += _ask(api, (ada, bob), texts)
            measured[ONE_USER] += _ask(api, (ada,), rows)
            measured[IN_TURN] += _ask(api, (ada, bob), rows)
    results.table(
        f"`POST /predict` of one row, {times} times a round, one after the other, on one slot",
        ("", "p50 ms", "p95 ms", "max ms"),
        [
            [name, *(milliseconds(percentile(seconds, share)) for share in SHARES)]
            for name, seconds in measured.items()
        ],
        "Once a file is involved, users in turn each get a fresh child process, which loads the model again.",
    )
    built_in, one_user, in_turn = (
        milliseconds(percentile(measured[name], 0.5)) for name in (BUILT_IN, ONE_USER, IN_TURN)
    )
    results.table(
        "What a switch of owner costs: the p50 of users in turn against that of one user",
        ("", "times", "ms more"),
        [["a fresh child, which loads the model", in_turn / one_user, in_turn - one_user]],
    )
    results.at_most("`POST /predict`, built-in model, p50", built_in, 30.0, "ms")
    results.rounds = {"seconds": measured}
    return results


def _model() -> bytes:
    forest = RandomForestClassifier(20, random_state=7).fit(*load_iris(return_X_y=True))
    written: bytes = skops.io.dumps(forest)
    return written


def _ask(api: Api, users: tuple[User, ...], body: bytes) -> list[float]:
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
