"""The JavaScript of docs/streams.md follows a job over a line that breaks, with the EventSource of Node."""

import asyncio
import json
import re
import shutil
from pathlib import Path

import httpx
import pytest

from app.client import AsyncHeadrace
from tests.client.cutting import cutting
from tests.client.running import Running, User
from tests.e2e.support import slow_texts
from tests.support.processes import ROOT

pytestmark = pytest.mark.long

[FOLLOW] = re.findall(r"^```js\n(.*?)^```$", (ROOT / "docs/streams.md").read_text(), re.DOTALL | re.MULTILINE)

HARNESS = """
const [base, jobId, token] = process.argv.slice(2);
setInterval(() => {}, 1000);  // Node would not wait for an EventSource that is about to reconnect
const said = { tickets: 0, seen: [], types: [] };
const fetchFrom = globalThis.fetch;
globalThis.fetch = (path, options) => {
  said.tickets += 1;
  return fetchFrom(base + path, options);
};
const Source = globalThis.EventSource;
globalThis.EventSource = class extends Source {
  constructor(path) { super(base + path); }
};
follow(jobId, token, (event) => {
  said.seen.push(event.seq);
  said.types.push(event.type);
}).then(() => {
  console.log(JSON.stringify(said));
  process.exit(0);
});
"""


async def node(*arguments: str) -> tuple[int, bytes, bytes]:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no Node on the PATH")
    process = await asyncio.create_subprocess_exec(
        *(found, "--experimental-eventsource", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        said, complaint = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said, complaint


async def test_one_ticket_is_enough_for_a_job_over_a_line_that_is_cut(
    system: Running, ada: User, tmp_path: Path
) -> None:
    exit_code, kind, _ = await node("-p", "typeof EventSource")
    if exit_code != 0 or kind.strip() != b"function":
        pytest.skip("this Node has no EventSource")
    script = tmp_path / "follow.mjs"
    script.write_text(FOLLOW + HARNESS)

    async with (
        AsyncHeadrace(system.url, username=ada.name, password=ada.password) as client,
        cutting(system.url, seed=1) as proxy,
    ):
        job = await client.submit(slow_texts(20), batch_size=1)
        proxy.cut_between(2500, 4000)
        token = await _token(system, ada)
        exit_code, said, complaint = await node(str(script), proxy.url, job.id, token)
        log = [event async for event in client.events(job)]

    assert exit_code == 0, complaint.decode()
    told = json.loads(said)
    assert told["seen"] == [event.seq for event in log]
    assert told["types"][-1] == "completed"
    assert proxy.cuts > 1
    assert told["tickets"] == 1


async def _token(system: Running, user: User) -> str:
    async with httpx.AsyncClient(base_url=system.url, trust_env=False) as http:
        answer = await http.post("/token", data=user.credentials)
        token: str = answer.json()["access_token"]
        return token
