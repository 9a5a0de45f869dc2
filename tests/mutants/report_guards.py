"""Guards of reports, model cards and plots."""

from typing import Final

from tests.mutants.mutant import Mutant


def _report(test: str) -> tuple[str, ...]:
    return (f"tests/worker/training/reporting/test_report.py::{test}",)


def _drawing(test: str) -> tuple[str, ...]:
    return (f"tests/models/plots/test_drawing.py::{test}",)


REPORT_GUARDS: Final = (
    Mutant(
        "card: every reader gets the warnings and the lineage",
        "app/models/reports/card.py",
        "        *(_own(version, report) if version.is_own else ()),",
        "        *_own(version, report),",
        ("tests/models/reports/test_http.py::test_a_public_model_shows_its_card_but_not_its_report",),
    ),
    Mutant(
        "history: a link for every reader",
        "app/models/views.py",
        'history=f"{here}/history" if version.is_own and version.has_report else None,',
        'history=f"{here}/history" if version.has_report else None,',
        ("tests/models/reports/test_http.py::test_a_history_is_its_owners_alone",),
    ),
    Mutant(
        "card: a bar in a name starts another cell",
        "app/models/reports/card.py",
        """.replace("|", "\\\\|")""",
        "",
        ("tests/models/reports/test_card.py::test_names_of_columns_and_classes_cannot_change_the_layout",),
    ),
    Mutant(
        "report: the test rows choose the threshold",
        "worker/training/reporting/thresholds.py",
        "    chosen_on, chosen_scores = _of_class(positive, validation)",
        "    chosen_on, chosen_scores = _of_class(positive, test)",
        _report("test_the_threshold_is_chosen_on_validation_rows_and_measured_on_test_rows"),
    ),
    Mutant(
        "test dataset: a class that no training row has",
        "worker/training/own_test.py",
        "    if unknown:",
        "    if False:",
        ("tests/worker/training/test_own_test.py::test_a_test_dataset_that_does_not_fit_is_refused",),
    ),
    Mutant(
        "plots: any number of requests waits",
        "app/models/plots/plotter.py",
        "        if self._waiting >= self._limits.waiting:",
        "        if False:",
        _drawing("test_more_requests_than_may_wait_are_refused"),
    ),
    Mutant(
        "plots: all are kept",
        "app/models/plots/plotter.py",
        "        while self._drawn_bytes > self._limits.cache_bytes:",
        "        while False:",
        _drawing("test_the_plots_that_are_kept_have_a_limit"),
    ),
    Mutant(
        "plots: a dollar sign starts a formula",
        "app/models/plots/drawing/files.py",
        """    "text.parse_math": False,  # a dollar sign in a label starts no formula\n""",
        "",
        _drawing("test_labels_are_drawn_as_they_are"),
    ),
    Mutant(
        "plots: fonts of the machine",
        "app/models/plots/drawing/files.py",
        "if Path(font.fname).is_relative_to(bundled)]",
        "]",
        _drawing("test_only_fonts_that_matplotlib_brings_along_are_used"),
    ),
)
