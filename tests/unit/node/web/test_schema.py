"""What /openapi.json promises is what clients get: schemathesis makes requests from it, good and bad."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks
from tests.support.node import Node

EXAMPLES = 60


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_one_that_the_document_promises(node: Node, mode: GenerationMode) -> None:
    """Some requests that follow the document are refused all the same: fields may exclude each other."""
    document = schemathesis.openapi.from_url(f"{node.url}/openapi.json")
    for found in document.get_all_operations():
        assert isinstance(found, Ok), "the document can be read"
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not operation.body:
            continue

        @settings(
            max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
        )
        @given(operation.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(
                timeout=30, excluded_checks=[checks.positive_data_acceptance, *_waived(case)]
            )

        ask()


def _waived(case: schemathesis.Case) -> list[Any]:
    """A batch answers 200, and refuses each of its requests by itself."""
    return [checks.negative_data_rejection] if case.operation.path == "/v1/batch" else []
