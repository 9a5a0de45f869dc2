"""Measures the latency of `/health/live` and the memory of the API while 120 clients sign in at once."""

import asyncio
from collections import Counter
from typing import Final
from urllib.parse import urlencode

from app.auth.passwords import open_passwords
from bench import load, options
from bench.bodies import IDLE_SECONDS, Health
from bench.dataset_memory import watch_memory
from bench.load import Plan
from bench.measuring import MIB, milliseconds, percentile
from bench.options import Options
from bench.results import Results
from bench.stack import Api, Stack, stack

SIGN_INS: Final = 120
BURSTS: Final = 20
BURST_SECONDS: Final = 0.05
USERNAME: Final = "ada"
PASSWORD: Final = "correct horse battery staple"  # noqa: S105  # guards nothing
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


async def measure(system: Stack, options: Options) -> Results:
    """Send bursts of 120 sign-ins. In a burst, a client that is told to retry later does so at once."""
    results = Results("sign_ins", options)
    user = await system.user(USERNAME)
    async with open_passwords() as passwords, passwords.turn() as turn:
        password_hash = await turn.hash(PASSWORD)
    await system.execute("UPDATE users SET password_hash = $2 WHERE id = $1", user.id, password_hash)
    statuses: Counter[str] = Counter()
    with system.api() as api:
        idle = Health(api)
        with idle.polled():
            await asyncio.sleep(IDLE_SECONDS)
        busy = Health(api)
        with watch_memory(api.program) as memory, busy.polled():
            for _ in range(options.choose(BURSTS, 2)):
                statuses.update(load.run(_burst(api)).statuses)
    assert set(statuses) == {"200", "503"}, statuses
    results.table(
        f"Latency of `GET /health/live`; the API had {memory.before / MIB:.0f} MiB before",
        ("", "p50 ms", "p99 ms", "max ms"),
        [
            [name, *(milliseconds(percentile(health.seconds, share)) for share in (0.5, 0.99, 1.0))]
            for name, health in (("no sign-ins", idle), (f"bursts of {SIGN_INS} sign-ins", busy))
        ],
        f"{statuses['200']} sign-ins succeeded; {statuses['503']} were told to retry (503 with Retry-After).",
    )
    p99 = milliseconds(percentile(busy.seconds, 0.99))
    results.at_most(f"`/health/live` during {SIGN_INS} sign-ins, p99", p99, 100.0, "ms")
    results.at_most(f"API memory growth during {SIGN_INS} sign-ins", memory.growth_mib, 150.0, "MiB")
    return results


def _burst(api: Api) -> Plan:
    body = urlencode({"username": USERNAME, "password": PASSWORD})
    return Plan(
        api.port, FORM, "/token", body, connections=SIGN_INS, warm_up_seconds=0, seconds=BURST_SECONDS
    )


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
