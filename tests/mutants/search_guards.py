"""The guards of the search and of what operators see of all users: nobody else finds what is not theirs."""

from typing import Final

from tests.mutants.mutant import Mutant

QUERIES: Final = "app/search/queries.py"
ROUTES: Final = "app/search/routes.py"
_FOREIGN: Final = "test_nobody_finds_what_belongs_to_others_except_public_models"


def _mutant(name: str, path: str, text: str, replacement: str, test: str) -> Mutant:
    return Mutant(f"search: {name}", path, text, replacement, (f"tests/search/test_routes.py::{test}",))


def _roles(name: str, path: str, text: str, replacement: str, test: str) -> Mutant:
    return Mutant(f"all owners: {name}", path, text, replacement, (f"tests/auth/test_roles.py::{test}",))


SEARCH_GUARDS: Final = (
    _mutant(
        "jobs and schedules of all",
        "app/core/sql.py",
        "        if owner_id is None:\n",
        "        if True:\n",
        _FOREIGN,
    ),
    _mutant(
        "models of all",
        QUERIES,
        " WHERE m.owner_id = :user_id",
        " WHERE :user_id::uuid IS NOT NULL",
        _FOREIGN,
    ),
    _mutant("private models", QUERIES, " WHERE m.visibility = 'public'", " WHERE true", _FOREIGN),
    _mutant(
        "names of datasets of all",
        QUERIES,
        'f"{_DATASET} WHERE d.owner_id = :owner_id"',
        'f"{_DATASET} WHERE :owner_id::uuid IS NOT NULL"',
        _FOREIGN,
    ),
    _mutant(
        "ids of datasets of all",
        QUERIES,
        "{_DATASET} WHERE d.owner_id = :owner_id AND d.id",
        "{_DATASET} WHERE :owner_id::uuid IS NOT NULL AND d.id",
        _FOREIGN,
    ),
    _mutant(
        "names of schedules of all",
        QUERIES,
        "f'{_SCHEDULE} WHERE s.owner_id = :owner_id'",
        "f'{_SCHEDULE} WHERE :owner_id::uuid IS NOT NULL'",
        _FOREIGN,
    ),
    _mutant(
        "models without the permission",
        ROUTES,
        "        if user.allows(Permission.MODELS_READ):",
        "        if True:",
        "test_a_key_finds_only_what_its_scopes_permit",
    ),
    _mutant(
        "datasets without the permission",
        ROUTES,
        "        if user.allows(Permission.DATASETS_READ):",
        "        if True:",
        "test_a_key_finds_only_what_its_scopes_permit",
    ),
    _roles(
        "every user streams them",
        "app/streams/routes.py",
        '    if scope == "all":\n        user.require(Permission.OPERATE)\n',
        "",
        "test_only_an_operator_streams_the_jobs_of_all_users",
    ),
    Mutant(
        "all owners: coalescing drops an end",
        "app/streams/owner_log.py",
        "if entry.event.is_final or newest[entry.event.job_id] is entry]",
        "if newest[entry.event.job_id] is entry]",
        (
            "tests/streams/test_owner_streams.py"
            "::test_coalescing_keeps_every_end_of_a_job_and_its_newest_event",
        ),
    ),
)
