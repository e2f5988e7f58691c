"""The only place where parts are joined.

An engine in your own process::

    from kvring_node import assembly
    from kvring_node.messages import SamplingParams

    engine = assembly.load_engine("path/to/model")
    for completion in engine.generate(["def add(", "import "], SamplingParams(max_tokens=32, temperature=0)):
        print(completion.text)
    for piece in engine.stream(["class "], SamplingParams(max_tokens=32, seed=1)):
        print(piece.text, end="", flush=True)

Torch is imported inside the functions that need it: the HTTP front goes through this module too, and stays
small.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from kvring_node.engine import admission
from kvring_node.engine.engine import Engine, Parts
from kvring_node.engine.options import EngineOptions
from kvring_node.engine.ports import Strategy
from kvring_node.engine.scheduler import Limits, Scheduler
from kvring_node.engine.strategies.registry import STRATEGIES
from kvring_node.grammars.compiler import Grammars
from kvring_node.messages import Loaded
from kvring_node.model import config as model_config
from kvring_node.model import generation_config
from kvring_node.model.errors import ModelError, ModelFault
from kvring_node.model.tokenizer import Tokenizer
from kvring_node.pages.pool import PagePool
from kvring_node.pages.prefix import PrefixIndex
from kvring_node.pages.table import PageTables


def load_engine(folder: str | Path, **options: Any) -> Engine:
    """An engine for the model in `folder`; `options` are the fields of EngineOptions.

    Raises:
        ModelError: the model cannot be loaded; its message says what to do.
        ValueError: an option is a number that no engine can work with.
    """
    return load_engine_from(EngineOptions(model=str(folder), **options))


def load_engine_from(options: EngineOptions) -> Engine:
    """Loads the model and joins it with its pages and its scheduler.

    Raises:
        ModelError: the model cannot be loaded; its message says what to do.
    """
    from kvring_node import loading

    strategy = _strategy(options.strategy)
    folder = Path(options.model)
    config = model_config.read(folder)
    tokenizer = Tokenizer(folder)
    loaded = loading.load(options, config)
    pool = PagePool(loaded.num_pages)
    prefix = PrefixIndex(pool, loaded.fingerprint.root, options.page_tokens)
    tables = PageTables(pool, prefix, options.page_tokens)
    limits = Limits(options.max_batch_tokens, options.max_num_sequences)
    ends = generation_config.eos_token_ids(folder) | tokenizer.eos_token_ids
    eos_token_ids = frozenset(one for one in ends if 0 <= one < config.vocab_size)  # others never come
    generator = np.random.default_rng(options.seed)
    return Engine(
        Parts(
            loaded=Loaded(
                fingerprint=loaded.fingerprint.short,
                device=loaded.device,
                dtype=loaded.dtype,
                max_model_len=loaded.max_model_len,
                page_tokens=options.page_tokens,
                num_pages=loaded.num_pages,
                page_bytes=loaded.page_bytes,
                sampling=generation_config.sampling_defaults(folder),
            ),
            model=admission.Model(
                max_model_len=loaded.max_model_len,
                vocab_size=config.vocab_size,
                eos_token_ids=eos_token_ids,
                grammars=Grammars(folder, config.vocab_size, eos_token_ids),
                new_seed=lambda: int(generator.integers(1 << 63)),
            ),
            pool=pool,
            prefix=prefix,
            scheduler=Scheduler(tables, strategy, limits),
            runner=loaded.runner,
            codec=tokenizer,
            clock=time.monotonic,
        )
    )


def _strategy(name: str) -> Strategy:
    if name not in STRATEGIES:
        raise ModelError(
            ModelFault.UNSUPPORTED_FEATURE, f"there is no strategy {name!r}; choose {', '.join(STRATEGIES)}"
        )
    return STRATEGIES[name](time.monotonic)
