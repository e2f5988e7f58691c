"""Log probabilities are those of transformers' logits, of answers and prompts, whatever else was asked."""

from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import tiny_models

from kvring_node import assembly
from kvring_node.batch import Draw, Score
from kvring_node.engine.engine import Engine
from kvring_node.messages import SamplingParams, Submit, TokenLogprobs, Tokens
from kvring_node.sampling import logprobs

NUM_TOP = 5
PAGE_BYTES = 16 * 2 * 2 * 2 * 16 * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
def model(folder: Path) -> transformers.PreTrainedModel:
    torch.set_num_threads(1)
    return tiny_models.qwen3(folder)


@pytest.fixture(scope="module")
def law(model: transformers.PreTrainedModel):
    """Natural logarithms after each token, `[tokens, vocab_size]`."""

    def find(token_ids: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            found: torch.Tensor = model(torch.tensor([token_ids])).logits[0].double().log_softmax(dim=-1)
        return found

    return find


def answer(engine: Engine, requests: list[Submit]) -> dict[tuple[str, int], Tokens]:
    """All that was said of each answer, in one message."""
    found: dict[tuple[str, int], Tokens] = {}
    for request in requests:
        assert engine.add(request) is None
    while engine.has_work:
        for message in engine.step():
            before = found.setdefault((message.request_id, message.index), message)
            if before is not message:
                before.token_ids += message.token_ids
                before.logprobs = [*(before.logprobs or []), *(message.logprobs or [])] or None
                before.prompt_logprobs = before.prompt_logprobs or message.prompt_logprobs
    return found


def check(said: list[TokenLogprobs] | None, token_ids: list[int], rows: torch.Tensor, num_top: int) -> None:
    assert said is not None
    assert [one.token_id for one in said] == token_ids
    for one, row in zip(said, rows, strict=True):
        assert one.logprob == pytest.approx(float(row[one.token_id]), abs=1e-4)
        assert abs(one.rank - 1 - int((row > row[one.token_id]).sum())) <= int(
            (abs(row - row[one.token_id]) < 1e-4).sum()
        )
        assert [number for _, number in one.top] == pytest.approx(row.topk(num_top).values.tolist(), abs=1e-4)
        assert all(number == pytest.approx(float(row[token_id]), abs=1e-4) for token_id, number in one.top)


@pytest.mark.parametrize(
    ("what", "num_pages", "max_batch_tokens"),
    [("plenty of room", 100, 2048), ("chunks of five tokens", 100, 5), ("pages for two at a time", 12, 64)],
)
def test_they_are_those_of_transformers(
    what: str, num_pages: int, max_batch_tokens: int, folder: Path, law
) -> None:
    engine = assembly.load_engine(
        folder, page_tokens=16, kv_bytes=num_pages * PAGE_BYTES, max_batch_tokens=max_batch_tokens
    )
    odd = {
        "greedy": SamplingParams(temperature=0.0),
        "hot": SamplingParams(temperature=2.0, seed=3),
        "filtered": SamplingParams(top_k=3, top_p=0.9, min_p=0.1, seed=4),
        "penalised": SamplingParams(repetition_penalty=1.5, presence_penalty=1.0, temperature=0.0),
        "biased": SamplingParams(logit_bias=((7, 50.0),), seed=5),
        "forked": SamplingParams(n=3, seed=6),
    }
    requests = []
    for place, (name, params) in enumerate(odd.items()):
        prompt = [*range(17), *range(place, place + 30)]  # they share a page and a bit
        asked = {"max_tokens": 20, "logprobs": NUM_TOP, "prompt_logprobs": place % 3, "ignore_eos": True}
        values = {field: getattr(params, field) for field in params.__struct_fields__}
        requests.append(
            Submit(request_id=name, prompt_token_ids=prompt, params=SamplingParams(**{**values, **asked}))
        )
    found = answer(engine, requests)
    assert len(found) == len(odd) + 2
    for place, request in enumerate(requests):
        prompt = request.prompt_token_ids
        for index in range(request.params.n):
            said = found[request.request_id, index]
            rows = law([*prompt, *said.token_ids])
            check(said.logprobs, said.token_ids, rows[len(prompt) - 1 : -1], NUM_TOP)
            if index == 0:  # once a request
                check(said.prompt_logprobs, prompt[1:], rows[: len(prompt) - 1], place % 3)
    if what == "pages for two at a time":
        assert engine.stats().num_preemptions > 0


def test_a_prompt_longer_than_a_slice_of_the_head_is_told_whole(folder: Path, law) -> None:
    engine = assembly.load_engine(folder, page_tokens=16, kv_bytes=100 * PAGE_BYTES)
    prompt = [i * 7 % 299 for i in range(2 * logprobs.AT_ONCE + 3)]
    params = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0)
    found = answer(engine, [Submit(request_id="long", prompt_token_ids=prompt, params=params)])
    check(found["long", 0].prompt_logprobs, prompt[1:], law(prompt)[:-1], 0)


def test_a_prompt_of_one_token_has_an_empty_list(folder: Path) -> None:
    engine = assembly.load_engine(folder, kv_bytes=100 * PAGE_BYTES)
    (answer,) = engine.generate([5], SamplingParams(max_tokens=2, prompt_logprobs=0))
    assert answer.prompt_logprobs == []


@settings(deadline=None)
@given(seed=st.integers(0, 999), num_top=st.integers(0, 9))
def test_rank_and_best_tokens_agree(seed: int, num_top: int) -> None:
    logits = torch.randn(4, 7, generator=torch.Generator().manual_seed(seed)).bfloat16().float()
    for token_id in range(7):
        for one in logprobs.of_tokens(logits, [token_id] * 4, num_top):
            assert len(one.top) == min(num_top, 7)
            assert one.rank == 1 + sum(number > one.logprob for _, number in one.top) or one.rank > num_top
            assert sorted(one.top, key=lambda pair: (-pair[1], pair[0])) == one.top


def test_only_who_asks_is_told() -> None:
    draws = [Draw(0, SamplingParams(logprobs=asked), 0, 0) for asked in (None, 0, 2)]
    told = logprobs.of_draws(torch.randn(3, 9), draws, [1, 2, 3])
    assert [one and len(one.top) for one in told] == [None, 0, 2]
    assert logprobs.of_draws(torch.randn(1, 9), draws[:1], [1]) == [None]


def test_a_score_without_tokens_is_empty() -> None:
    assert logprobs.of_scores(torch.zeros(0, 4), [Score(0, [], 1)], torch.nn.Identity()) == [[]]
