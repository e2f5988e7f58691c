"""Other people's programs."""

import pytest
from dev import commands, failure

LOCAL = "127.0.0.1,10.250.0.0/16,10.244.0.0/16,10.96.0.0/16"


@pytest.mark.parametrize(
    ("case", "env", "exceptions"),
    [
        ("no proxy needs no exceptions", {"NO_PROXY": "corp"}, "corp"),
        ("a proxy that is named and empty is none", {"HTTPS_PROXY": ""}, None),
        ("a proxy", {"HTTPS_PROXY": "http://proxy:3128"}, LOCAL),
        ("a proxy and exceptions of the user", {"http_proxy": "p", "no_proxy": "corp"}, f"corp,{LOCAL}"),
        (
            "both spellings: programs read the upper one first",
            {"all_proxy": "p", "NO_PROXY": "a", "no_proxy": "b"},
            f"a,{LOCAL}",
        ),
    ],
)
def test_no_proxy_stands_before_the_local_cluster(case, env, exceptions) -> None:
    assert commands.past_proxies(env).get("NO_PROXY") == exceptions, case


def test_programs_are_run_so() -> None:
    seen = commands.run(["env"], env={"PATH": "/usr/bin:/bin", "HTTPS_PROXY": "http://proxy:3128"})
    assert f"NO_PROXY={LOCAL}" in seen.splitlines()
    assert f"no_proxy={LOCAL}" in seen.splitlines()


def test_what_a_program_complained_about_is_told() -> None:
    with pytest.raises(failure.Failure, match="exited with 3: no such thing") as failed:
        commands.run(["sh", "-c", "echo no such thing >&2; exit 3"], remedy="look again")
    assert failed.value.remedy == "look again"
