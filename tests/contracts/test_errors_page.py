"""docs/errors.md agrees with the code."""

import re

from app.cli.error_advice import ADVICE
from app.cli.error_page import PAGE, entries, page
from tests.contracts.test_openapi import OPERATIONS, PROBLEM


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run `python -m app.cli.error_page`"


def test_each_code_is_on_the_page_once_with_a_sentence_and_something_to_do() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", page(), re.MULTILINE)

    assert len({code for code, *_ in rows}) == len(rows) == len(entries())
    assert all(sentence and when and advice for _, sentence, when, advice in rows)


def test_every_code_that_a_route_documents_is_on_the_page() -> None:
    on_the_page = {entry.code: entry.status for entry in entries()}

    for name, operation in OPERATIONS.items():
        for status, answer in operation["responses"].items():
            for code in answer.get("content", {}).get(PROBLEM, {}).get("examples", {}):
                assert on_the_page.get(code) == int(status), (name, code)


def test_no_advice_is_for_a_removed_code() -> None:
    assert set(ADVICE) <= {entry.code for entry in entries()}
