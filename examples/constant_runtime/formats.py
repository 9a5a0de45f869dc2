"""The API's half: recognise the files."""

from typing import Final

from app.models.formats import FileFormat

RUNTIME: Final = "constant"

FORMATS: Final = {
    RUNTIME: FileFormat(RUNTIME, suffix="json", matches=lambda head: head.startswith(b'{"format":"constant"'))
}
