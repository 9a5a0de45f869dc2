"""Model cards: what a version is for, what it learnt from and how good it is, as Markdown.

The sections follow Mitchell et al., Model Cards for Model Reporting (2019).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from app.models.reports.report import Classification, Importance, Report, ThresholdScores
from app.models.versions import RegisteredVersion

MAX_ROWS: Final = 30
"""The longest table of a card. The report has the rest."""

MAX_MATRIX: Final = 12
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~&$])")

_METHODS: Final[Mapping[str, str]] = {
    "random": "at random",
    "stratified": "at random, each class in proportion",
    "time": "by time: the latest rows are held out",
    "group": "by group: the rows of a group stay together",
    "dataset": "the test rows are a dataset of their own",
}


def markdown(version: RegisteredVersion, report: Report | None) -> str:
    """Return the card of a version. `report` is that of its training, None for any other version.

    Only the owner gets the lineage and the warnings, because they quote values of the data.
    """
    sections = [
        _head(version, report),
        _inputs(version),
        *(() if report is None else _training(version, report)),
        *([] if version.metrics == {} else [_metrics(version, report)]),
        *(() if report is None or report.classification is None else _classes(report.classification)),
        *(() if report is None or report.importance is None else [_importance(report.importance)]),
        *(_own(version, report) if version.is_own else ()),
    ]
    return "\n\n".join(sections) + "\n"


def escape(text: str) -> str:
    """Return a text as it is to be read: Markdown gives no character a meaning, and it stays on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _head(version: RegisteredVersion, report: Report | None) -> str:
    what = "A model" if version.task is None else f"A {version.task}"
    predicts = "" if report is None else f" that predicts {_code(report.target)}"
    algorithm = "" if report is None else f", trained with {_code(report.algorithm)}"
    day = version.created_at.date().isoformat()
    return (
        f"# {escape(version.name)}, version {version.version}\n\n{what}{predicts}{algorithm}. Registered by"
        f" {escape(version.owner)} on {day}."
    )


def _inputs(version: RegisteredVersion) -> str:
    if version.columns is None:
        inputs = "The file does not name its input columns."
    else:
        shown = [(_code(column.name), column.type) for column in version.columns]
        inputs = _table(("column", "type"), shown)
    classes = ""
    if version.classes is not None:
        names = ", ".join(map(_code, version.classes[:MAX_ROWS]))
        more = len(version.classes) - MAX_ROWS
        classes = f"\n\nClasses: {names}{f' and {more} more' if more > 0 else ''}."
    return f"## Inputs\n\n{inputs}{classes}"


def _training(version: RegisteredVersion, report: Report) -> Iterator[str]:
    split = report.split
    column = "" if split.column is None else f" ({_code(split.column)})"
    folds = "" if split.folds is None else f"; cross-validation with {split.folds} folds"
    rows = _table(
        ("rows", "number"),
        (
            ("training", split.train_rows),
            ("validation", split.validation_rows),
            ("test", split.test_rows),
        ),
    )
    yield f"## Data\n\nSplit {_METHODS.get(split.method, split.method)}{column}{folds}.\n\n{rows}"
    params = [(_code(name), _code(str(value))) for name, value in sorted(version.params.items())]
    yield f"## Training\n\n{_table(('parameter', 'value'), params)}"


def _metrics(version: RegisteredVersion, report: Report | None) -> str:
    where = "" if report is None else "Measured on the test rows, which chose nothing.\n\n"
    validation = {} if report is None else report.validation_metrics or {}
    rows = [
        (_code(name), _number(value), _number(validation.get(name)))
        for name, value in version.metrics.items()
        if value is None or isinstance(value, int | float)
    ]
    if not any(value != "–" for _, _, value in rows):
        return f"## Metrics\n\n{where}{_table(('metric', 'value'), [row[:2] for row in rows])}"
    return f"## Metrics\n\n{where}{_table(('metric', 'test', 'validation'), rows)}"


def _classes(found: Classification) -> Iterator[str]:
    scores = [
        (_code(one.label), one.rows, _number(one.precision), _number(one.recall), _number(one.f1))
        for one in found.classes
    ]
    yield f"### By class\n\n{_table(('class', 'test rows', 'precision', 'recall', 'F1'), scores)}"
    matrix = found.confusion_matrix
    if len(matrix.labels) <= MAX_MATRIX:
        rows = [(_code(label), *counts) for label, counts in zip(matrix.labels, matrix.matrix, strict=True)]
        head = ("true \\ predicted", *map(_code, matrix.labels))
        yield f"### Confusion matrix\n\n{_table(head, rows)}"
    if found.threshold is not None:
        chosen = found.threshold
        rows_of = [_threshold("default", chosen.default), _threshold("best F1", chosen.chosen)]
        yield (
            f"### Threshold\n\nOf the class {_code(chosen.positive)}.\n\n"
            + _table(("", "threshold", "precision", "recall", "F1"), rows_of)
        )


def _threshold(name: str, scores: ThresholdScores) -> tuple[str, ...]:
    values = (scores.threshold, scores.precision, scores.recall, scores.f1)
    return (name, *map(_number, values))


def _importance(found: Importance) -> str:
    rows = [(_code(one.name), _number(one.mean), _number(one.deviation)) for one in found.columns]
    return (
        f"## Importance of the columns\n\nHow much {_code(found.metric)} ({_number(found.score)}) drops when"
        f" a column is shuffled: mean and deviation of {found.repeats} repeats on {found.rows} held-out"
        f" rows.\n\n{_table(('column', 'drop', 'deviation'), rows)}"
    )


def _own(version: RegisteredVersion, report: Report | None) -> Iterator[str]:
    if report is not None and report.warnings:
        yield "## Warnings\n\n" + "\n".join(f"- {escape(warning)}" for warning in report.warnings)
    lineage = [
        (escape(name.replace("_", " ")), _code(str(value)))
        for name, value in version.lineage.items()
        if not isinstance(value, dict | list)
    ]
    libraries = version.lineage.get("library_versions", {})
    lineage += [(escape(name), _code(str(value))) for name, value in libraries.items()]
    lineage.append(("SHA\\-256 of the file", _code(version.file.sha256)))
    yield f"## Lineage\n\n{_table(('', ''), lineage)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows[:MAX_ROWS]]
    table = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
    more = len(rows) - MAX_ROWS
    return f"{table}\n\n{more} more in the report." if more > 0 else table


def _code(text: str) -> str:
    """Return a text as code, which Markdown shows as it is, also in a table."""
    plain = " ".join(text.split()).replace("|", "\\|")
    if not plain:
        return "(empty)"
    if "`" not in plain:
        return f"`{plain}`"
    return f"`` {plain} ``" if "``" not in plain else escape(text)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
