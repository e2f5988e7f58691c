"""Answers of the embedded engine as text."""

import pytest
from tests.support import byte_folder

from kvring_node.engine.completions import Prompts, Reading
from kvring_node.messages import SamplingParams, Tokens
from kvring_node.model.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer(byte_folder.make(tmp_path_factory.mktemp("bytes"), strips_space=True))


def texts(
    codec: Tokenizer, prompts: Prompts, answer: str, params: SamplingParams, stop: tuple[str, ...] = ()
) -> list[str]:
    """What each answer says when the engine says `answer` to all."""
    reading = Reading(codec, prompts, params, stop)
    said = [
        reading.take(Tokens(submit.request_id, codec.encode(answer), 0, index=index))
        for submit in reading.submits
        for index in range(params.n)
    ]
    return [piece.text for piece in said if piece]


@pytest.mark.parametrize("n", [1, 2])
def test_an_answer_begins_with_its_first_space(codec: Tokenizer, n: int) -> None:
    params = SamplingParams(n=n)

    assert texts(codec, "x", " y", params) == [" y"] * n
    assert texts(codec, [codec.encode("x"), codec.encode("é")], " y", params) == [" y"] * n * 2


@pytest.mark.parametrize(
    ("sentence", "answer", "min_tokens", "text"),
    [
        ("without a minimum the first one ends it", "a.b.c", 0, "a"),
        ("one among the first tokens does not", "a.b.c", 2, "a.b"),
        ("nor one that ends with the last of them", "a.b.c", 4, "a.b.c"),
        ("one that begins there and ends later does", "a.END", 3, "a."),
        ("until then none is looked for", "a.b.c", 9, "a.b.c"),
    ],
)
def test_min_tokens_hold_stop_strings_back(
    codec: Tokenizer, sentence: str, answer: str, min_tokens: int, text: str
) -> None:
    params = SamplingParams(min_tokens=min_tokens, max_tokens=10)

    assert texts(codec, "x", answer, params, (".", "END")) == [text], sentence


@pytest.mark.parametrize("token_id", [-1, 1 << 31, 10**30])
def test_a_token_id_that_no_vocabulary_has_is_its_callers_error(codec: Tokenizer, token_id: int) -> None:
    with pytest.raises(ValueError, match=f"prompt 1: {token_id} is no token id"):
        Reading(codec, [[1], [2, token_id]], SamplingParams(), ())
