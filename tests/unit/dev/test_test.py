"""`make test` and its part on the cluster."""

import pytest
from dev import test as make_test


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param([], False, id="nothing said: all tests on the cluster"),
        pytest.param(["-k", "scale"], False, id="a word to look for is no file"),
        pytest.param(["-k", "node"], False, id="not even where a folder is called so"),
        pytest.param(["-x", "--lf"], False, id="options are no files"),
        pytest.param(["tests/cluster/test_helm.py"], True, id="a file"),
        pytest.param(["-x", "tests/cluster/test_helm.py::test_it"], True, id="one test of a file"),
        pytest.param(["tests/cluster/test_no_such.py"], True, id="a file that is not there: pytest says so"),
    ],
)
def test_named_tests_are_run_alone(arguments, expected) -> None:
    assert make_test.names_tests(arguments) is expected
