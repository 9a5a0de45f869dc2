"""The rows of one output so far, in a file: chunks are appended to it, and read from it in order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

LENGTH_BYTES: Final = 8
_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="zstd")


class Spool:
    """Tables in a file, each preceded by its length. Nothing of them stays in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, table: pa.Table) -> None:
        """Append a table, unless it has no rows."""
        if not table.num_rows:
            return
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=_OPTIONS) as writer:
            writer.write_table(table.combine_chunks())
        content = sink.getvalue()
        with self.path.open("ab") as file:
            file.write(content.size.to_bytes(LENGTH_BYTES, "big"))
            file.write(content)

    def tables(self) -> Iterator[pa.Table]:
        """Yield the tables in order."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            while length := file.read(LENGTH_BYTES):
                yield pa.ipc.open_stream(file.read(int.from_bytes(length, "big"))).read_all()
