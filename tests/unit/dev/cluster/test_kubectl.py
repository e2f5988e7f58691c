"""What people are told to type."""

from pathlib import Path

import pytest
from dev.cluster import kubectl, layout


def test_the_line_for_a_shell_goes_past_its_proxy(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "")
    plain = f"export KUBECONFIG={home}/run/admin.kubeconfig PATH={home}/bin:$PATH"
    assert kubectl.shell_line() == plain

    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert kubectl.shell_line() == f"{plain} NO_PROXY=127.0.0.1,{','.join(layout.RANGES)}"
