import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from dev import failure, images, registry

BASE = "base:1"
DOCKERFILE = "ARG BASE\nFROM ${BASE} AS deps\nRUN install\n\nFROM deps\nCOPY contract/src/ node/src/ /app/\n"


@pytest.fixture
def image(tmp_path: Path) -> images.Image:
    """A node of two source files."""
    for name, text in {
        "contract/src/kvring_contract/ring.py": "ring",
        "node/src/kvring_node/__main__.py": "main",
        "node/Dockerfile": DOCKERFILE,
        "node/requirements.lock": "torch==1",
        "operator/src/kvring_operator/plan.py": "plan",
    }.items():
        _write(tmp_path / name, text)
    return images.Image("node", tmp_path)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("contract/src/kvring_contract/ring.py", "another ring"),
        ("node/src/kvring_node/new.py", ""),
        ("node/Dockerfile", DOCKERFILE + "USER 65532\n"),
        ("node/requirements.lock", "torch==2"),
    ],
)
def test_the_tag_changes_with_everything_the_image_is_made_from(
    image: images.Image, path: str, text: str
) -> None:
    before = images.tag(image, BASE)

    _write(image.root / path, text)

    assert images.tag(image, BASE) != before


def test_the_tag_changes_with_the_base_and_when_a_file_is_renamed(image: images.Image) -> None:
    before = images.tag(image, BASE)
    assert images.tag(image, "base:2") != before

    source = image.root / "node/src/kvring_node/__main__.py"
    source.rename(source.with_name("main.py"))

    assert images.tag(image, BASE) != before


def test_the_tag_stays_when_only_compiled_files_or_the_other_image_change(image: images.Image) -> None:
    before = images.tag(image, BASE)

    _write(image.root / "node/src/kvring_node/__pycache__/ring.pyc", "compiled")
    _write(image.root / "operator/src/kvring_operator/plan.py", "another plan")

    assert images.tag(image, BASE) == before


def test_a_tag_is_never_taken_for_a_number(image: images.Image) -> None:
    assert not images.tag(image, BASE)[0].isdigit()


@pytest.mark.parametrize(
    ("path", "text", "is_made_again"),
    [
        ("node/src/kvring_node/__main__.py", "other code", False),
        ("node/Dockerfile", DOCKERFILE + "USER 65532\n", False),
        ("node/Dockerfile", DOCKERFILE.replace("RUN install", "RUN install --all"), True),
        ("node/requirements.lock", "torch==2", True),
    ],
)
def test_dependencies_are_made_again_only_for_their_lock_or_their_own_stage(
    image: images.Image, path: str, text: str, is_made_again: bool
) -> None:
    before = images.dependencies_tag(image, BASE)

    _write(image.root / path, text)

    assert (images.dependencies_tag(image, BASE) != before) == is_made_again


@pytest.mark.parametrize("image", images.BY_NAME.values(), ids=list(images.BY_NAME))
def test_our_dockerfiles_name_no_registry_and_run_as_nobody_in_particular(image: images.Image) -> None:
    lines = image.dockerfile.read_text().splitlines()
    (default,) = [line.removeprefix("ARG BASE=") for line in lines if line.startswith("ARG BASE=")]

    assert "/" not in default
    stages = [line for line in lines if line.startswith("FROM")]
    assert set(stages) <= {"FROM ${BASE} AS kernels", "FROM ${BASE} AS deps", "FROM deps"}
    assert stages[-1] == "FROM deps", "nothing that only builds is in the image"
    assert "USER 65532:65532" in lines


class _Registry(BaseHTTPRequestHandler):
    """Knows some tags; two of them stand for the same image."""

    MANIFESTS = "/v2/kvring/node/manifests/"
    digests: ClassVar[dict[str, str]] = {}

    def do_HEAD(self) -> None:
        digest = self.digests.get(self.path.removeprefix(self.MANIFESTS))
        self.send_response(200 if digest and "oci.image" in self.headers["Accept"] else 404)
        self.send_header("Docker-Content-Digest", digest or "")
        self.end_headers()

    def do_GET(self) -> None:
        assert self.path == "/v2/kvring/node/tags/list"
        body = json.dumps({"name": "kvring/node", "tags": list(self.digests) or None}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_DELETE(self) -> None:
        digest = self.path.removeprefix(self.MANIFESTS)
        for tag in [tag for tag, held in self.digests.items() if held == digest]:
            del self.digests[tag]
        self.send_response(202)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    """Of a registry that knows `kvring/node:src-1` and a few more."""
    _Registry.digests = {"src-1": "sha256:1", "old": "sha256:1", "older": "sha256:0", "oldest": "sha256:00"}
    with ThreadingHTTPServer(("127.0.0.1", 0), _Registry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_registry_is_asked_whether_it_holds_a_tag(address: str) -> None:
    assert registry.holds(address, "kvring/node", "src-1")
    assert not registry.holds(address, "kvring/node", "src-2")


def test_a_registry_forgets_all_tags_but_some_and_what_these_stand_for(address: str) -> None:
    assert registry.keep_only(address, "kvring/node", ["src-1", "never-pushed"])
    assert _Registry.digests == {"src-1": "sha256:1", "old": "sha256:1"}

    assert not registry.keep_only(address, "kvring/node", ["src-1"]), "there is nothing more to forget"


def test_a_registry_without_tags_has_nothing_to_forget(address: str) -> None:
    _Registry.digests = {}
    assert not registry.keep_only(address, "kvring/node", [])


def test_a_registry_that_does_not_answer_is_a_failure_with_a_remedy(address: str) -> None:
    free_port = "127.0.0.1:1"

    with pytest.raises(failure.Failure, match="make up"):
        registry.holds(free_port, "kvring/node", "src-1")


def test_images_for_a_registry_of_ones_own_need_something_to_build_with(
    image: images.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(failure.Failure, match="docker, podman, buildah"):
        images.build(image, {"IMAGES": "registry.example/team"})


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
