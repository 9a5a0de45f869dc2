"""The guards of the Python client."""

from typing import Final

from tests.mutants.mutant import Mutant

DOWNLOADING: Final = "app/client/downloading.py"
EXCHANGE: Final = "app/client/exchange.py"
MODELS: Final = "app/client/models.py"
TRAININGS: Final = "app/client/trainings.py"

CLIENT_GUARDS: Final = (
    Mutant(
        "client: a download continues with another version of the file",
        DOWNLOADING,
        "if position and response.status != HTTPStatus.PARTIAL_CONTENT:",
        "if False:",
        (
            "tests/client/test_datasets.py"
            "::test_an_interrupted_download_continues_with_the_rest_of_the_same_file",
        ),
    ),
    Mutant(
        "client: a deletion whose response was lost is an error",
        EXCHANGE,
        "            if not retry_state.failures:\n                raise",
        "            raise",
        ("tests/client/test_datasets.py::test_a_dataset_that_a_lost_request_has_deleted_is_no_error",),
    ),
    Mutant(
        "client: the model of another user means the model of the same name of this one",
        MODELS,
        "    if reference.owner is not None:\n        raise",
        "    if False:\n        raise",
        ("tests/client/test_models.py::test_the_reference_to_a_model_of_another_user_changes_none_of_yours",),
    ),
    Mutant(
        "client: the cancel of a search cancels any group",
        TRAININGS,
        "        yield from self.search(search)  # another group is not cancelled by mistake\n",
        "",
        ("tests/client/test_trainings.py::test_a_group_that_is_no_search_is_not_cancelled",),
    ),
)
