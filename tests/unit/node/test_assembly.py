"""The engine in a caller's own process: the few lines of the docstring, and what they promise."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
import tokenizers
from tests.support import tiny_models

from kvring_node import assembly
from kvring_node.engine.asynchronous import AsyncEngine
from kvring_node.engine.completions import Prompt
from kvring_node.engine.engine import Engine
from kvring_node.messages import FinishReason, Grammar, GrammarKind, SamplingParams

GREEDY = SamplingParams(max_tokens=12, temperature=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("qwen3")
    tiny_models.qwen3(made)
    return made


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return assembly.load_engine(folder, kv_bytes=1 << 20, seed=0)


def test_the_example_of_the_docstring_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (assembly.__doc__ or "").split("::\n")[1].split("\nTorch")[0]
    source = "\n".join(line.removeprefix("    ") for line in lines.splitlines())
    exec(source.replace("path/to/model", str(folder)), {})
    assert capsys.readouterr().out


def test_the_examples_of_the_readme_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    names: dict[str, object] = {}
    for block in readme.split("```python\n")[1:]:
        exec(block.split("```")[0].replace("path/to/model", str(folder)), names)
        assert capsys.readouterr().out


def test_text_and_token_ids_are_the_same_prompt(engine: Engine) -> None:
    prompts: list[Prompt] = ["hello", engine_ids(engine, "hello")]
    text, ids = engine.generate(prompts, GREEDY)
    assert text.token_ids == ids.token_ids
    assert text.num_prompt_tokens == ids.num_prompt_tokens == 5


def engine_ids(engine: Engine, text: str) -> list[int]:
    return tiny_models.byte_tokenizer().encode(text).ids


def test_one_prompt_needs_no_list(engine: Engine) -> None:
    for prompt in ("hello", engine_ids(engine, "hello")):
        assert engine.generate(prompt, GREEDY) == engine.generate([prompt], GREEDY)
    assert engine.generate([], GREEDY) == []


def test_a_stop_string_ends_an_answer_and_its_pages_are_free_at_once(engine: Engine) -> None:
    (whole,) = engine.generate("hello", GREEDY)
    stop = whole.text[4:6]
    (stopped,) = engine.generate("hello", GREEDY, stop=[stop])
    assert stopped.text == whole.text[: whole.text.index(stop)]
    assert stopped.finish_reason is FinishReason.STOP
    assert stopped.token_ids == whole.token_ids[: len(stopped.token_ids)]

    *_, last = engine.stream("hello", GREEDY, stop=[stop])
    assert last.finish_reason is FinishReason.STOP
    assert not engine.has_work


def test_a_stop_string_ends_one_of_several_answers_and_the_others_go_on(engine: Engine) -> None:
    several = SamplingParams(max_tokens=12, temperature=2.0, seed=3, n=3, ignore_eos=True)
    whole = engine.generate("hello", several)
    stop = whole[1].text[3:6]
    assert all(stop not in other.text for other in (whole[0], whole[2]))
    stopped = engine.generate("hello", several, stop=[stop])
    assert [one.finish_reason for one in stopped] == [
        FinishReason.LENGTH,
        FinishReason.STOP,
        FinishReason.LENGTH,
    ]
    assert [stopped[0].text, stopped[2].text] == [whole[0].text, whole[2].text]


def test_log_probabilities_come_with_each_token(engine: Engine) -> None:
    params = SamplingParams(max_tokens=5, temperature=0, ignore_eos=True, logprobs=2, prompt_logprobs=1)
    (answer,) = engine.generate("hello", params)
    assert answer.logprobs is not None
    assert [one.token_id for one in answer.logprobs] == answer.token_ids
    assert all(one.rank == 1 and len(one.top) == 2 for one in answer.logprobs), "greedy"
    assert answer.prompt_logprobs is not None
    assert [one.token_id for one in answer.prompt_logprobs] == engine_ids(engine, "hello")[1:]


def test_a_second_call_into_a_busy_engine_is_told_so(engine: Engine) -> None:
    first = engine.stream("hello", GREEDY)
    next(first)
    with pytest.raises(RuntimeError, match="AsyncEngine"):
        engine.generate("there", GREEDY)
    assert [*first][-1].finish_reason is FinishReason.LENGTH


async def test_the_async_engine_says_what_the_engine_says(folder: Path) -> None:
    engine = assembly.load_engine(folder, kv_bytes=1 << 20)
    prompts = ["hello", "wörld", "!", "x" * 40]
    alone = engine.generate(prompts, GREEDY)
    async with AsyncEngine(engine) as shared:
        together = await asyncio.gather(*(shared.generate(prompt, GREEDY) for prompt in prompts))
    assert [answer.text for (answer,) in together] == [answer.text for answer in alone]
    assert engine.stats().num_pages_used == 0


def test_a_stream_says_the_same_as_generate(engine: Engine) -> None:
    prompts = ["hello", "wörld", "!"]
    whole = engine.generate(prompts, GREEDY)
    texts = [""] * 3
    reasons: list[FinishReason | None] = [None] * 3
    for piece in engine.stream(prompts, GREEDY):
        texts[piece.index] += piece.text
        reasons[piece.index] = piece.finish_reason
    assert texts == [completion.text for completion in whole]
    assert reasons == [FinishReason.LENGTH] * 3


def test_what_an_answer_leaves_in_the_cache_is_counted(engine: Engine) -> None:
    engine.forget_prefixes()
    assert engine.stats().num_pages_cached == 0

    engine.generate(["hello" * 8], SamplingParams(max_tokens=1, temperature=0))

    assert engine.stats().num_pages_cached == 40 // 16


def test_a_stream_that_nobody_reads_on_frees_its_pages(engine: Engine) -> None:
    stream = engine.stream(["hello", "there"], GREEDY)
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # a generator
    assert engine.stats().num_pages_used == 0
    assert not engine.has_work


def test_a_seed_gives_the_same_text_alone_and_in_a_batch_and_none_gives_another(engine: Engine) -> None:
    seeded = SamplingParams(max_tokens=12, temperature=1.5, top_p=0.9, seed=5)
    alone = engine.generate(["hello"], seeded)[0]
    together = engine.generate(["x", "hello", "yy"], seeded)[1]
    assert alone.token_ids == together.token_ids
    unseeded = SamplingParams(max_tokens=12, temperature=1.5)
    first, second = engine.generate(["hello", "hello"], unseeded)
    assert first.token_ids != second.token_ids


def test_a_prompt_that_can_never_run_is_named_and_the_others_leave_nothing_behind(engine: Engine) -> None:
    prompts: list[Prompt] = ["hello", []]
    with pytest.raises(ValueError, match="prompt 1: the prompt is empty"):
        engine.generate(prompts, GREEDY)
    assert not engine.has_work


def test_the_end_of_text_stops_unless_it_is_to_be_ignored(folder: Path) -> None:
    engine = assembly.load_engine(folder, kv_bytes=1 << 20)
    first = engine.generate(["hello"], GREEDY)[0]
    stop = SamplingParams(max_tokens=12, temperature=0, stop_token_ids=(first.token_ids[3],))
    stopped = engine.generate(["hello"], stop)[0]
    assert stopped.finish_reason is FinishReason.STOP
    assert stopped.token_ids == first.token_ids[: first.token_ids.index(stop.stop_token_ids[0]) + 1]


@pytest.mark.parametrize(
    ("sentence", "file", "content"),
    [
        ("in its own settings", "tokenizer_config.json", {"eos_token": "<|im_end|>"}),
        (
            "in the file for special tokens",
            "special_tokens_map.json",
            {"eos_token": {"content": "<|im_end|>"}},
        ),
    ],
)
def test_a_text_ends_where_its_tokenizer_says_too(
    sentence: str, file: str, content: dict[str, object], engine: Engine, folder: Path, tmp_path: Path
) -> None:
    """A model that was tuned on ChatML often has config.json's old token only."""
    (whole,) = engine.generate("hello", GREEDY)
    tuned = tmp_path / "tuned"
    shutil.copytree(folder, tuned)
    (tuned / "tokenizer_config.json").unlink()
    tokenizer = tokenizers.Tokenizer.from_file(str(tuned / "tokenizer.json"))
    written = json.loads(tokenizer.to_str())
    spelling = tokenizer.id_to_token(whole.token_ids[3])
    words = written["model"]["vocab"]
    words["<|im_end|>"] = words.pop(spelling)
    (tuned / "tokenizer.json").write_text(json.dumps(written))
    (tuned / file).write_text(json.dumps(content))
    (ended,) = assembly.load_engine(tuned, kv_bytes=1 << 20).generate(engine_ids(engine, "hello"), GREEDY)
    first = whole.token_ids.index(whole.token_ids[3])
    assert ended.finish_reason is FinishReason.STOP, sentence
    assert ended.token_ids == whole.token_ids[: first + 1]


def test_an_end_of_text_that_the_model_cannot_write_is_none(folder: Path, tmp_path: Path) -> None:
    """Tunes that lost their added tokens still name them; forms would refuse such a list."""
    tuned = tmp_path / "tuned"
    shutil.copytree(folder, tuned)
    ends = {"eos_token_id": [tiny_models.EOS, tiny_models.VOCAB_SIZE, -1]}
    (tuned / "generation_config.json").write_text(json.dumps(ends))
    form = SamplingParams(max_tokens=3, grammar=Grammar(GrammarKind.REGEX, "a"), seed=1)
    (answer,) = assembly.load_engine(tuned, kv_bytes=1 << 20).generate("hello", form)
    assert answer.finish_reason is FinishReason.STOP


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_runs_and_says_so(folder: Path, dtype: str) -> None:
    engine = assembly.load_engine(folder, kv_bytes=1 << 20, dtype=dtype)
    assert engine.loaded.dtype == dtype
    assert engine.loaded.page_bytes * 2 == assembly.load_engine(folder, kv_bytes=1 << 20).loaded.page_bytes
    assert len(engine.generate(["hello"], GREEDY)[0].token_ids) == 12
