"""A bucket on a real S3-compatible server on a loopback port."""

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from moto.server import ThreadedMotoServer

HOST = "127.0.0.1"
BUCKET = "headrace"
PREFIX = "some/prefix"


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Run the server during the body; yield the environment variables that clients need to reach it."""
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
    """Create a bucket for the duration of the body and yield its URL. Needs the environment of `serving`."""
    created = boto3.resource("s3").create_bucket(Bucket=BUCKET)
    try:
        yield f"s3://{BUCKET}/{PREFIX}"
    finally:
        created.objects.all().delete()
        created.delete()
