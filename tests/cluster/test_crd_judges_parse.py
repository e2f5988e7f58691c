"""The API server judges `api.parse`: hypothesis writes specs, both read them, and they must agree."""

import hypothesis
import pytest
from tests.support import kube, specs, wild_specs

from kvring_contract import api as contract

pytestmark = pytest.mark.cluster


def parsed(manifest: kube.Object) -> contract.InferenceCluster | contract.ParseError:
    try:
        return contract.parse(manifest)
    except contract.ParseError as error:
        return error


def judged(api: kube.Api, manifest: kube.Object) -> kube.Object | kube.Refused:
    try:
        return api.create(manifest, dry_run=True)
    except kube.Refused as refused:
        return refused


@hypothesis.settings(max_examples=400, deadline=None)
@hypothesis.given(spec=wild_specs.specs())
def test_both_accept_and_fill_in_the_same_or_both_refuse(api: kube.Api, spec: kube.Object) -> None:
    manifest = specs.cluster(spec)
    ours, theirs = parsed(manifest), judged(api, manifest)
    assert isinstance(ours, contract.ParseError) == isinstance(theirs, kube.Refused), (ours, theirs)
    if isinstance(ours, contract.InferenceCluster) and not isinstance(theirs, kube.Refused):
        assert contract.parse(theirs).spec == ours.spec
