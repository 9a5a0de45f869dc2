"""Reads the input of commands: the template of a job, and definitions of schedules, as JSON."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.cli.errors import CommandFailed, UsageError


def read_job(job: str) -> dict[str, Any]:
    """The template of a job: JSON, or the file that has it. Raises UsageError, CommandFailed."""
    text = job if job.lstrip().startswith("{") else _read(job)
    template = _parse(text, "--job")
    if not isinstance(template, dict):
        raise UsageError("--job: expected a JSON object with the kind of the job and its fields.")
    return template


def read_definitions(file: str) -> list[Mapping[str, Any]]:
    """The schedules that a file defines: a list of objects, each with a name, or one object."""
    document = _parse(_read(file), file)
    definitions = [document] if isinstance(document, dict) else document
    if not isinstance(definitions, list) or not all(isinstance(found, dict) for found in definitions):
        raise UsageError(f"{file}: expected a list of schedules, each a JSON object.")
    for index, definition in enumerate(definitions):
        if not isinstance(definition.get("name"), str) or not definition["name"]:
            raise UsageError(f"{file}: schedule {index} has no name.")
    names = [definition["name"] for definition in definitions]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{file}: defines {', '.join(twice)} twice.")
    return definitions


def _read(file: str) -> str:
    try:
        return sys.stdin.buffer.read().decode() if file == "-" else Path(file).read_bytes().decode()
    except OSError as error:
        raise CommandFailed(f"cannot read {file}: {error.strerror}", code="file_not_readable") from error
    except UnicodeDecodeError:
        raise CommandFailed(f"{file} is not UTF-8", code="file_not_readable") from None


def _parse(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{source}: not JSON: {error}.") from None
