"""The brain runs without torch: held by asking a fresh interpreter what an import brought along."""

import subprocess
import sys

import pytest

BRAIN = [
    "kvring_node.messages",
    "kvring_node.sequence",
    "kvring_node.batch",
    "kvring_node.pages.pool",
    "kvring_node.pages.table",
    "kvring_node.pages.prefix",
    "kvring_node.engine.engine",
    "kvring_node.engine.completions",
    "kvring_node.engine.scheduler",
    "kvring_node.engine.strategies.registry",
    "kvring_node.engine.options",
    "kvring_node.engine.process",
    "kvring_node.model.tokenizer",
    "kvring_node.assembly",
]


def imports_torch(module: str) -> bool:
    program = f"import sys, {module}; print('torch' in sys.modules)"
    return (
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        ).stdout.strip()
        == "True"
    )


@pytest.mark.parametrize("module", BRAIN)
def test_torch_does_not_come_along_with(module: str) -> None:
    assert not imports_torch(module)


def test_the_question_can_be_answered_with_yes() -> None:
    assert imports_torch("kvring_node.runner")
