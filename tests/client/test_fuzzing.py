"""Every response to a generated request is in the OpenAPI document, and none is a 500.

A few requests of each operation are enough to notice an answer that a route does not document. `make long`
sends more, and `FUZZING_EXAMPLES=200` as many as it says.
"""

import os
from collections.abc import Iterator

import httpx
import pytest
from schemathesis.core.failures import FailureGroup

from tests.client.running import Running, running
from tests.conftest import Servers
from tests.support.fuzzing import Fuzzer

FEW = 3
ENDS_SESSIONS = ("DELETE /users/me/sessions", "DELETE /users/me/sessions/{session_id}")
MANY = int(os.environ.get("FUZZING_EXAMPLES", "25"))

pytestmark = pytest.mark.timeout(60 + 60 * MANY)


@pytest.fixture(scope="module")
def system(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A system of its own: the requests of the fuzzer use up rate limits of this machine."""
    with running(servers, tmp_path_factory.mktemp("system")) as found:
        yield found


@pytest.fixture(scope="module")
def http(system: Running) -> Iterator[httpx.Client]:
    """A client of a user with an account."""
    user = system.sign_up()
    with httpx.Client(base_url=system.url, trust_env=False, timeout=60) as client:
        token = client.post("/token", data=user.credentials).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@pytest.fixture(scope="module")
def fuzzer(system: Running, http: httpx.Client) -> Fuzzer:
    upload = http.post("/datasets?name=a", content=b"a,b\n1,2\n", headers={"Content-Type": "text/csv"})
    bulk = {"jobs": [{"kind": "batch_predict", "texts": ["good"]}]}
    group = http.post("/jobs/bulk", json=bulk).raise_for_status().json()
    job = http.get(f"/jobs/{group['job_ids'][0]}", params={"wait": 30}).raise_for_status().json()
    assert job["status"] == "completed"
    known = {
        "dataset_id": upload.raise_for_status().json()["dataset_id"],
        "group_id": group["group_id"],
        "job_id": job["job_id"],
        "name": "sentiment",
    }
    document = http.get("/openapi.json").json()
    return Fuzzer(system.url, document, {"Authorization": http.headers["Authorization"]}, known)


@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_every_answer_is_one_of_the_document_and_none_is_a_500(fuzzer: Fuzzer, examples: int) -> None:
    # Those that end the session of the fuzzer come last.
    operations = sorted(fuzzer.operations(), key=lambda operation: operation.label in ENDS_SESSIONS)
    wrong = {}
    for operation in operations:
        try:
            fuzzer.run(operation, examples=examples)
        except (AssertionError, FailureGroup) as error:
            wrong[operation.label] = str(error)

    assert not wrong, "\n\n".join(f"{label}: {error}" for label, error in wrong.items())
    assert len(operations) >= 45
    assert {200, 201, 404, 422} <= {status for _, status in fuzzer.statuses}
