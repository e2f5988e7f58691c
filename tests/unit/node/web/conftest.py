from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import node as nodes

KEY = b"the pool's key"


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("internal") / "key"
    path.write_bytes(KEY)
    return path


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory, key_file: Path) -> Iterator[nodes.Node]:
    """One echoing node for all tests that leave it as it was. Its model takes 512 tokens, one a byte."""
    folder = tmp_path_factory.mktemp("node")
    with nodes.fake(folder, "--internal-key-file", str(key_file), "--pod", "chat-0-1") as running:
        running.wait_ready()
        yield running
