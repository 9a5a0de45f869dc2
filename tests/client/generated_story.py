"""A program that uses the generated client: submit, retry, follow, read. Prints its observations as JSON."""

import json
import sys
from uuid import UUID

from headrace_api import AuthenticatedClient, Client
from headrace_api.api.groups import create_jobs
from headrace_api.api.jobs import (
    create_batch_predict_job,
    create_train_model_job,
    get_job,
    get_job_events,
    get_job_results,
    list_jobs,
)
from headrace_api.api.sign_in import create_token
from headrace_api.api.streams import stream_job
from headrace_api.models import (
    BatchPredictRequest,
    BulkRequest,
    Problem,
    SignIn,
    TrainModelRequest,
)

url, username, password = sys.argv[1:]
signed_in = create_token.sync(client=Client(base_url=url), body=SignIn(username=username, password=password))
client = AuthenticatedClient(base_url=url, token=signed_in.access_token, timeout=60)

wanted = BatchPredictRequest(texts=["What a lovely day", "It broke at once. Terrible!"], batch_size=1)
first = create_batch_predict_job.sync_detailed(client=client, body=wanted, idempotency_key="k1")
again = create_batch_predict_job.sync_detailed(client=client, body=wanted, idempotency_key="k1")

group = BulkRequest.from_dict({"jobs": [{"kind": "batch_predict", "texts": ["It is a kettle"]}]})
groups = [create_jobs.sync_detailed(client=client, body=group, idempotency_key="k2") for _ in range(2)]

rows = [{"rooms": n % 7, "sold": n % 7 > 3} for n in range(60)]
training = TrainModelRequest.from_dict({"rows": rows, "target": "sold", "model": "houses", "epochs": 2})
trained = [
    create_train_model_job.sync_detailed(client=client, body=training, idempotency_key="k3") for _ in range(2)
]

job_id = first.parsed.job_id
job = get_job.sync(client=client, job_id=job_id, wait=40)
followed = stream_job.sync_detailed(client=client, job_id=job_id)
seen = get_job_events.sync(client=client, job_id=job_id).last_seq
ended = stream_job.sync_detailed(client=client, job_id=job_id, last_event_id=str(seen))
page = get_job_results.sync(client=client, job_id=job_id)
listed = list_jobs.sync(client=client)
unknown = get_job.sync_detailed(client=client, job_id=UUID(int=1))
stranger = get_job.sync_detailed(client=AuthenticatedClient(base_url=url, token="none"), job_id=job_id)
refused = create_batch_predict_job.sync_detailed(client=client, body=BatchPredictRequest(texts=[]))

for answer in (unknown, stranger, refused):
    assert isinstance(answer.parsed, Problem), answer

sys.stdout.write(
    json.dumps(
        {
            "submitted": [first.status_code, again.status_code, again.parsed.job_id == job_id],
            "groups": [answer.status_code for answer in groups]
            + [groups[0].parsed.group_id == groups[1].parsed.group_id],
            "trained": [answer.status_code for answer in trained]
            + [trained[0].parsed.job_id == trained[1].parsed.job_id],
            "status": job.status,
            "followed": [
                followed.status_code,
                followed.parsed.count("event: update"),
                "event: complete" in followed.parsed,
            ],
            "ended": ended.status_code,
            "labels": [row.prediction["label"] for row in page.items],
            "listed": str(job_id) in [str(item.job_id) for item in listed.items],
            "problems": [answer.parsed.code for answer in (unknown, stranger, refused)],
        }
    )
)
