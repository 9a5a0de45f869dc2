"""A bucket behind a real server of S3's protocol, on a loopback port."""

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from moto.server import ThreadedMotoServer

HOST = "127.0.0.1"
BUCKET = "headrace"
PREFIX = "some/prefix"


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Serve during the body; gives what every program takes from its environment to get there."""
    server = ThreadedMotoServer(HOST, 0, verbose=False)
    server.start()
    try:
        yield {
            "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "something",
        }
    finally:
        server.stop()


@contextmanager
def bucket() -> Iterator[str]:
    """A bucket of its own during the body, in that environment; gives its URL."""
    made = boto3.resource("s3").create_bucket(Bucket=BUCKET)
    try:
        yield f"s3://{BUCKET}/{PREFIX}"
    finally:
        made.objects.all().delete()
        made.delete()
