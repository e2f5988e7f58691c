"""From a model URI to a folder on this machine."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")
"""What is downloaded of a repository: weights and descriptions, never a pickle or code."""

Download = Callable[[str, str], str]
"""(repository, revision) -> local folder."""


class ModelUnavailable(Exception):
    """There is no model to load. `reason` is CamelCase, the message says what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def local_folder(uri: str, revision: str, download: Download) -> Path:
    """The model's folder, downloaded first when the URI is `hf://org/name`; raises `ModelUnavailable`."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return _existing(Path(uri))
    match scheme:
        case "file":
            return _existing(Path(unquote(urlsplit(uri).path)))
        case "hf":
            return _existing(Path(_downloaded(rest, revision, download)))
        case _:
            raise ModelUnavailable(
                "ModelUriUnknown",
                f"{uri!r}: this server reads a local folder, file:///folder or hf://org/name; "
                "pvc:// and oci:// are mounted by the operator, which passes the folder",
            )


def from_hub(download_dir: str) -> Download:
    """Downloads from the Hugging Face hub into `download_dir`, or its own cache folder when that is empty."""

    def download(repository: str, revision: str) -> str:
        import huggingface_hub  # slow to import, and needed for hf:// only

        return huggingface_hub.snapshot_download(
            repository, revision=revision, cache_dir=download_dir or None, allow_patterns=list(FILES)
        )

    return download


def _downloaded(repository: str, revision: str, download: Download) -> str:
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise ModelUnavailable("ModelUriUnknown", f"hf://{repository}: write it as hf://organisation/name")
    try:
        return download(repository, revision)
    except (OSError, ValueError) as error:  # the hub client's own errors are among these
        told = " ".join(str(error).split()).rstrip(".")  # the client's own is of several lines
        raise ModelUnavailable(
            "ModelDownloadFailed",
            f"hf://{repository} (revision {revision}) could not be downloaded: {told}. "
            "Check the name, the revision, HF_TOKEN for gated models, and the network",
        ) from error


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise ModelUnavailable(
            "ModelNotFound",
            f"{folder} is not a folder; give the one with config.json, tokenizer.json and *.safetensors",
        )
    return folder
