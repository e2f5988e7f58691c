"""Fields of OpenAI's and vLLM's APIs that this server gives no effect.

Most clients that send one of them send a value that asks for nothing, as libraries write defaults out.
"""

import functools
import json
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from kvring_node.web.errors import ApiError

Ignored = Annotated[Any, Meta(description="accepted and ignored")]
"""Changes no answer."""


def only(*values: Any, instead: str = "leave it out") -> Meta:
    """Marks a field that may have one of `values`, which ask for nothing; `instead` is what to do instead.

    Null is always one of them: it is as good as left out.
    """
    said = [f"`{json.dumps(value)}`" for value in values]
    listed = " or ".join(filter(None, (", ".join(said[:-1]), said[-1])))
    return Meta(description=f"only {listed}", extra={"values": values, "instead": instead})


def refuse(body: msgspec.Struct, path: str = "") -> None:
    """Raise `ApiError` 400 when a field, here or within, asks for something that this server does not do."""
    marked, nested = _fields(type(body))
    for name, values, instead in marked:
        value = getattr(body, name)
        if value is not None and not any(_same(value, other) for other in values):
            raise ApiError(
                400,
                f"this server does not support `{path}{name}`; {instead}",
                param=f"{path}{name}",
                code="unsupported_parameter",
            )
    for name in nested:
        value = getattr(body, name)
        if isinstance(value, msgspec.Struct):
            refuse(value, f"{path}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], msgspec.Struct):
            for index, item in enumerate(value):
                refuse(item, f"{path}{name}[{index}].")


@functools.cache
def _fields(struct: type[msgspec.Struct]) -> tuple[list[tuple[str, tuple[Any, ...], str]], list[str]]:
    """Those that `only` marks, and those that may hold structs."""
    fields = msgspec.inspect.type_info(struct).fields  # type: ignore[attr-defined]  # a struct's info has them
    extras = ((field.name, getattr(field.type, "extra", None)) for field in fields)
    marked = [(name, extra["values"], extra["instead"]) for name, extra in extras if extra]
    return marked, [field.name for field in fields if _holds_structs(field.type)]


def _holds_structs(kind: msgspec.inspect.Type) -> bool:
    match kind:
        case msgspec.inspect.StructType():
            return True
        case msgspec.inspect.UnionType(types=kinds):
            return any(map(_holds_structs, kinds))
        case msgspec.inspect.ListType(item_type=item):
            return _holds_structs(item)
        case msgspec.inspect.Metadata(type=inner):
            return _holds_structs(inner)
    return False


def _same(value: object, other: object) -> bool:
    # 0 and False are equal in Python and are not the same wish: `logprobs: 0` asks for something.
    return value == other and isinstance(value, bool) == isinstance(other, bool)


class Harmless(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What completions and chats have in common of these fields; OpenAI's first, then vLLM's."""

    metadata: Ignored = None
    store: Ignored = None
    service_tier: Ignored = None
    safety_identifier: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_options: Ignored = None
    prompt_cache_retention: Ignored = None
    moderation: Annotated[Any, only(None)] = None

    session_id: Ignored = None
    spaces_between_special_tokens: Ignored = None
    truncation_side: Ignored = None
    return_token_offsets: Ignored = None
    return_mm_kwargs: Ignored = None
    guided_decoding_backend: Ignored = None
    use_beam_search: Annotated[Any, only(None, False)] = None
    length_penalty: Annotated[Any, only(None, 1.0)] = None
    watermarking: Annotated[Any, only(None, False)] = None
    skip_special_tokens: Annotated[Any, only(None, True)] = None
    truncate_prompt_tokens: Annotated[Any, only(None, instead="shorten the prompt")] = None
    logprob_token_ids: Annotated[Any, only(None, instead="ask for more `logprobs`")] = None
    allowed_token_ids: Annotated[Any, only(None, instead="use `structured_outputs`")] = None
    bad_words: Annotated[Any, only(None, [], instead="use `logit_bias`")] = None
    logits_processors: Annotated[Any, only(None, [])] = None
    repetition_detection: Annotated[Any, only(None, instead="use `frequency_penalty`")] = None
    thinking_token_budget: Annotated[Any, only(None, -1)] = None
    cache_salt: Annotated[Any, only(None)] = None
    kv_transfer_params: Annotated[Any, only(None)] = None
    ec_transfer_params: Annotated[Any, only(None)] = None
    vllm_xargs: Annotated[Any, only(None, {})] = None
    stream_interval: Annotated[Any, only(None, 1)] = None
    return_tokens_as_token_ids: Annotated[Any, only(None, False)] = None
    routed_experts_prompt_start: Annotated[Any, only(None, 0)] = None
    guided_whitespace_pattern: Annotated[Any, only(None)] = None
