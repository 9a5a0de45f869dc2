"""Values of options are checked before anything is sent."""

import pytest
import typer

from app.cli.jobs.values import MAX_SHARDS, parse_shards
from app.jobs.shards import plan


@pytest.mark.parametrize("text", ["auto", "1", str(plan.MAX_SHARDS)])
def test_the_numbers_of_shards_that_the_server_takes_are_passed_on(text: str) -> None:
    assert parse_shards(text) == text


@pytest.mark.parametrize("text", ["", "many", "0", "-1", "1.5", str(plan.MAX_SHARDS + 1), "9" * 5000])
def test_no_other_number_of_shards_is(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="from 1 to 1000, or auto"):
        parse_shards(text)


def test_the_limit_is_that_of_the_server() -> None:
    assert MAX_SHARDS == plan.MAX_SHARDS
