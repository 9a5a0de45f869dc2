"""The advice after an error names codes and commands that exist."""

import re
import typing

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from app.cli import main
from app.cli.advice import COMMAND_ADVICE
from app.cli.error_advice import ADVICE


@pytest.mark.parametrize("code", COMMAND_ADVICE)
def test_the_code_exists_and_so_does_the_command_that_helps(code: str) -> None:
    commands = re.findall(r"'headrace ([a-z ]+)", COMMAND_ADVICE[code])

    assert code in ADVICE
    for words in commands:
        group, command = words.split()
        found = typing.cast(TyperGroup, get_command(main.app)).commands[group]
        assert command in typing.cast(TyperGroup, found).commands
