"""What the conformance suite of runtimes needs to know: a model, rows, and what it should predict."""

from typing import Any, Final

from tests.conformance.cases import RuntimeCase

ROWS: Final[list[Any]] = [[1.0, 2.0, 3.0, 4.0], [0.0, 0.5, 1.0, 1.5]]
SCORES: Final = {"yes": 0.75, "no": 0.25}

RUNTIME_CASES: Final = {
    "constant classifier": RuntimeCase(
        runtime="constant",
        content=b'{"format":"constant","columns":["x0","x1","x2","x3"],"scores":{"yes":0.75,"no":0.25}}',
        rows=ROWS,
        wrong_row=[1.0],
        expected=lambda _content: [SCORES, SCORES],
    ),
    "constant regressor": RuntimeCase(
        runtime="constant",
        content=b'{"format":"constant","columns":["x0","x1","x2","x3"],"value":2.5}',
        rows=ROWS,
        wrong_row="x",
        expected=lambda _content: [2.5, 2.5],
    ),
}
