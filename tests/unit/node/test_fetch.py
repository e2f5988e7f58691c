from pathlib import Path

import pytest

from kvring_node import fetch


def never(repository: str, revision: str) -> str:
    raise AssertionError(f"{repository} at {revision} was downloaded")


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_local_folder_is_taken_as_it_is(tmp_path: Path, prefix: str) -> None:
    assert fetch.local_folder(f"{prefix}{tmp_path}", "main", never) == tmp_path


def test_a_blank_in_a_file_uri_is_written_with_a_percent_sign(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()

    assert fetch.local_folder(f"file://{tmp_path}/a%20b", "main", never) == tmp_path / "a b"


def test_a_model_of_the_hub_is_downloaded_at_its_revision(tmp_path: Path) -> None:
    asked = []

    def download(repository: str, revision: str) -> str:
        asked.append((repository, revision))
        return str(tmp_path)

    assert fetch.local_folder("hf://Qwen/Qwen3-0.6B", "v2", download) == tmp_path
    assert asked == [("Qwen/Qwen3-0.6B", "v2")]


@pytest.mark.parametrize(
    ("uri", "reason", "remedy"),
    [
        ("/nowhere/at/all", "ModelNotFound", "give the one with config.json"),
        ("file:///nowhere", "ModelNotFound", "is not a folder"),
        ("s3://bucket/model", "ModelUriUnknown", "file:///folder or hf://org/name"),
        ("pvc://models/demo", "ModelUriUnknown", "mounted by the operator"),
        ("hf://Qwen3", "ModelUriUnknown", "hf://organisation/name"),
        ("hf://a/b/c", "ModelUriUnknown", "hf://organisation/name"),
    ],
)
def test_a_model_that_is_not_there(uri: str, reason: str, remedy: str) -> None:
    with pytest.raises(fetch.ModelUnavailable, match=remedy) as caught:
        fetch.local_folder(uri, "main", never)

    assert caught.value.reason == reason


def test_a_failed_download_says_what_to_check() -> None:
    def download(repository: str, revision: str) -> str:
        raise OSError("no\nroute.")

    with pytest.raises(fetch.ModelUnavailable, match=r"no route\. Check .*HF_TOKEN") as caught:
        fetch.local_folder("hf://a/b", "main", download)

    assert caught.value.reason == "ModelDownloadFailed"


def test_neither_pickles_nor_code_are_downloaded() -> None:
    assert not any(
        Path(name).match(one) for one in fetch.FILES for name in ("model.bin", "x.pt", "model.py", "x.pkl")
    )
