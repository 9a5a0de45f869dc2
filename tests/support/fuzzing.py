"""Sends requests that schemathesis generates from the OpenAPI document and validates the responses.

The `default` responses ("any other error") are removed from the document first, because they would make any
status valid.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

EVENT_STREAM = "text/event-stream"
ANSWER_SECONDS = 40.0

CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without `default` responses."""
    stricter = copy.deepcopy(document)
    for operations in stricter["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("default")
    return stricter


class Fuzzer:
    """Sends generated requests, some with ids of existing resources, and validates the responses."""

    def __init__(
        self, url: str, document: dict[str, Any], headers: Mapping[str, str], known: Mapping[str, str]
    ) -> None:
        load_all_checks()
        self._url = url
        self._headers = dict(headers)
        self._known = known
        self._schema = schemathesis.openapi.from_dict(strict(document), config=SchemathesisConfig())
        self._session = requests.Session()
        self._session.trust_env = False
        self.statuses: set[tuple[str, int]] = set()

    def operations(self) -> Iterator[Any]:
        """Yield every operation of the document."""
        for result in self._schema.get_all_operations():
            assert isinstance(result, Ok), result
            yield result.ok()

    def run(self, operation: Any, *, examples: int) -> None:
        """Send `examples` valid and invalid requests of an operation."""
        # Created once, because creating a strategy takes longer than drawing from it.
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        strategies = {mode: operation.as_strategy(generation_mode=mode) for mode in modes}

        @settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        @given(st.data())
        def send_all(data: st.DataObject) -> None:
            mode = data.draw(st.sampled_from(modes))
            case: Case[Any] = data.draw(strategies[mode])
            for name, value in self._known.items():
                if name in (case.path_parameters or {}) and data.draw(st.booleans()):
                    case.path_parameters[name] = value
            self._send(case)

        send_all()

    def _send(self, case: Case[Any]) -> None:
        arguments = case.as_transport_kwargs(base_url=self._url, headers=self._headers)
        with self._session.request(**arguments, stream=True, timeout=ANSWER_SECONDS) as answer:
            self.statuses.add((case.operation.label, answer.status_code))
            assert answer.status_code < 500 or answer.status_code == 504, (
                case.as_curl_command(),
                answer.text,
            )
            if answer.headers.get("Content-Type", "").startswith(EVENT_STREAM):
                return  # the stream may not end
            case.validate_response(answer, checks=CHECKS)
