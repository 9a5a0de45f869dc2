"""The guards of the metrics and the log of one process."""

from typing import Final

from tests.mutants.mutant import Mutant

METRICS: Final = "app/core/metrics.py"
MIDDLEWARE: Final = "app/http/middleware.py"
DATABASE: Final = "app/core/database.py"
METER: Final = "app/streams/meter.py"

_REQUESTS: Final = "tests/http/test_middleware.py::"
_METRICS_TESTS: Final = "tests/core/test_metrics.py::"
_LAGS: Final = (
    "tests/streams/test_meter.py::test_the_lag_of_an_event_is_its_age_unless_the_client_asked_for_history"
)

MUTANTS: Final = (
    Mutant(
        "metrics: a series for each method that a route does not have",
        "app/http/request_metrics.py",
        "method if is_known else OTHER",
        "method",
        (_REQUESTS + "test_a_thousand_unknown_paths_and_made_up_methods_make_one_series_each",),
    ),
    Mutant(
        "metrics: a wait on purpose counts as slow",
        MIDDLEWARE,
        "is_timed=_HAS_WAITED not in scope",
        "is_timed=True",
        (_REQUESTS + "test_a_request_that_waits_on_purpose_is_counted_and_not_timed",),
    ),
    Mutant(
        "metrics: the multiprocess mode is accepted",
        METRICS,
        "        if name in os.environ:",
        "        if False:",
        (_METRICS_TESTS + "test_the_multiprocess_mode_is_refused",),
    ),
    Mutant(
        "metrics: the multiprocess mode leaves files",
        METRICS,
        "values.ValueClass = values.MutexValue\n",
        "",
        (_METRICS_TESTS + "test_a_process_in_multiprocess_mode_says_so_in_one_line_and_leaves_no_files",),
    ),
    Mutant(
        "metrics: the API shows busy slots",
        METRICS,
        "SLOTS_BUSY = OptionalGauge(",
        "SLOTS_BUSY = Gauge(",
        (_METRICS_TESTS + "test_a_process_that_is_no_worker_shows_no_gauges_of_a_worker",),
    ),
    Mutant(
        "metrics: an exhausted pool is a lost Postgres",
        DATABASE,
        '            _errors["pool"].inc()\n            return',
        '            _errors["pool"].inc()',
        ("tests/core/test_database.py::test_a_failure_is_counted_by_its_reason",),
    ),
    Mutant(
        "metrics: history is late",
        METER,
        "        if happened_at >= self._opened_at:",
        "        if True:",
        (_LAGS,),
    ),
    Mutant(
        "metrics: a lag below zero",
        METER,
        "max(0.0, self._wall() - happened_at)",
        "self._wall() - happened_at",
        (_LAGS,),
    ),
    Mutant(
        "metrics: a round of another process counts as done",
        "app/maintenance/loop.py",
        "                return RoundResult.LEFT",
        "                return RoundResult.DONE",
        ("tests/maintenance/test_loop.py::test_a_round_left_to_another_process_is_not_done",),
    ),
    Mutant(
        "metrics: a header that makes no sense is an error",
        "app/core/exposition.py",
        "    except TypeError:",
        "    except KeyError:",
        ("tests/core/test_exposition.py::test_a_header_that_makes_no_sense_is_no_error",),
    ),
    Mutant(
        "log: a handler writes without end",
        "worker/handler_log.py",
        "        if self.lines <= MAX_WORKER_LINES:",
        "        if True:",
        (
            "tests/worker/test_conversation.py::test_the_lines_of_a_handler_stop_at_a_limit_with_a_line_that_says_so",
        ),
    ),
    Mutant(
        "log: probes fill it",
        MIDDLEWARE,
        "log.debug if status < 300 and template in problems.UNLIMITED else log.info",
        "log.info",
        (_REQUESTS + "test_probes_and_scrapes_that_succeed_are_debug_records",),
    ),
)
