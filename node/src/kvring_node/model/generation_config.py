"""What a model's makers say about generating: generation_config.json."""

import logging
from pathlib import Path

import msgspec

from kvring_node.messages import SamplingDefaults
from kvring_node.model.config import read_json_if_there
from kvring_node.model.errors import ModelError, ModelFault

FILE = "generation_config.json"

_log = logging.getLogger(__name__)


def eos_token_ids(folder: Path) -> frozenset[int]:
    """Token ids that end a text: from generation_config.json, else from config.json.

    As `generate` of transformers does, except that a generation_config.json without any leaves the word to
    config.json: for `generate` no text would end.

    Raises:
        ModelError: one of them is no number.
    """
    for path in (folder / FILE, folder / "config.json"):
        value = read_json_if_there(path).get("eos_token_id")
        if value is not None:
            ids = value if isinstance(value, list) else [value]
            if not all(type(one) is int for one in ids):
                raise ModelError(
                    ModelFault.CORRUPT, f"{path} has eos_token_id {value!r}, no token id; fetch it again"
                )
            return frozenset(ids)
    return frozenset()


def sampling_defaults(folder: Path) -> SamplingDefaults:
    """How to sample for a request that does not say; a value that makes no sense is logged and ignored.

    As in vLLM (`--generation-config auto`) `do_sample` counts for nothing: a request asks for greedy tokens
    by its temperature.

    Raises:
        ModelError: the file is no JSON object.
    """
    path = folder / FILE
    given = read_json_if_there(path)
    taken = {}
    for name in SamplingDefaults.__struct_fields__:
        if given.get(name) is None:
            continue
        try:
            msgspec.convert({name: given[name]}, SamplingDefaults)
        except msgspec.ValidationError as error:
            _log.warning("%s: %s %r is ignored: %s", path, name, given[name], error)
        else:
            taken[name] = given[name]
    return SamplingDefaults(**taken)
