"""Guards of uploads and downloads: forked processes, drafts of a CSV, and results in groups."""

from typing import Final

from tests.mutants.mutant import Mutant

_SERVER: Final = "app/core/forking/server.py"
_HANDLE: Final = "app/core/forking/fork_server.py"
_DRAFT: Final = "app/datasets/conversion/draft.py"


def _forking(test: str) -> tuple[str, ...]:
    return (f"tests/core/forking/test_fork_server.py::{test}",)


def _drafting(test: str) -> tuple[str, ...]:
    return (f"tests/datasets/conversion/test_draft.py::{test}",)


FORKING_GUARDS: Final = (
    Mutant(
        "forking: a process keeps the descriptors of others",
        _SERVER,
        '    os.closerange(_CONNECTION + 1, os.sysconf("SC_OPEN_MAX"))\n',
        "",
        _forking("test_a_process_has_no_secret_and_no_descriptor_of_another"),
    ),
    Mutant(
        "forking: the server inherits every variable",
        _HANDLE,
        "for name in _KEPT_VARIABLES if name in os.environ}",
        "for name in os.environ}",
        _forking("test_a_process_has_no_secret_and_no_descriptor_of_another"),
    ),
    Mutant(
        "forking: a process outlives its caller",
        _SERVER,
        "            self._selector.unregister(lifeline)\n            _kill(pid)\n",
        "            self._selector.unregister(lifeline)\n",
        _forking("test_a_process_is_gone_when_its_caller_was_cancelled"),
    ),
    Mutant(
        "forking: an answer of any length",
        _HANDLE,
        "            if left < 0:\n",
        "            if False:\n",
        _forking("test_an_answer_without_an_end_is_refused"),
    ),
    Mutant(
        "forking: a dead server is asked again",
        _HANDLE,
        "            if self._server is dead:",
        "            if False:",
        _forking("test_a_server_that_died_is_replaced"),
    ),
    Mutant(
        "forking: processes outlive their server",
        _SERVER,
        "            hardening.die_with_parent(signal.SIGKILL)\n",
        "",
        _forking("test_a_process_whose_server_died_is_run_once_more"),
    ),
    Mutant(
        "forking: the server outlives what started it",
        _SERVER,
        "            self._has_parent = False\n",
        "            pass\n",
        _forking("test_servers_and_processes_end_with_what_started_them_however_it_ends"),
    ),
    Mutant(
        "forking: a server with threads",
        "app/datasets/processes.py",
        '    "JE_ARROW_MALLOC_CONF": "background_thread:false",\n',
        "",
        (
            "tests/datasets/test_processes.py::test_the_server_has_one_thread_whatever_its_processes_have_done",
        ),
    ),
    Mutant(
        "conversion: it is not confined",
        "app/datasets/conversion/task.py",
        "    prepared.apply((), files=[Path(task.source)], scratch=Path(task.target).parent)\n",
        "",
        (
            "tests/datasets/test_processes.py"
            "::test_a_conversion_is_confined_before_it_opens_the_file_and_ends_with_its_client",
        ),
    ),
    Mutant(
        "results: a download reads on when it has ended",
        "app/jobs/exports/groups.py",
        "    async with aclosing(batches):\n",
        "    if True:\n",
        (
            "tests/jobs/exports/test_groups.py::test_no_more_than_one_group_is_read_ahead_and_none_after_the_end",
        ),
    ),
    Mutant(
        "results: a line is where a child says",
        "app/jobs/views.py",
        '    if not batch.output or b"\\r" in batch.output:\n',
        "    if not batch.output:\n",
        ("tests/jobs/exports/test_lines.py::test_lines_have_the_same_bytes_however_they_are_made",),
    ),
    Mutant(
        "csv: the first block decides the types",
        _DRAFT,
        "self._groups is None or not self._schema.equals(schema, check_metadata=True)",
        "self._groups is None",
        _drafting("test_a_file_has_the_types_and_cells_of_all_its_blocks"),
    ),
    Mutant(
        "csv: a draft decides why a file is refused",
        _DRAFT,
        "        except (pa.ArrowInvalid, Fault, OSError):\n",
        "        except (pa.ArrowInvalid, OSError):\n",
        _drafting("test_a_bad_row_is_told_before_too_many_rows"),
    ),
)
