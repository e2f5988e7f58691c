from pathlib import Path

import pytest
from dev import paths


@pytest.mark.parametrize(
    ("environment", "home"),
    [
        ({"KVRING_HOME": "/srv/kvring", "XDG_CACHE_HOME": "/c"}, "/srv/kvring"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/kvring"),
        ({"HOME": "/home/ada"}, "/home/ada/.cache/kvring"),
        ({"HOME": "/home/ada", "KVRING_HOME": "~/k"}, "/home/ada/k"),
    ],
)
def test_home_is_chosen_or_in_the_cache(environment: dict[str, str], home: str, monkeypatch) -> None:
    for name in ("KVRING_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert paths.home() == Path(home)


def test_what_lasts_lies_outside_of_what_down_removes(home: Path) -> None:
    lasting = [paths.binaries(), paths.built("x", "y"), paths.registry(), paths.pulled("m1"), paths.models()]
    assert all(home in path.parents for path in lasting)
    assert not any(path.is_relative_to(paths.run()) for path in lasting)
