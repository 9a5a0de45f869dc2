"""Guards of traces: who decides, what is exported, and that they are never in the way."""

from typing import Final

from tests.mutants.mutant import Mutant

PROVIDER: Final = "app/core/tracing/provider.py"
EXPORT: Final = "app/core/tracing/export.py"
SPANS: Final = "worker/spans.py"


def _provider(test: str) -> str:
    return f"tests/core/tracing/test_provider.py::{test}"


def _export(test: str) -> str:
    return f"tests/core/tracing/test_export.py::{test}"


def _spans(test: str) -> str:
    return f"tests/worker/test_spans.py::{test}"


def _stories(test: str) -> str:
    return f"tests/monitoring/test_traces.py::{test}"


MUTANTS: Final = (
    Mutant(
        "traces: any client decides whether it is sampled",
        PROVIDER,
        "(not parent.is_remote or tracing.trusts_client())",
        "True",
        (_provider("test_a_share_of_0_takes_none_and_of_1_all_whatever_an_unknown_client_says"),),
    ),
    Mutant(
        "traces: a token that is not verified counts",
        "app/main.py",
        "            state.auth.tokens.verify_access(token)\n",
        "            pass\n",
        (_stories("test_the_sampled_flag_of_a_client_that_is_not_signed_in_does_not_count"),),
    ),
    Mutant(
        "traces: paths and queries are exported",
        PROVIDER,
        "        if kind is SpanKind.SERVER and attributes is not None:",
        "        if False:",
        (_provider("test_a_request_starts_without_what_its_client_wrote"),),
    ),
    Mutant(
        "traces: streams are traced",
        "app/http/traces.py",
        'str(scope["path"]).endswith(_NOT_TRACED)',
        "False",
        (_stories("test_streams_probes_and_scrapes_have_no_spans"),),
    ),
    Mutant(
        "traces: the text of an exception is exported",
        PROVIDER,
        "            record_exception=False,",
        "            record_exception=True,",
        (_spans("test_a_child_that_dies_in_a_phase_leaves_its_span"),),
    ),
    Mutant(
        "traces: a handler's code is exported whatever it is",
        PROVIDER,
        'error_type if _CODE.fullmatch(error_type) else "other"',
        "error_type",
        (_spans("test_the_code_of_a_failure_is_exported_only_if_it_is_a_code"),),
    ),
    Mutant(
        "traces: a job forgets its submission",
        "app/jobs/service.py",
        "        new = replace(new, trace_context=send.trace_context)\n",
        "",
        (_stories("test_a_small_job_has_three_spans_and_its_attempt_links_to_its_submission"),),
    ),
    Mutant(
        "traces: a replay is a submission",
        "app/jobs/service.py",
        "                send.is_replay = True\n",
        "",
        (_stories("test_the_replay_of_a_submission_sends_nothing"),),
    ),
    Mutant(
        "traces: the queue of spans grows",
        EXPORT,
        "        if self._is_stopping or len(self._spans) >= self._max_spans:",
        "        if self._is_stopping:",
        (_export("test_a_full_queue_drops_the_newest_and_counts_it"),),
    ),
    Mutant(
        "traces: spans that the collector does not take are not counted",
        EXPORT,
        "                metrics.SPANS_DROPPED.inc(len(batch))\n",
        "",
        (_export("test_a_collector_that_is_away_costs_one_line_and_one_more_when_it_is_back"),),
    ),
    Mutant(
        "traces: a stop waits for a collector that does not answer",
        EXPORT,
        "        self._thread.join(0 if self._is_away else seconds)",
        "        self._thread.join()",
        (_export("test_a_collector_that_does_not_answer_does_not_keep_the_process_from_stopping"),),
    ),
    Mutant(
        "traces: each failed export is logged",
        EXPORT,
        "        if not was_away and now - self._logged_at >= self._quiet_seconds:",
        "        if True:",
        (_export("test_a_collector_that_is_away_costs_one_line_and_one_more_when_it_is_back"),),
    ),
    Mutant(
        "traces: a child sends phases without end",
        SPANS,
        " or self._count >= MAX_PHASES",
        "",
        (_spans("test_a_child_cannot_send_phases_without_end"),),
    ),
    Mutant(
        "traces: a child sets the clock",
        SPANS,
        "        return min(max(at_ns, self._since_ns), time_ns())",
        "        return at_ns",
        (_spans("test_the_times_of_a_child_are_kept_within_its_attempt"),),
    ),
    Mutant(
        "secrets: a collector's key reaches children",
        "app/core/hardening.py",
        '"OTEL_", ',
        "",
        ("tests/core/test_hardening.py::test_what_looks_like_a_secret_reaches_no_child",),
    ),
)
