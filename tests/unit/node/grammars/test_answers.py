"""Every answer that ends by itself has its form, through the real engine, whatever else was asked."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tests.support import tiny_models, wild_forms

from kvring_node import assembly
from kvring_node.engine.engine import Engine
from kvring_node.messages import FinishReason, Grammar, GrammarKind, SamplingParams, Submit
from kvring_node.model.tokenizer import Tokenizer

NUM_FORMS = 200
AT_ONCE = 20
N = 2


@dataclass
class Answer:
    token_ids: list[int]
    reason: FinishReason | None = None

    def text(self, folder: Path) -> str:
        return Tokenizer(folder).decode(self.token_ids)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("model")
    tiny_models.llama(folder)
    return folder


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    """Its pages do not suffice for all who run at once: sequences lose theirs and come back."""
    page_bytes = 16 * 2 * 2 * 2 * 16 * 4
    return assembly.load_engine(folder, page_tokens=16, kv_bytes=36 * page_bytes, max_num_sequences=48)


def params(seed: int, form: Grammar) -> SamplingParams:
    rng = random.Random(seed)
    return SamplingParams(
        max_tokens=300,
        n=N,
        temperature=rng.choice([0.7, 1.0, 2.0]),
        top_k=rng.choice([0, 0, 1, 40]),
        top_p=rng.choice([1.0, 0.5]),
        min_p=rng.choice([0.0, 0.2]),
        repetition_penalty=rng.choice([1.0, 1.3]),
        presence_penalty=rng.choice([0.0, 1.0]),
        logit_bias=rng.choice([(), ((tiny_models.EOS, 100.0), (7, 100.0))]),
        min_tokens=rng.choice([0, 10]),
        ignore_eos=rng.random() < 0.3,
        seed=seed,
        grammar=form,
    )


def answers(engine: Engine, forms: dict[int, Grammar]) -> dict[tuple[int, int], Answer]:
    """By seed and index."""
    found = {(seed, index): Answer([]) for seed in forms for index in range(N)}
    for seed, form in forms.items():
        prompt = [seed % 256, *range(20)]
        refused = engine.add(Submit(request_id=str(seed), prompt_token_ids=prompt, params=params(seed, form)))
        assert refused is None, (refused, form)
    while engine.has_work:
        for message in engine.step():
            answer = found[int(message.request_id), message.index]
            answer.token_ids += message.token_ids
            answer.reason = message.finish_reason
    return found


def test_every_answer_that_ends_has_its_form(engine: Engine, folder: Path) -> None:
    forms = {seed: wild_forms.form(seed) for seed in range(NUM_FORMS)}
    num_ended = 0
    for first in range(0, NUM_FORMS, AT_ONCE):
        some = {seed: forms[seed] for seed in range(first, first + AT_ONCE)}
        for (seed, index), answer in answers(engine, some).items():
            if answer.reason is FinishReason.STOP:
                num_ended += 1
                text = answer.text(folder)
                assert wild_forms.is_kept(forms[seed], text), (seed, index, forms[seed], text)
    assert num_ended > 0.9 * N * NUM_FORMS
    assert engine.stats().num_preemptions > 0
    engine.check()


@pytest.mark.parametrize("seed", range(10))
def test_a_seed_gives_the_same_answer_alone_and_after_preemptions(seed: int, engine: Engine) -> None:
    crowd = {one: wild_forms.form(one) for one in range(seed, seed + AT_ONCE)}
    together = answers(engine, crowd)
    alone = answers(engine, {seed: crowd[seed]})
    assert all(together[key].token_ids == alone[key].token_ids for key in alone)


def test_a_form_that_grows_too_large_cuts_the_answer_off(engine: Engine) -> None:
    form = Grammar(GrammarKind.LARK, 'start: e\ne: e e | e e e | "a"')
    whole = SamplingParams(
        max_tokens=400, temperature=0.0, logit_bias=((tiny_models.EOS, -100.0),), grammar=form
    )
    assert engine.add(Submit(request_id="large", prompt_token_ids=[1], params=whole)) is None
    token_ids, reason = [], None
    while engine.has_work:
        for message in engine.step():
            token_ids += message.token_ids
            reason = message.finish_reason
    assert reason is FinishReason.LENGTH
    assert len(token_ids) < 400


def test_a_form_that_cannot_be_compiled_is_refused_with_the_reason(engine: Engine) -> None:
    form = Grammar(GrammarKind.REGEX, "a(b")
    refused = engine.add(Submit(request_id="bad", prompt_token_ids=[1], params=SamplingParams(grammar=form)))
    assert refused is not None
    assert "unclosed group" in refused.message
