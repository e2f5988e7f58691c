"""`plan -f FILE` without a cluster."""

import json
import subprocess
import sys
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


def test_manifests_of_two_resources_are_documents_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "both.yaml"
    path.write_text(yaml.safe_dump_all([builders.body(1), builders.body(0, name="other")]))

    assert plan_cli.main(["-f", str(path), "-o", "yaml"]) == 0
    made = [body["metadata"]["name"] for body in yaml.safe_load_all(capsys.readouterr().out)]
    assert made == ["chat", "chat-members", "chat", "chat-0-1", "other", "other-members", "other"]


def test_what_kubectl_printed_of_a_resource_is_read_like_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "got.yaml"
    meta = {"deletionTimestamp": "2027-01-15T08:00:00Z", "managedFields": [{"manager": "kubectl"}]}
    body = builders.body(1)
    status = {"ring": {"epoch": 3}, "conditions": [{"type": "Ready"}]}
    path.write_text(yaml.safe_dump({**body, "metadata": body["metadata"] | meta, "status": status}))

    assert plan_cli.main(["-f", str(path)]) == 0
    assert "default/chat: 1 members" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: Pod\napiVersion: v1\nmetadata: {name: a}", "is not InferenceCluster"),
        (yaml.safe_dump(builders.body(model={"uri": "ftp://x"})), "spec.model.uri"),
        ("a: [", "while parsing"),
        (
            yaml.safe_dump(
                builders.body(template={"spec": {"containers": [{"name": "node", "env": {"A": "b"}}]}})
            ),
            "spec.template.spec.containers[0].env: is not a list",
        ),
        (
            yaml.safe_dump({**builders.body(1), "spec": {"replica": 3, "model": {"uri": "pvc://m"}}}),
            "InferenceCluster chat: spec.replica: unknown field; did you mean spec.replicas?",
        ),
        (yaml.safe_dump({**builders.body(1), "apiVersion": "kvring.dev/v1"}), "is not kvring.dev/v1alpha1"),
        (
            yaml.safe_dump({**builders.body(1), "metadata": {"name": "chat", "namespace": 5}}),
            "metadata.namespace: 5 is not the name of a namespace",
        ),
        (
            "kind: InferenceCluster\napiVersion: kvring.dev/v1alpha1\nmetadata: chat",
            "'chat' is not an object",
        ),
        ("kind: List\nitems: 5", "there is no InferenceCluster in it"),
    ],
)
def test_a_wrong_file_is_refused_with_the_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)

    assert plan_cli.main(["-f", str(path)]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"---\n---\n", b"# nothing\n", b"just words", b"[1, 2]"])
def test_a_file_without_a_resource_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path / "empty.yaml"
    path.write_bytes(content)

    assert plan_cli.main(["-f", str(path)]) == 1
    assert "empty.yaml: there is no InferenceCluster in it" in capsys.readouterr().err


def test_what_is_no_text_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "weights.yaml"
    path.write_bytes(b"\xff\xfe\x00\xd8")

    assert plan_cli.main(["-f", str(path)]) == 1
    assert "weights.yaml: " in capsys.readouterr().err


def test_other_kinds_in_the_file_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "all.yaml"
    everything = [{"kind": "Namespace"}, {"kind": "List", "items": [builders.body(1), {"kind": "Secret"}]}]
    path.write_text(yaml.safe_dump_all(everything))

    assert plan_cli.main(["-f", str(path)]) == 0
    said = capsys.readouterr()
    assert "default/chat: 1 members" in said.out
    assert "passed over: Namespace" in said.err
    assert "passed over: Secret" in said.err


def test_one_refused_resource_among_good_ones_is_the_result(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    path.write_text(yaml.safe_dump_all([builders.body(1), builders.body(model={"uri": "ftp://x"})]))

    assert plan_cli.main(["-f", str(path)]) == 1


def test_a_resource_as_deep_as_the_api_server_takes_them_is_read(tmp_path: Path) -> None:
    """In a process of its own, as it would be the operator's stack that overflows."""
    depth = 9_000
    body = json.dumps(builders.body(1, template={"spec": {"affinity": "DEEP"}}))
    path = tmp_path / "deep.yaml"
    path.write_text(body.replace('"DEEP"', '{"a":' * depth + "1" + "}" * depth))

    done = subprocess.run(
        [sys.executable, "-m", "kvring_operator", "plan", "-f", path],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "Pod/chat-0-1" in done.stdout


def test_who_reads_no_further_sees_no_traceback(file: Path) -> None:
    command = [sys.executable, "-m", "kvring_operator", "plan", "-f", str(file), "-o", "yaml"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout
        assert running.stderr
        running.stdout.close()

        assert running.stderr.read() == b""


def test_standard_input_is_read() -> None:
    command = [sys.executable, "-m", "kvring_operator", "plan", "-f", "-"]

    done = subprocess.run(
        command, input=yaml.safe_dump(builders.body(1)), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0
    assert "default/chat: 1 members" in done.stdout


def test_a_missing_file_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan_cli.main(["-f", "/nowhere.yaml"]) == 1
    assert "/nowhere.yaml" in capsys.readouterr().err
