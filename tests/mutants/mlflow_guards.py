"""Guards of MLflow model directories."""

from typing import Final

from tests.mutants.mutant import Mutant

_UNPACKING: Final = "app/models/mlflow/unpacking.py"
_EXPORTING: Final = "app/models/mlflow/exporting.py"


def _unpacking(test: str) -> tuple[str, ...]:
    return (f"tests/models/mlflow/test_unpacking.py::{test}",)


def _exporting(test: str) -> tuple[str, ...]:
    return (f"tests/models/mlflow/test_exporting.py::{test}",)


MLFLOW_GUARDS: Final = (
    Mutant(
        "mlflow: a model of any size is unpacked",
        _UNPACKING,
        "        if member.file_size > limit_bytes:\n",
        "        if False:\n",
        _unpacking("test_a_model_that_unpacks_to_more_than_the_limit_is_refused"),
    ),
    Mutant(
        "mlflow: what is unpacked needs no room",
        _UNPACKING,
        "        reserve(member.file_size)\n",
        "",
        _unpacking("test_the_file_beside_the_description_is_the_model"),
    ),
    Mutant(
        "mlflow: a file of another folder is the model",
        _UNPACKING,
        "if PurePosixPath(member.filename).parent == directory]",
        "]",
        _unpacking("test_the_file_beside_the_description_is_the_model"),
    ),
    Mutant(
        "mlflow: a pickle is broken, not unsafe",
        _UNPACKING,
        "    if any(member.filename.endswith(_PICKLES) for member in beside):\n",
        "    if False:\n",
        _unpacking("test_a_pickle_is_refused_with_advice"),
    ),
    Mutant(
        "mlflow: a model of dates takes a frame",
        _EXPORTING,
        'return "date" not in contents and',
        "return",
        _exporting("test_a_model_trained_here_is_a_python_function_if_it_takes_a_frame"),
    ),
    Mutant(
        "mlflow: boosting over categories takes a frame",
        _EXPORTING,
        ' and not (is_boosting and "category" in contents)',
        "",
        _exporting("test_a_model_trained_here_is_a_python_function_if_it_takes_a_frame"),
    ),
    Mutant(
        "mlflow: a model of one text takes a frame",
        _EXPORTING,
        '[column.type for column in version.columns] == ["text"]',
        "not version.columns",
        _exporting("test_a_model_that_does_not_take_a_frame_is_not_a_python_function"),
    ),
)
