"""The generated pages of docs/reference, where they hold words that somebody wrote by hand."""

import re
from pathlib import Path

import yaml
from dev import http_page, node_page, reference
from tests.support import builders

from kvring_node.web import completions

NODE = Path(__file__).parents[3] / "node/src/kvring_node"
PAGE = http_page.page()


def test_flags_that_the_operator_gives_are_marked_and_no_others() -> None:
    model = {"uri": "hf://organisation/name", "maxModelLen": 64}
    manifest = builders.desired(model=model).template.manifest
    args = manifest["spec"]["containers"][0]["args"]

    assert {flag.removeprefix("--").replace("-", "_") for flag in args[::2]} == node_page.IN_A_POOL.keys()


def test_fields_that_the_page_of_flags_names_are_in_the_crd() -> None:
    schema = yaml.safe_load(reference.CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    known = {path for path, _ in reference.fields("spec", schema["properties"]["spec"])}

    assert set(re.findall(r"`(spec\.[\w.]+)`", " ".join(node_page.IN_A_POOL.values()))) <= known


def test_every_link_on_the_http_page_has_its_section() -> None:
    titles = re.findall(r"^#+ (.*)$", PAGE, re.M)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    linked = set(re.findall(r"\]\(#([^)]+)\)", PAGE))

    assert linked
    assert linked <= anchors


def test_every_error_code_is_on_the_http_page() -> None:
    sources = [
        path.read_text() for path in (*NODE.glob("web/*.py"), NODE / "prompts.py", NODE / "generation.py")
    ]
    given = re.findall(
        r'code="(\w+)"|InvalidAsk\([^()]*(?:\([^()]*\)[^()]*)*"(\w+)",?\s*\)', "\n".join(sources)
    )
    codes = {one or other for one, other in given}

    assert "context_length_exceeded" in codes
    assert codes - {"client_gone"} <= set(re.findall(r"`(\w+)`", PAGE)), "nobody reads client_gone"


def test_the_length_of_a_completion_that_asks_for_none_is_on_the_page() -> None:
    assert f"{completions.DEFAULT_MAX_TOKENS} when left out" in PAGE
