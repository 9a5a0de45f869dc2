"""What the conformance suites of kinds and completions need to know."""

from typing import Final

from tests.conformance.cases import CompletionCase, KindCase

REQUEST: Final = {"labels": ["a", "b", "a", "a"], "columns": ["x"], "model": "baseline"}
RESULT: Final = {"classes": ["a", "b"], "labels": 4}

KIND_CASES: Final = {"fit_constant": KindCase(request=REQUEST, result=RESULT)}

COMPLETION_CASES: Final = {
    "fit_constant": CompletionCase(
        params={"columns": ["x"], "model": "baseline"},
        result=RESULT,
        stored={**RESULT, "model": "baseline@1"},
        artifacts=("model",),
        count="SELECT count(*) FROM model_versions",
    )
}
