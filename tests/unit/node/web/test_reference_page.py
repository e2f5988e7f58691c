"""docs/reference/http.md leaves out no route that a node has."""

from dev import http_page
from tests.support.node import Node


def test_every_route_is_on_the_page(node: Node) -> None:
    routes = node.http.get("/openapi.json").json()["paths"]
    page = http_page.page()
    public = {path.replace("{name}", "NAME") for path in routes if not path.startswith("/internal/")}

    assert "/v1/completions" in public
    assert not [path for path in public if f"`{path}`" not in page and f"## POST {path}\n" not in page]


def test_items_of_a_batch_are_described(node: Node) -> None:
    schemas = node.http.get("/openapi.json").json()["components"]["schemas"]

    assert schemas["BatchRequest"]["properties"]["requests"]["items"] == {
        "$ref": "#/components/schemas/GenerateRequest"
    }
    assert schemas["BatchResponse"]["properties"]["responses"]["items"]["anyOf"]
