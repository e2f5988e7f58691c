"""Every way in which a model folder can be broken: a reason for machines and a remedy for people."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from tests.support import tiny_models

from kvring_node import assembly
from kvring_node.messages import SamplingParams
from kvring_node.model import config as model_config
from kvring_node.model.errors import ModelError, ModelFault


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    model = tiny_models.llama(folder)
    model.save_pretrained(folder / "sharded", max_shard_size="100KB")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, folder / "sharded" / name)
    return folder


def edit_config(**values: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "config.json"
        raw = {**json.loads(path.read_text()), **values}
        path.write_text(json.dumps({key: value for key, value in raw.items() if value is not None}))

    return edit


def become(architecture: str, **values: Any) -> Callable[[Path], None]:
    return edit_config(architectures=[architecture], **values)


def edit_generation(**values: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        (folder / "generation_config.json").write_text(json.dumps(values))

    return edit


def store_as(dtype: torch.dtype) -> Callable[[Path], None]:
    def cast(folder: Path) -> None:
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
        tensors["model.norm.weight"] = tensors["model.norm.weight"].to(dtype)
        safetensors.torch.save_file(tensors, folder / "model.safetensors")

    return cast


def index_of(weight_map: dict[str, Any]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return write


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def truncate(name: str, keep: int) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:keep])

    return cut


def put(name: str, content: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(content)

    return write


def pickle_instead(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def no_object(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


@pytest.mark.parametrize(
    ("sentence", "spoil", "reason", "remedy"),
    [
        ("the folder is missing", remove_folder, ModelFault.NOT_FOUND, "point the model URI"),
        ("config.json is missing", remove("config.json"), ModelFault.INCOMPLETE, "fetch the whole"),
        ("config.json is cut off", truncate("config.json", 30), ModelFault.CORRUPT, "fetch the model again"),
        ("config.json holds a list", no_object, ModelFault.CORRUPT, "fetch the model again"),
        ("config.json lacks a size", edit_config(hidden_size=None), ModelFault.CORRUPT, "[300, 4096]"),
        ("a size is a word", edit_config(hidden_size="big"), ModelFault.CORRUPT, "wrong value"),
        (
            "the family is unknown",
            edit_config(architectures=["MambaForCausalLM"]),
            ModelFault.UNSUPPORTED_FAMILY,
            "LlamaForCausalLM, MistralForCausalLM",
        ),
        ("no family is named", edit_config(architectures=None), ModelFault.UNSUPPORTED_FAMILY, "choose"),
        ("another activation", edit_config(hidden_act="gelu"), ModelFault.UNSUPPORTED_FEATURE, "silu"),
        (
            "another rope scaling",
            edit_config(rope_parameters={"rope_type": "ntk", "rope_theta": 1e4}),
            ModelFault.UNSUPPORTED_FEATURE,
            "default, dynamic, linear, llama3, yarn",
        ),
        (
            "sliding windows",
            edit_config(use_sliding_window=True),
            ModelFault.UNSUPPORTED_FEATURE,
            "use_sliding_window false",
        ),
        (
            "a window that nobody says is unused",
            edit_config(sliding_window=32),
            ModelFault.UNSUPPORTED_FEATURE,
            "use_sliding_window false",
        ),
        (
            "a layer that slides",
            edit_config(layer_types=["full_attention", "sliding_attention"], use_sliding_window=False),
            ModelFault.UNSUPPORTED_FEATURE,
            "sliding window",
        ),
        (
            "layers of Mistral that see differently far",
            become("MistralForCausalLM", layer_types=["full_attention", "sliding_attention"]),
            ModelFault.UNSUPPORTED_FEATURE,
            "without layer_types",
        ),
        (
            "a window of nothing",
            become("MistralForCausalLM", sliding_window=0),
            ModelFault.CORRUPT,
            "sliding_window 0",
        ),
        (
            "a layer of Qwen2 that slides over no window",
            become("Qwen2ForCausalLM", layer_types=["full_attention", "sliding_attention"]),
            ModelFault.CORRUPT,
            "do not fit 2 layers",
        ),
        (
            "a kind of layer that nobody knows",
            become("Qwen3ForCausalLM", layer_types=["full_attention", "chunked_attention"]),
            ModelFault.UNSUPPORTED_FEATURE,
            "only full_attention and sliding_attention",
        ),
        (
            "Qwen2's weights lack their biases",
            become("Qwen2ForCausalLM"),
            ModelFault.INCOMPLETE,
            "q_proj.bias",
        ),
        (
            "Phi-3's weights are not fused",
            become("Phi3ForCausalLM"),
            ModelFault.INCOMPLETE,
            "qkv_proj.weight",
        ),
        (
            "too few factors of a long rope",
            become(
                "Phi3ForCausalLM",
                rope_parameters={"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0]},
            ),
            ModelFault.CORRUPT,
            "1 long factors for 8 frequencies",
        ),
        (
            "Gemma that looks ahead",
            become("GemmaForCausalLM", hidden_act="gelu", use_bidirectional_attention=True),
            ModelFault.UNSUPPORTED_FEATURE,
            "choose one that writes",
        ),
        (
            "Qwen2 that looks ahead",
            become("Qwen2ForCausalLM", is_causal=False),
            ModelFault.UNSUPPORTED_FEATURE,
            "choose one that writes",
        ),
        (
            "quantised weights",
            edit_config(quantization_config={"quant_method": "fp8"}),
            ModelFault.UNSUPPORTED_FEATURE,
            "in bfloat16",
        ),
        ("a tensor is quantised", store_as(torch.int8), ModelFault.UNSUPPORTED_FEATURE, "torch.int8"),
        (
            "half of a head rotates",
            edit_config(partial_rotary_factor=0.5),
            ModelFault.UNSUPPORTED_FEATURE,
            "partial_rotary_factor",
        ),
        (
            "each kind of layer has its rope",
            edit_config(rope_parameters={"full_attention": {"rope_type": "linear", "factor": 4.0}}),
            ModelFault.UNSUPPORTED_FEATURE,
            "each kind of layer",
        ),
        (
            "a rope scaling lacks its numbers",
            edit_config(rope_parameters={"rope_type": "llama3", "rope_theta": 1e4}),
            ModelFault.CORRUPT,
            "lacks 'factor'",
        ),
        (
            "a rope is scaled by nothing",
            edit_config(rope_parameters={"rope_type": "linear", "factor": 0}),
            ModelFault.CORRUPT,
            "rope factor 0",
        ),
        ("a size is zero", edit_config(max_position_embeddings=0), ModelFault.CORRUPT, "from 1"),
        (
            "heads that cannot share keys",
            edit_config(num_key_value_heads=3),
            ModelFault.CORRUPT,
            "4 heads do not share 3",
        ),
        (
            "a head that does not rotate",
            become("Phi3ForCausalLM", partial_rotary_factor=0.1),
            ModelFault.CORRUPT,
            "no rotation of 1 of 16 numbers",
        ),
        (
            "generation_config.json is cut off",
            put("generation_config.json", "{"),
            ModelFault.CORRUPT,
            "generation_config.json cannot be read",
        ),
        (
            "special_tokens_map.json holds a list",
            put("special_tokens_map.json", "[]"),
            ModelFault.CORRUPT,
            "special_tokens_map.json holds no JSON object",
        ),
        (
            "tokenizer_config.json holds a word",
            put("tokenizer_config.json", '"word"'),
            ModelFault.CORRUPT,
            "tokenizer_config.json holds no JSON object",
        ),
        (
            "generation_config.json is a maze",
            put("generation_config.json", "[" * 100_000),
            ModelFault.CORRUPT,
            "generation_config.json cannot be read",
        ),
        ("a text ends with yes", edit_generation(eos_token_id=True), ModelFault.CORRUPT, "no token id"),
        ("a text ends with a word", edit_generation(eos_token_id="end"), ModelFault.CORRUPT, "no token id"),
        ("the index names no files", index_of({"a": 5}), ModelFault.INCOMPLETE, "lacks 5"),
        ("the index leads away", index_of({"a": "../a.safetensors"}), ModelFault.CORRUPT, "files beside it"),
        ("an odd dtype", edit_config(dtype="float8"), ModelFault.UNSUPPORTED_FEATURE, "float32, bfloat16"),
        ("weights are missing", remove("model.safetensors"), ModelFault.INCOMPLETE, "fetch the whole"),
        ("weights are a pickle", pickle_instead, ModelFault.UNSAFE_FORMAT, "convert the model"),
        ("weights are cut off", truncate("model.safetensors", 5000), ModelFault.CORRUPT, "fetch it again"),
        ("the header is cut off", truncate("model.safetensors", 5), ModelFault.CORRUPT, "fetch it again"),
        ("a tensor has another shape", edit_config(vocab_size=301), ModelFault.CORRUPT, "one revision"),
        ("a tensor is missing", edit_config(attention_bias=True), ModelFault.INCOMPLETE, "q_proj.bias"),
        ("a tensor is left over", edit_config(num_hidden_layers=1), ModelFault.CORRUPT, "one revision"),
        ("the tokenizer is missing", remove("tokenizer.json"), ModelFault.INCOMPLETE, "fetch the whole"),
        ("the tokenizer is cut off", truncate("tokenizer.json", 50), ModelFault.CORRUPT, "fetch it again"),
    ],
)  # fmt: skip
def test_a_folder_is_refused_when(
    sentence: str, spoil: Callable[[Path], None], reason: ModelFault, remedy: str, good: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(good, folder, ignore=shutil.ignore_patterns("sharded"))
    spoil(folder)
    with pytest.raises(ModelError) as caught:
        assembly.load_engine(folder, kv_bytes=1 << 20)
    assert caught.value.reason == reason, sentence
    assert remedy in caught.value.message


@pytest.mark.parametrize(("wanted", "used"), [("auto", "float32"), ("bfloat16", "bfloat16")])
def test_a_cpu_computes_in_float32_unless_told_otherwise(
    wanted: str, used: str, good: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(good, folder, ignore=shutil.ignore_patterns("sharded"))
    edit_config(dtype="bfloat16")(folder)
    engine = assembly.load_engine(folder, device="cpu", dtype=wanted, kv_bytes=1 << 20)
    assert engine.loaded.dtype == used


def test_a_missing_shard_is_named(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(good / "sharded", folder)
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    shards[1].unlink()
    with pytest.raises(ModelError, match=shards[1].name) as caught:
        assembly.load_engine(folder)
    assert caught.value.reason == ModelFault.INCOMPLETE


def test_shards_and_one_file_are_the_same_model(good: Path) -> None:
    one, sharded = (assembly.load_engine(folder, kv_bytes=1 << 20) for folder in (good, good / "sharded"))
    assert one.loaded == sharded.loaded


@pytest.mark.parametrize(
    ("sentence", "options", "reason"),
    [
        ("no CUDA device here", {"device": "cuda"}, ModelFault.NO_DEVICE),
        ("less memory than a page", {"kv_bytes": 1}, ModelFault.NO_MEMORY),
        ("a dtype that does not exist", {"dtype": "float12"}, ModelFault.UNSUPPORTED_FEATURE),
    ],
)
def test_options_are_refused_when(
    sentence: str, options: dict[str, Any], reason: ModelFault, good: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        assembly.load_engine(good, **options)
    assert caught.value.reason == reason, sentence


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"page_tokens": 12}, "page_tokens is 12; choose one of 8, 16, 32, 64, 128, 256"),
        ({"page_tokens": 512}, "page_tokens is 512"),
        ({"max_batch_tokens": 0}, "max_batch_tokens is 0; it must be at least 1"),
        ({"max_num_sequences": 0}, "max_num_sequences is 0"),
        ({"max_model_len": 0}, "max_model_len is 0"),
        ({"num_threads": 0}, "num_threads is 0"),
    ],
)
def test_numbers_that_no_engine_can_work_with(options: dict[str, Any], complaint: str, good: Path) -> None:
    with pytest.raises(ValueError, match=complaint):
        assembly.load_engine(good, **options)


def test_an_unknown_strategy_is_refused_with_the_known_ones(good: Path) -> None:
    with pytest.raises(ModelError, match="no strategy 'LIFO'; choose FCFS, Priority, SLA, Fairness"):
        assembly.load_engine(good, strategy="LIFO")


def test_the_fingerprint_sees_weights_and_config_and_page_size(good: Path, tmp_path: Path) -> None:
    other_weights, other_config = tmp_path / "weights", tmp_path / "config"
    tiny_models.llama(other_weights, seed=1)
    shutil.copytree(good, other_config, ignore=shutil.ignore_patterns("sharded"))
    edit_config(rms_norm_eps=1e-5)(other_config)
    loads = [
        assembly.load_engine(good, kv_bytes=1 << 20),
        assembly.load_engine(other_weights, kv_bytes=1 << 20),
        assembly.load_engine(other_config, kv_bytes=1 << 20),
        assembly.load_engine(good, kv_bytes=1 << 20, page_tokens=32),
        assembly.load_engine(good, kv_bytes=1 << 20, salt="tenant"),
        assembly.load_engine(good, kv_bytes=1 << 20, dtype="bfloat16"),
    ]
    assert len({engine.loaded.fingerprint for engine in loads}) == len(loads)


def test_a_window_that_is_said_to_be_unused_does_not_matter(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(good, folder, ignore=shutil.ignore_patterns("sharded"))
    edit_config(sliding_window=32, use_sliding_window=False)(folder)
    assert model_config.read(folder) == model_config.read(good)


def test_a_second_copy_of_the_weights_in_another_layout_is_left_alone(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(good, folder, ignore=shutil.ignore_patterns("sharded"))
    safetensors.torch.save_file({"output.weight": torch.ones(1)}, folder / "consolidated.safetensors")
    assert (
        assembly.load_engine(folder, kv_bytes=1 << 20).loaded
        == assembly.load_engine(good, kv_bytes=1 << 20).loaded
    )


def test_a_head_that_is_stored_counts_although_the_config_ties_it(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(good, folder, ignore=shutil.ignore_patterns("sharded"))
    edit_config(tie_word_embeddings=True)(folder)
    tied, untied = (
        assembly.load_engine(one, kv_bytes=1 << 20).generate([[1, 2, 3]], SamplingParams(temperature=0))
        for one in (folder, good)
    )
    assert tied == untied
