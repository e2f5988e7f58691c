"""`plan -f FILE` without a cluster."""

from pathlib import Path

import pytest
import yaml
from tests.support import builders

from kvring_operator import plan_cli


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "chat.yaml"
    path.write_text(yaml.safe_dump(builders.body(2, cache={"quantization": "Int8"})))
    return path


def test_actions_are_printed_with_reasons(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan_cli.main(["-f", str(file)]) == 0

    printed = capsys.readouterr().out
    assert "Pod/chat-1-1" in printed
    assert "because slot 1 has no pod" in printed
    assert "spec.cache.quantization" in printed


def test_manifests_are_yaml_that_can_be_applied(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan_cli.main(["-f", str(file), "-o", "yaml", "--image", "mine:1"]) == 0

    made = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [body["kind"] for body in made] == ["Service", "Service", "PodDisruptionBudget", "Pod", "Pod"]
    assert made[-1]["spec"]["containers"][0]["image"] == "mine:1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: Pod\napiVersion: v1\nmetadata: {name: a}", "is not InferenceCluster"),
        (yaml.safe_dump(builders.body(model={"uri": "ftp://x"})), "spec.model.uri"),
        ("a: [", "while parsing"),
    ],
)
def test_a_wrong_file_is_refused_with_the_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)

    assert plan_cli.main(["-f", str(path)]) == 1
    assert said in capsys.readouterr().err


def test_a_missing_file_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan_cli.main(["-f", "/nowhere.yaml"]) == 1
    assert "/nowhere.yaml" in capsys.readouterr().err
