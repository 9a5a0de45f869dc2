"""Every code with which the source ends an attempt has a fault: none is the user's by oversight."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import app.models.errors
import app.quotas.errors  # noqa: F401  # imported for their classes
from app.core.errors import AppError
from app.jobs import faults
from app.jobs.faults import Fault, fault_of
from app.jobs.shards import decisions

ROOT = Path(__file__).parents[2]

WITH_CODE = frozenset({"JobError", "FileFault", "Failure", "cls"})
"""Calls whose first argument is the code of an error. `cls` is that of Failure, in its constructors."""

IN_COMPLETIONS = ("app/models/commands.py", "app/quotas/service.py")
"""Modules that raise an AppError while a result is stored, besides the completions themselves."""


def text_of(node: ast.expr, constants: dict[str, str]) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name):
            return constants.get(name)
    return None


def constants_of(tree: ast.Module) -> dict[str, str]:
    """The strings that a module names at its top."""
    return {
        node.target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


def codes_in(source: str) -> Iterator[str]:
    """The codes that a module gives to the errors of attempts."""
    tree = ast.parse(source)
    constants = constants_of(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[first, _, *_]) if name in WITH_CODE:
                if (code := text_of(first, constants)) is not None:
                    yield code
            case ast.ClassDef(bases=[ast.Name(id="JobError")], body=body):
                yield from in_constructors(body)
            # The child turns what a handler raises into a code.
            case ast.Assign(
                targets=[ast.Tuple(elts=[ast.Name(id="code"), *_])],
                value=ast.Tuple(elts=[ast.Constant(value=str(code)), *_]),
            ):
                yield code
            case ast.keyword(
                arg="error", value=ast.Dict(keys=[ast.Constant(value="code"), *_], values=values)
            ):
                if (code := text_of(values[0], constants)) is not None:
                    yield code


def in_constructors(body: list[ast.stmt]) -> Iterator[str]:
    """The codes that the constructors of a class pass on to JobError."""
    for node in (found for statement in body for found in ast.walk(statement)):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="__init__", value=ast.Call(func=ast.Name(id="super"))),
                args=[ast.Constant(value=str(code)), *_],
            ):
                yield code


def app_errors(kind: type[AppError] = AppError) -> Iterator[type[AppError]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from app_errors(subclass)


def raised_in(path: Path) -> Iterator[str]:
    """The names of the classes that a module raises."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Raise(exc=ast.Call(func=ast.Name(id=name)) | ast.Name(id=name)):
                yield name


def codes_of_attempts() -> set[str]:
    found = {
        code
        for folder in ("worker", "app/jobs")
        for path in (ROOT / folder).rglob("*.py")
        for code in codes_in(path.read_text())
    }
    completions = [*(ROOT / "app/jobs").rglob("completion.py"), *(ROOT / name for name in IN_COMPLETIONS)]
    by_name = {error.__name__: error.code for error in app_errors()}
    of_parents = {decisions.SHARDS_FAILED, decisions.TOO_MANY_ROW_ERRORS}
    return found | of_parents | {by_name[name] for path in completions for name in raised_in(path)}


def test_each_code_in_the_source_has_a_fault_and_no_other_is_listed() -> None:
    assert codes_of_attempts() == faults.SYSTEM | faults.USER
    assert not faults.SYSTEM & faults.USER


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ('raise JobError("new", f"text {x}")', "new"),
        ('NEW: Final = "new"\nraise JobError(NEW, "text", is_retryable=False)', "new"),
        ('class New(JobError):\n def __init__(self): super().__init__("new", text)', "new"),
        ('code, message, is_retryable = "new", describe(error), True', "new"),
        ('raise FileFault("new", text, is_retryable=False)', "new"),
        ('return cls("new", text, True)', "new"),
        ('AttemptEnd(error={"code": "new", "message": "It was lost."})', "new"),
    ],
)
def test_a_new_code_would_be_noticed(source: str, code: str) -> None:
    assert list(codes_in(source)) == [code]


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("worker_lost", Fault.SYSTEM),
        ("child_died", Fault.SYSTEM),
        ("storage_unavailable", Fault.SYSTEM),
        ("bad_input", Fault.USER),
        ("memory_limit", Fault.USER),
        ("code_of_a_plugin", Fault.USER),
    ],
)
def test_operators_answer_for_the_system_and_users_for_the_rest(code: str, fault: Fault) -> None:
    assert fault_of(code) is fault
