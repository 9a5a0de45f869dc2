"""Guards of the descriptions and tags of models."""

from typing import Final

from tests.mutants.mutant import Mutant

_QUERIES: Final = "app/models/queries.py"


def _test(name: str) -> tuple[str, ...]:
    return (f"tests/models/test_descriptions.py::{name}",)


DESCRIPTION_GUARDS: Final = (
    Mutant(
        "descriptions: models of any tag",
        _QUERIES,
        "            AND m.tags @> coalesce(:tags::jsonb, '{{}}')\n",
        "            AND coalesce(:tags::jsonb, '{{}}') IS NOT NULL\n",
        _test("test_lists_are_filtered_by_tags"),
    ),
    Mutant(
        "descriptions: versions of any tag",
        _QUERIES,
        "            AND v.tags @> coalesce(:tags::jsonb, '{{}}')\n",
        "            AND coalesce(:tags::jsonb, '{{}}') IS NOT NULL\n",
        _test("test_lists_are_filtered_by_tags"),
    ),
    Mutant(
        "descriptions: a version that does not exist is changed",
        "app/models/commands.py",
        "    if changed is None:\n",
        "    if False:\n",
        _test("test_a_version_that_does_not_exist_is_not_changed"),
    ),
    Mutant(
        "descriptions: a change of nothing",
        "app/models/schemas.py",
        "        if not self.model_fields_set:\n",
        "        if False:\n",
        _test("test_what_is_too_long_or_unknown_is_refused"),
    ),
    Mutant(
        "descriptions: any number of tags",
        "app/models/schemas.py",
        "Annotated[dict[TagKey, TagValue], at_most(MAX_TAGS)]",
        "dict[TagKey, TagValue]",
        _test("test_what_is_too_long_or_unknown_is_refused"),
    ),
)
