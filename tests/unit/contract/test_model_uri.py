import pytest

from kvring_contract.model_uri import ModelUri, Scheme

GOOD = [
    ("pvc://models/demo", ModelUri(Scheme.PVC, "models", "demo")),
    ("pvc://models/a/b-1.2/c_d", ModelUri(Scheme.PVC, "models", "a/b-1.2/c_d")),
    ("pvc://models", ModelUri(Scheme.PVC, "models")),
    ("hf://Qwen/Qwen3-0.6B", ModelUri(Scheme.HF, "Qwen/Qwen3-0.6B")),
    ("hf://gpt2", ModelUri(Scheme.HF, "gpt2")),
    ("file:///models/demo", ModelUri(Scheme.FILE, "", "/models/demo")),
    ("oci://registry.example:5000/m@sha256:0a", ModelUri(Scheme.OCI, "registry.example:5000/m@sha256:0a")),
]

BAD = [
    # what is wrong, the text, words of the answer
    ("no scheme", "models/demo", "does not begin with pvc://, hf://, file:// or oci://"),
    ("an unknown scheme", "s3://bucket/demo", "does not begin with"),
    ("a scheme in capitals", "PVC://models/demo", "does not begin with"),
    ("nothing at all", "", "does not begin with"),
    ("a claim in capitals", "pvc://Models/demo", "write pvc://CLAIM/FOLDER"),
    ("a way out of the volume", "pvc://models/../../etc", "write pvc://CLAIM/FOLDER"),
    ("a hidden folder", "pvc://models/.git", "write pvc://CLAIM/FOLDER"),
    ("an empty folder name", "pvc://models//demo", "write pvc://CLAIM/FOLDER"),
    ("a line break at the end", "pvc://models/demo\n", "write pvc://CLAIM/FOLDER"),
    ("a repository of three parts", "hf://a/b/c", "write hf://ORGANISATION/NAME"),
    ("a relative file", "file://models/demo", "write file:///FOLDER"),
    ("an image without a name", "oci://", "write oci://IMAGE"),
]


@pytest.mark.parametrize(("text", "uri"), GOOD)
def test_a_good_uri_is_read_and_written_back(text: str, uri: ModelUri) -> None:
    assert ModelUri.parse(text) == uri
    assert str(uri) == text


@pytest.mark.parametrize(("text", "answer"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_uri_is_refused_with_the_form_that_is_wanted(text: str, answer: str) -> None:
    with pytest.raises(ValueError, match=answer):
        ModelUri.parse(text)
