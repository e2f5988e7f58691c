"""The whole brain around a paper runner: no torch, no model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.support.paper_runner import VOCAB_SIZE, PaperRunner, next_token

from kvring_node.engine import admission
from kvring_node.engine.engine import Engine, Parts
from kvring_node.engine.ports import Grammars, Prepared
from kvring_node.engine.scheduler import Limits, Scheduler
from kvring_node.engine.strategies.registry import STRATEGIES
from kvring_node.messages import FinishReason, Grammar, Loaded, SamplingParams, Submit, Tokens
from kvring_node.pages.pool import PagePool
from kvring_node.pages.prefix import PrefixIndex
from kvring_node.pages.table import PageTables
from kvring_node.sequence import GrammarState

EOS = 7


class LetterCodec:
    """One letter a token."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, token_ids: list[int]) -> str:
        return "".join(map(chr, token_ids))

    def detokenizer(self, prompt: Sequence[int]) -> "LetterStream":
        return LetterStream()


class LetterStream:
    """Holds nothing back."""

    def push(self, token_ids: list[int]) -> str:
        return LetterCodec().decode(token_ids)

    def flush(self) -> str:
        return ""


class NoGrammars:
    """The paper model's tokens spell nothing."""

    def warm_up(self) -> None:
        pass

    def start(self, grammar: Grammar) -> GrammarState:
        raise ValueError(f"no {grammar.kind} on paper")

    def recall(self, grammar: Grammar) -> Prepared | None:
        return None


@dataclass(frozen=True)
class PaperEngine:
    """An engine and the parts of it that a test looks at."""

    engine: Engine
    runner: PaperRunner
    pool: PagePool
    scheduler: Scheduler


def make(
    num_pages: int = 16,
    page_tokens: int = 4,
    max_batch_tokens: int = 16,
    max_num_sequences: int = 4,
    strategy: str = "FCFS",
    clock: Callable[[], float] = lambda: 0.0,
    make_runner: Callable[[int], PaperRunner] = PaperRunner,
    grammars: Grammars | None = None,
) -> PaperEngine:
    """Small enough that every limit is met soon."""
    pool = PagePool(num_pages)
    prefix = PrefixIndex(pool, b"root", page_tokens)
    tables = PageTables(pool, prefix, page_tokens)
    scheduler = Scheduler(tables, STRATEGIES[strategy](clock), Limits(max_batch_tokens, max_num_sequences))
    runner = make_runner(page_tokens)
    loaded = Loaded(
        fingerprint="paper",
        device="paper",
        dtype="paper",
        max_model_len=num_pages * page_tokens,
        page_tokens=page_tokens,
        num_pages=num_pages,
        page_bytes=page_tokens,
    )
    parts = Parts(
        loaded=loaded,
        model=admission.Model(
            max_model_len=loaded.max_model_len,
            vocab_size=VOCAB_SIZE,
            eos_token_ids=frozenset({EOS}),
            grammars=grammars or NoGrammars(),
            new_seed=lambda: 0,
        ),
        pool=pool,
        prefix=prefix,
        scheduler=scheduler,
        runner=runner,
        codec=LetterCodec(),
        clock=clock,
    )
    return PaperEngine(Engine(parts), runner, pool, scheduler)


def submit(request_id: str, prompt: list[int], max_tokens: int = 4, **params: object) -> Submit:
    """A greedy request that does not stop at the end of text unless asked to."""
    values = {"temperature": 0.0, "ignore_eos": True, "max_tokens": max_tokens, **params}
    return Submit(request_id=request_id, prompt_token_ids=prompt, params=SamplingParams(**values))  # type: ignore[arg-type]  # named by tests


def expected(prompt: list[int], num_tokens: int) -> list[int]:
    """What the paper model answers, computed without any engine."""
    token_ids = list(prompt)
    for _ in range(num_tokens):
        token_ids.append(next_token(token_ids))
    return token_ids[len(prompt) :]


def finish(paper: PaperEngine, max_steps: int = 1000) -> dict[str, list[int]]:
    """Steps until there is no work, checking the pool after each step; the tokens of each request."""
    answers: dict[str, list[int]] = {}
    for _ in range(max_steps):
        if not paper.engine.has_work:
            return answers
        collect(paper.engine.step(), answers)
        paper.engine.check()
    raise AssertionError(f"still working after {max_steps} steps: {paper.engine.stats()}")


def collect(messages: list[Tokens], answers: dict[str, list[int]]) -> list[FinishReason]:
    """Adds the tokens of one step to `answers`; the reasons of the requests that ended."""
    for message in messages:
        answers.setdefault(message.request_id, []).extend(message.token_ids)
    return [message.finish_reason for message in messages if message.finish_reason is not None]
