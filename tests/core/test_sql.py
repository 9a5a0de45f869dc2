"""Named parameters become the numbered ones of Postgres."""

from uuid import UUID, uuid4

import pytest

from app.core.resources import Resources
from app.core.sql import RowSet, ScopedStatement, Statement


def test_each_name_gets_a_number_in_the_order_in_which_it_appears() -> None:
    statement = Statement("SELECT :second, :first, :second")

    assert statement.text == "SELECT $1, $2, $1"
    assert statement.arguments({"first": 1, "second": 2}) == [2, 1]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id::text, data :: jsonb FROM jobs",
        "SELECT ':name', 'it''s :name'",
        'SELECT ":name"',
        "SELECT 1 -- of :name",
        "SELECT 1 /* of\n:name */",
        "SELECT ARRAY[1, 2][1:2]",
    ],
)
def test_what_is_no_parameter_is_left_alone(text: str) -> None:
    assert Statement(text).text == text


@pytest.mark.parametrize("parameters", [{}, {"job_id": 1, "jobid": 2}, {"jobid": 1}])
def test_parameters_that_are_missing_or_unknown_are_named(parameters: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"missing or unknown parameters: (job_id|jobid)"):
        Statement("SELECT * FROM jobs WHERE id = :job_id").arguments(parameters)


async def test_a_statement_runs_with_values_and_with_rows(resources: Resources) -> None:
    pairs = RowSet("pair", id="uuid", number="int")
    statement = Statement(
        f"SELECT pair.id, pair.number * :factor::int AS product FROM {pairs.sql} ORDER BY pair.number"
    )
    first, second = uuid4(), uuid4()

    parameters = pairs.parameters([{"id": first, "number": 1}, {"number": 2, "id": second}])

    async with resources.database.connection() as connection:
        rows = await statement.fetch(connection, factor=10, **parameters)
        none = await statement.fetchrow(connection, factor=10, **pairs.parameters([]))

    assert [tuple(row) for row in rows] == [(first, 10), (second, 20)]
    assert none is None


@pytest.mark.parametrize("row", [{"id": 1}, {"id": 1, "number": 2, "more": 3}, {"id": 1, "nummer": 2}])
def test_a_row_with_other_columns_is_refused(row: dict[str, int]) -> None:
    with pytest.raises((KeyError, TypeError)):
        RowSet("pair", id="uuid", number="int").parameters([row])


async def test_a_scoped_statement_is_about_one_owner_or_about_all(resources: Resources) -> None:
    statement = ScopedStatement.of(
        lambda owned: (
            f"SELECT name FROM (VALUES (:one::uuid, 'a'), (:other::uuid, 'b')) v (id, name)"
            f" WHERE {owned} name <> :without ORDER BY name"
        ),
        column="v.id",
    )
    one, other = uuid4(), uuid4()

    async def names(owner_id: UUID | None) -> list[str]:
        async with resources.database.connection() as connection:
            rows = await statement.fetch(connection, owner_id, one=one, other=other, without="c")
        return [row["name"] for row in rows]

    assert [await names(owner_id) for owner_id in (one, other, uuid4(), None)] == [
        ["a"],
        ["b"],
        [],
        ["a", "b"],
    ]
