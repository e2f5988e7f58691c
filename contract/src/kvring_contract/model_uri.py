"""Where a model's folder comes from: the URIs of `spec.model.uri` and `spec.draftModel.uri`."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]*"


class Scheme(StrEnum):
    """The kinds of place that hold a model folder."""

    PVC = "pvc"
    HF = "hf"
    FILE = "file"
    OCI = "oci"


_FORMS = {
    Scheme.PVC: (
        re.compile(rf"(?P<source>[a-z0-9]([-a-z0-9.]*[a-z0-9])?)(/(?P<path>{_PART}(/{_PART})*))?"),
        "write pvc://CLAIM/FOLDER, such as pvc://models/qwen3-0.6b",
    ),
    Scheme.HF: (
        re.compile(rf"(?P<source>{_PART}(/{_PART})?)(?P<path>)"),
        "write hf://ORGANISATION/NAME, such as hf://Qwen/Qwen3-0.6B",
    ),
    Scheme.FILE: (
        re.compile(rf"(?P<source>)(?P<path>(/{_PART})+)"),
        "write file:///FOLDER, an absolute path inside the container, such as file:///models/qwen3-0.6b",
    ),
    Scheme.OCI: (
        re.compile(r"(?P<source>[A-Za-z0-9][A-Za-z0-9.:/_@-]*)(?P<path>)"),
        "write oci://IMAGE, such as oci://registry.example/models/qwen3:0.6b",
    ),
}


@dataclass(frozen=True)
class ModelUri:
    """A model's place.

    `source` is the claim (pvc), the repository (hf) or the image (oci) and empty for file;
    `path` is the folder inside a claim, relative, or the absolute folder of file, else empty.
    """

    scheme: Scheme
    source: str
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URI; raises `ValueError` with the form that the scheme wants."""
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in list(Scheme):
            raise ValueError(f"{text!r} does not begin with pvc://, hf://, file:// or oci://")
        form, remedy = _FORMS[Scheme(scheme)]
        match = form.fullmatch(rest)
        if match is None:
            raise ValueError(f"{text!r} is not a place that {scheme}:// can name: {remedy}")
        return cls(Scheme(scheme), match["source"] or "", match["path"] or "")

    def __str__(self) -> str:
        separator = "/" if self.scheme is Scheme.PVC and self.path else ""
        return f"{self.scheme}://{self.source}{separator}{self.path}"
