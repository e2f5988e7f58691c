"""The only reader of flags and environment. The flag `--some-name` wins over its twin `KVRING_SOME_NAME`.

Each option is one field of `Settings` with its default, its meaning and its check: the help text, the flag
and the variable are made from it.
"""

import argparse
import dataclasses
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from kvring_contract import names, spec

_TRACES = "/v1/traces"
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def size_bytes(text: str) -> int:
    """Bytes from a Kubernetes quantity: `268435456`, `256Mi`, `1G`."""
    match = re.fullmatch(r"(\d+)(k|M|G|Ki|Mi|Gi|Ti)?", text)
    if not match or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write it like 512Mi or 2Gi")
    return int(match[1]) * _UNITS[match[2] or ""]


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _port(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; choose 1 to 65535, or 0 for any free one")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds; write it like 3 or 0.5")
    return float(text)


def _page_tokens(text: str) -> int:
    value = _count(text)
    if value & (value - 1) or not 8 <= value <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not a power of two from 8 to 256")
    return value


def _yes_or_no(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def _seed(text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an address; write it like http://collector:4318")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[\w.:/@+-]{1,256}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a name; use letters, digits and . : / @ + - _")
    return text


def _option(
    default: Any,
    meaning: str,
    parse: Callable[[str], Any] = str,
    choices: tuple[str, ...] | None = None,
) -> Any:
    return dataclasses.field(default=default, metadata={"help": meaning, "parse": parse, "choices": choices})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `python -m kvring_node` is told; the engine's part has the meaning of `EngineOptions`' fields."""

    model: str = _option(
        dataclasses.MISSING, "folder in Hugging Face layout, file:///folder, or hf://org/name"
    )
    revision: str = _option("main", "revision of the model; part of what pods must agree on to share pages")
    dtype: str = _option(
        "auto",
        "data type of weights and KV cache; auto takes the model's own, float32 on a CPU",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    device: str = _option(
        "auto", "where to compute; auto takes a GPU when there is one", choices=("auto", "cpu", "cuda")
    )
    max_model_len: int | None = _option(
        None,
        "most tokens of prompt and answer together, within the model's and the KV cache's; "
        "default: as many as both allow",
        _count,
    )
    page_tokens: int = _option(
        16, "tokens in a page of the KV cache: a power of two from 8 to 256", _page_tokens
    )
    max_batch_tokens: int = _option(2048, "token budget of one engine step", _count)
    max_sequences: int = _option(64, "most sequences that run at once", _count)
    strategy: str = _option(
        spec.Strategy.FCFS.value,
        "who goes first: as they came; by priority, which waiting improves; by deadline; or tenants equally",
        choices=tuple(strategy.value for strategy in spec.Strategy),
    )
    cache_bytes: int | None = _option(
        None,
        "size of the KV cache, like 2Gi; default: a quarter of the free memory on a CPU, as far as "
        "--max-sequences can use it, and what a measured step leaves free on a GPU",
        size_bytes,
    )
    batch_invariant: bool = _option(
        False,
        "true makes logits bitwise the same alone and in any batch; free in float32 on a CPU with the "
        "compiled kernels, many times slower elsewhere",
        _yes_or_no,
    )
    num_threads: int | None = _option(None, "threads of the CPU; default: as many as torch finds", _count)
    seed: int | None = _option(None, "root of the seeds of requests that bring none; default: random", _seed)

    served_name: str = _option(
        "",
        "name in GET /v1/models and in requests; default: org/name for hf://org/name, else the folder's name",
        _name,
    )
    host: str = _option("0.0.0.0", "address to listen on")
    port: int = _option(names.NODE_PORT, "port to listen on; 0 takes a free one", _port)
    max_waiting: int = _option(512, "requests that may wait beyond those that run; more get 429", _count)
    max_body_bytes: int = _option(8 * 2**20, "largest request body; larger ones get 413", size_bytes)
    drain_lag_s: float = _option(
        3.0, "after SIGTERM or a drain call, seconds during which late requests are still served", _seconds
    )
    grace_s: float = _option(
        120.0, "after SIGTERM, seconds after which running requests are cut off", _seconds
    )
    max_silence_s: float = _option(
        300.0,  # a step of 2048 prompt tokens of a 7 B model takes minutes on a CPU: no reason to kill it
        "seconds without a word from the engine after which it counts as hung and /health fails; "
        "raise it where one step takes longer",
        _seconds,
    )
    internal_key_file: str | None = _option(
        None, "file with the pool's key; without it there is no /internal/v1"
    )
    pod: str = _option("", "this pod's name in reports; default: the host name", _name)
    download_dir: str = _option("", "where hf:// models are kept; default: Hugging Face's own cache folder")
    log_level: str = _option(
        "info", "least severity of log lines", choices=("debug", "info", "warning", "error")
    )
    log_requests: bool = _option(
        False, "true logs a line for each request that ended, with its tokens and times", _yes_or_no
    )
    otlp_endpoint: str = _option(
        "",
        "OpenTelemetry collector that gets a span for each request by OTLP over HTTP, like "
        "http://collector:4318; default: OTEL_EXPORTER_OTLP_ENDPOINT; its other variables count too",
        _url,
    )


class InvalidSettings(Exception):
    """A flag or a variable is wrong; the message says which, and what to write."""


def parse(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from flags and environment. Raises `InvalidSettings`."""
    parser = _parser()
    given = _from_environment(parser, environ) | vars(parser.parse_args(argv))
    if "model" not in given:
        parser.error(
            "no model: give --model FOLDER (or KVRING_MODEL), for example --model hf://Qwen/Qwen3-0.6B"
        )
    settings = Settings(**given)
    key_file = settings.internal_key_file
    if key_file and not os.access(key_file, os.R_OK):
        parser.error(
            f"--internal-key-file {key_file} cannot be read; mount the pool's Secret there or leave it out"
        )
    return dataclasses.replace(
        settings,
        served_name=settings.served_name or _name_of(settings.model),
        pod=settings.pod or socket.gethostname(),
        otlp_endpoint=_traces(settings.otlp_endpoint, environ),
    )


def _traces(endpoint: str, environ: Mapping[str, str]) -> str:
    """Where spans go, as OpenTelemetry specifies it: the address for all signals gets a path."""
    if not endpoint and environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    if not endpoint and (for_traces := environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")):
        return for_traces
    base = endpoint or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    return base.rstrip("/").removesuffix(_TRACES) + _TRACES if base else ""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidSettings(f"{message}; --help tells of all settings")


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m kvring_node",
        description="Serve a language model over HTTP: the OpenAI API, /v1/generate, metrics and health.",
        epilog="Each flag has an environment twin: --max-model-len is KVRING_MAX_MODEL_LEN. The flag wins.",
    )
    for field in dataclasses.fields(Settings):
        shown = "" if field.default in (None, "", dataclasses.MISSING) else f" (default {field.default})"
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            type=field.metadata["parse"],
            choices=field.metadata["choices"],
            default=argparse.SUPPRESS,
            help=field.metadata["help"].replace("%", "%%") + shown,
        )
    return parser


def _from_environment(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> dict[str, Any]:
    given = {}
    for field in dataclasses.fields(Settings):
        variable = f"KVRING_{field.name.upper()}"
        if not (text := environ.get(variable)):
            continue
        try:
            given[field.name] = field.metadata["parse"](text)
        except argparse.ArgumentTypeError as error:
            parser.error(f"environment {variable}: {error}")
        choices = field.metadata["choices"]
        if choices and text not in choices:
            parser.error(f"environment {variable}: {text!r} is not one of {', '.join(choices)}")
    return given


def _name_of(model: str) -> str:
    """The hub's name for a model of the hub, which clients of vLLM send; else the folder's."""
    name = model.removeprefix("hf://").rstrip("/")
    if not model.startswith("hf://"):
        name = name.rsplit("/", 1)[-1]
    return re.sub(r"[^\w.:/@+-]", "-", name) or "model"
