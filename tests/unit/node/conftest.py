"""A real node with a tiny model, and the `openai` client of whichever node a test has."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import openai
import pytest
import pytest_asyncio
from tests.support import node as nodes
from tests.support import tiny_models
from tests.support.node import Node


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny_models.qwen3(folder)
    return folder


@pytest.fixture(scope="module")
def node(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """For all tests of a file that leave it as it was."""
    with nodes.real(model, tmp_path_factory.mktemp("node"), "--cache-bytes", "4Mi") as running:
        running.wait_ready()
        yield running


@pytest.fixture
def client(node: Node) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{node.url}/v1", api_key="unused", max_retries=0) as made:
        yield made


@pytest_asyncio.fixture
async def async_client(node: Node) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{node.url}/v1", api_key="unused", max_retries=0) as made:
        yield made
