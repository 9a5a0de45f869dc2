"""Guards of the conversion of models."""

from typing import Final

from tests.mutants.mutant import Mutant

_COMPARISON: Final = "worker/conversions/comparison.py"
_PARTS: Final = "worker/conversions/parts.py"
_KIND: Final = "app/jobs/kinds/convert_model.py"


def _converting(test: str) -> tuple[str, ...]:
    return (f"tests/worker/conversions/test_conversions.py::{test}",)


def _asking(test: str) -> tuple[str, ...]:
    return (f"tests/jobs/test_conversions.py::{test}",)


CONVERSION_GUARDS: Final = (
    Mutant(
        "conversions: a model that differs is registered",
        _COMPARISON,
        "        if isinstance(other, RowError) or _deviation(one, other, scale) > 1:\n",
        "        if False:\n",
        _converting("test_a_model_that_predicts_something_else_is_refused"),
    ),
    Mutant(
        "conversions: a model that predicts nothing is registered",
        _COMPARISON,
        "    if not compared:\n",
        "    if False:\n",
        _converting("test_a_model_that_predicts_no_row_is_refused"),
    ),
    Mutant(
        "conversions: a label without its score",
        _COMPARISON,
        '    return max(largest, _excess(scores[one["label"]], scores[other["label"]]))\n',
        "    return largest\n",
        _converting("test_a_model_that_predicts_something_else_is_refused"),
    ),
    Mutant(
        "conversions: rare categories are unknown",
        _PARTS,
        "    if any(categories is not None for categories in encoder.infrequent_categories_):\n",
        "    if False:\n",
        _converting("test_groups_of_rare_categories_are_refused"),
    ),
    Mutant(
        "conversions: texts",
        _KIND,
        "    if texts:\n",
        "    if False:\n",
        _asking("test_what_cannot_be_converted_is_refused_before_the_job"),
    ),
    Mutant(
        "conversions: any runtime",
        _KIND,
        "    if model.runtime != formats.SKLEARN:\n",
        "    if False:\n",
        _asking("test_what_cannot_be_converted_is_refused_before_the_job"),
    ),
)
