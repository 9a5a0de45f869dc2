"""Downloads results and files as a stream, over any number of connections."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

from app.client import steps
from app.client.data import Row
from app.client.errors import HeadraceError, UnexpectedResponse
from app.client.exchange import Exchange
from app.client.steps import Emit, Flow, Pause, Request

NDJSON: Final = "application/x-ndjson"
MEDIA_TYPES: Final = {
    "ndjson": NDJSON,
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}


def rows(exchange: Exchange, path: str, *, include_input: bool) -> Flow[None]:
    """Emit the rows of a job's results."""
    return _download(exchange, _request(path, NDJSON, {}, include_input), _Rows().feed)


def pieces(
    exchange: Exchange, path: str, media_type: str, filters: Mapping[str, str], *, include_input: bool
) -> Flow[None]:
    """Emit the bytes of a job's results that match in chunks of any size."""
    return _download(exchange, _request(path, media_type, filters, include_input), lambda chunk: (chunk,))


def file(exchange: Exchange, request: Request) -> Flow[None]:
    """Emit the bytes of a stored file in chunks of any size.

    After a lost connection the client requests the rest of the same version (`Range`, `If-Range`).
    """
    retry_state = exchange.retry_state(exchange.retry_config.away_seconds)
    headers = {"accept": "*/*", "accept-encoding": "identity"}  # ranges count the bytes of the file itself
    position = 0
    etag = ""
    while True:
        try:
            response = yield from exchange.open_once(replace(request, headers=headers))
            if position and response.status != HTTPStatus.PARTIAL_CONTENT:
                raise UnexpectedResponse("The file changed during the download: download it again.")
            etag = response.headers.get("etag", "")
            while chunk := (yield from steps.read()):
                position += len(chunk)
                retry_state.progressed()
                yield Emit(chunk)
        except HeadraceError as error:
            yield Pause(retry_state.pause_seconds(error))
            if position:
                headers |= {"range": f"bytes={position}-", "if-range": etag}
            continue
        return


def _request(path: str, media_type: str, filters: Mapping[str, str], include_input: bool) -> Request:
    return Request(
        "GET",
        f"{path}/results",
        params={**filters, **({"include": "input"} if include_input else {})},
        headers={"accept": media_type},
    )


def _download(exchange: Exchange, request: Request, read: Callable[[bytes], Iterable[Any]]) -> Flow[None]:
    """Emit what `read` makes of the bytes of a job's results.

    Results never change and always come in the same order. After a lost connection the client requests them
    again and skips the bytes it has already read. Only an attempt that gets further than the last one resets
    the retries, so a connection that always breaks at the same byte ends with an error. The table of a
    running job changes as rows are added: its ETag then differs, and the download cannot be resumed.
    """
    media_type = request.headers["accept"]
    retry_state = exchange.retry_state(exchange.retry_config.away_seconds)
    position = 0
    etag: str | None = None
    while True:
        try:
            response = yield from exchange.open_once(request)
            if not response.headers.get("content-type", "").startswith(media_type):
                raise UnexpectedResponse(
                    "The response is not the results of a job: check the URL.", status=response.status
                )
            if position and response.headers.get("etag") != etag:
                raise UnexpectedResponse("The results changed during the download: download them again.")
            etag = response.headers.get("etag")
            seen = 0
            while chunk := (yield from steps.read()):
                new_bytes = chunk[max(0, position - seen) :]
                seen += len(chunk)
                if not new_bytes:
                    continue
                position = seen
                retry_state.progressed()
                for item in read(new_bytes):
                    yield Emit(item)
        except HeadraceError as error:
            yield Pause(retry_state.pause_seconds(error))
            continue
        if seen < position:
            raise UnexpectedResponse("The results became shorter during the download: download them again.")
        return


class _Rows:
    """Parses rows from chunks of NDJSON; every row ends with a line feed."""

    def __init__(self) -> None:
        self._unfinished: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[Row]:
        """Return the rows that these bytes complete."""
        first, *others = chunk.split(b"\n")
        self._unfinished.append(first)
        for other in others:
            line = b"".join(self._unfinished)
            self._unfinished = [other]
            yield _row(line)


def _row(line: bytes) -> Row:
    try:
        return Row.parse(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnexpectedResponse("The results contain an invalid row.") from error
