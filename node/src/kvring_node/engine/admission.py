"""What a request must fulfil to run, and the sequences that it becomes. Pure."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

from kvring_node.engine.ports import Grammars, Prepared
from kvring_node.messages import SamplingParams, Submit
from kvring_node.sequence import GrammarState, Phase, Sequence

MOST_ANSWERS = 128
MOST_LOGPROBS = 20


class Unfit(ValueError):
    """A request that can never run; `param` is the field at fault."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True)
class Model:
    """What admission must know of the model."""

    max_model_len: int
    vocab_size: int
    eos_token_ids: frozenset[int]
    grammars: Grammars
    new_seed: Callable[[], int]


def sequences(request: Submit, model: Model, now: float, prepared: Prepared | None = None) -> list[Sequence]:
    """The request's answers in the making; all but the first are siblings of the first.

    The request's form is `prepared`, or started here.

    Raises:
        Unfit: it can never run; the message says why.
    """
    _check(request, model)
    params = request.params
    grammar = None
    if params.grammar:
        grammar = _form(prepared or functools.partial(model.grammars.start, params.grammar))
    seed = model.new_seed() if params.seed is None else params.seed
    stops = frozenset(params.stop_token_ids)
    if grammar is not None or not params.ignore_eos:  # the end of text is how a form is ended
        stops |= model.eos_token_ids
    stops = frozenset(token_id for token_id in stops if 0 <= token_id < model.vocab_size)  # others never come
    first, *siblings = (
        Sequence(
            request_id=request.request_id,
            index=index,
            token_ids=list(request.prompt_token_ids),
            num_prompt_tokens=len(request.prompt_token_ids),
            params=params,
            max_tokens=min(len(request.prompt_token_ids) + params.max_tokens, model.max_model_len),
            stop_token_ids=stops,
            seed=seed + index,
            arrived_at=now,
            priority=request.priority,
            tenant=request.tenant,
            deadline_at=None if request.deadline_s is None else now + request.deadline_s,
            grammar=grammar.fork() if grammar and index else grammar,
            phase=Phase.UNBORN if index else Phase.WAITING,
        )
        for index in range(params.n)
    )
    first.siblings = siblings
    return [first, *siblings]


def _form(prepared: Prepared) -> GrammarState:
    try:
        return prepared()
    except ValueError as error:
        raise Unfit("grammar", str(error)) from error


def _check(request: Submit, model: Model) -> None:
    prompt, limit = request.prompt_token_ids, model.max_model_len
    if not prompt:
        raise Unfit("prompt", "the prompt is empty; send at least one token")
    if len(prompt) >= limit:
        raise Unfit("prompt", f"the prompt has {len(prompt)} tokens; send at most {limit - 1}")
    if min(prompt) < 0 or max(prompt) >= model.vocab_size:
        raise Unfit("prompt", f"token ids must lie between 0 and {model.vocab_size - 1}")
    for is_right, param, rule in _rules(request.params, model.vocab_size):
        if not is_right:
            raise Unfit(param, f"{param} {rule}")


def _rules(params: SamplingParams, vocab_size: int) -> list[tuple[bool, str, str]]:
    return [
        (params.max_tokens >= 1, "max_tokens", "must be at least 1"),
        (1 <= params.n <= MOST_ANSWERS, "n", f"must be from 1 to {MOST_ANSWERS}"),
        (0 <= params.temperature < math.inf, "temperature", "must be a number from 0"),
        (params.top_k >= 0, "top_k", "must be 1 or more, or 0 for all"),
        (0 < params.top_p <= 1, "top_p", "must be above 0 and at most 1"),
        (0 <= params.min_p <= 1, "min_p", "must be from 0 to 1"),
        (0.01 <= params.repetition_penalty <= 100, "repetition_penalty", "must be from 0.01 to 100"),
        (-2 <= params.presence_penalty <= 2, "presence_penalty", "must be from -2 to 2"),
        (-2 <= params.frequency_penalty <= 2, "frequency_penalty", "must be from -2 to 2"),
        (0 <= params.min_tokens <= params.max_tokens, "min_tokens", "must be from 0 to max_tokens"),
        (
            all(0 <= token_id < vocab_size and abs(bias) <= 100 for token_id, bias in params.logit_bias),
            "logit_bias",
            f"must give numbers from -100 to 100 to token ids from 0 to {vocab_size - 1}",
        ),
        *(
            (num_top is None or 0 <= num_top <= MOST_LOGPROBS, name, f"must be from 0 to {MOST_LOGPROBS}")
            for name, num_top in (
                ("logprobs", params.logprobs),
                ("prompt_logprobs", params.prompt_logprobs),
            )
        ),
    ]
