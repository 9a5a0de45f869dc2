"""Reading results as they are streamed, over any number of connections."""

import json
from collections.abc import Callable, Iterable, Iterator
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


def rows(exchange: Exchange, path: str) -> Flow[None]:
    """Emit the rows of a job's results."""
    return _download(exchange, path, NDJSON, _Rows().feed)


def pieces(exchange: Exchange, path: str, media_type: str) -> Flow[None]:
    """Emit the bytes of a job's results, in pieces of any size."""
    return _download(exchange, path, media_type, lambda piece: (piece,))


def _download(
    exchange: Exchange, path: str, media_type: str, read: Callable[[bytes], Iterable[Any]]
) -> Flow[None]:
    """Emit what is read from a job's results.

    Results never change, and always come in the same order. So after a cut the same is asked for again, and
    as many bytes as were read before are passed over. Only what gets further than before is a success: a
    line that is always cut at the same place ends with the patience. A table of a job that runs is another
    one each time; its ETag says so, and then there is nothing to go on with.
    """
    request = Request("GET", f"{path}/results", headers={"accept": media_type})
    retry_state = exchange.retry_state(exchange.retry_config.away_seconds)
    place = 0
    etag: str | None = None
    while True:
        try:
            answer = yield from exchange.open_once(request)
            if not answer.headers.get("content-type", "").startswith(media_type):
                raise UnexpectedResponse(
                    "What should be results is none: is the URL right?", status=answer.status
                )
            if place and answer.headers.get("etag") != etag:
                raise UnexpectedResponse("The results changed while they were read: there are more now.")
            etag = answer.headers.get("etag")
            seen = 0
            while piece := (yield from steps.read()):
                fresh = piece[max(0, place - seen) :]
                seen += len(piece)
                if not fresh:
                    continue
                place = seen
                retry_state.progressed()
                for item in read(fresh):
                    yield Emit(item)
        except HeadraceError as error:
            yield Pause(retry_state.pause_seconds(error))
            continue
        if seen < place:
            raise UnexpectedResponse("The results became fewer while they were read.")
        return


class _Rows:
    """Rows from bytes in pieces of any size; each is a line, and each line ends."""

    def __init__(self) -> None:
        self._unfinished: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[Row]:
        """The rows that these bytes complete."""
        first, *others = piece.split(b"\n")
        self._unfinished.append(first)
        for other in others:
            line = b"".join(self._unfinished)
            self._unfinished = [other]
            yield _row(line)


def _row(line: bytes) -> Row:
    try:
        return Row.parse(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnexpectedResponse("The results have a row that is none of Headrace's.") from error
