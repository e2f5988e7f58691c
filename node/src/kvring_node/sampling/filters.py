"""From logits to the weights of the tokens that may be drawn: temperature, min_p, top_k, top_p.

The order is vLLM's (vllm/v1/sample/sampler.py): temperature, then min_p, then top_k, then top_p of what is
left. One departure: of tokens as likely as the k-th, vLLM keeps all, this keeps those of lower ids, so that
there are never more than k, and k = 1 is greedy.
"""

from collections.abc import Sequence

import torch

from kvring_node.messages import SamplingParams

HEAD = 256
"""So many likeliest tokens are looked at first: to sort the whole vocabulary takes ten times longer."""


def needs_order(params: SamplingParams) -> bool:
    """Whether it must be known which tokens are likelier than others."""
    return params.top_k > 0 or params.top_p < 1


def weights(logits: torch.Tensor, params: Sequence[SamplingParams]) -> torch.Tensor:
    """Weights in the order of the vocabulary, the likeliest token's 1, after temperature and min_p alone."""
    found = logits.sub(logits.amax(dim=-1, keepdim=True)).div_(_temperatures(logits, params)).exp_()
    if any(one.min_p for one in params):
        found.masked_fill_(found < _column(logits, [one.min_p for one in params]), 0.0)
    return found


def head(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The HEAD largest of each row in falling order, and their tokens; lower ids first among equals."""
    if logits.shape[1] <= HEAD:
        return whole(logits)
    values, token_ids = logits.topk(HEAD, dim=-1)  # in any order among equals
    token_ids, order = token_ids.sort(dim=-1)
    values, order = values.gather(-1, order).sort(dim=-1, descending=True, stable=True)
    return values, token_ids.gather(-1, order)


def whole(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """All of each row in falling order, and their tokens; lower ids first among equals."""
    values, token_ids = logits.sort(dim=-1, descending=True, stable=True)
    return values, token_ids


def ordered_weights(
    values: torch.Tensor, logits: torch.Tensor, params: Sequence[SamplingParams]
) -> torch.Tensor:
    """Weights of the tokens of `head` or `whole` after all filters; those that stay come first.

    Args:
        values: logits of the tokens, in falling order.
        logits: of all tokens; what top_p is a share of without top_k.
        params: of each row.
    """
    found = values.sub(values[:, :1]).div_(_temperatures(values, params)).exp_()
    num_kept = [one.top_k or logits.shape[1] for one in params]
    places = torch.arange(values.shape[1], device=values.device)
    found.masked_fill_(places >= torch.tensor(num_kept, device=values.device)[:, None], 0.0)
    if any(one.min_p for one in params):
        found.masked_fill_(found < _column(values, [one.min_p for one in params]), 0.0)
    if all(one.top_p >= 1 for one in params):
        return found
    cumulative = found.cumsum(dim=-1)
    totals = cumulative[:, -1:].clone()
    open_rows = [row for row, one in enumerate(params) if not one.top_k]
    if open_rows:
        rest = weights(logits[open_rows], [params[row] for row in open_rows])
        totals[open_rows] = rest.sum(dim=-1, keepdim=True)
    # The fewest likeliest tokens that hold top_p (Holtzman et al., arXiv 1904.09751): a token stays when
    # those before it do not hold it already.
    shares = _column(values, [one.top_p for one in params])
    beyond = (cumulative - found >= shares * totals) & (shares < 1)
    return found.masked_fill_(beyond, 0.0)


def undecided(values: torch.Tensor, kept: torch.Tensor, params: Sequence[SamplingParams]) -> list[int]:
    """Rows for which the head said too little: more tokens may stay, or equals of the last one that does."""
    last = (kept > 0).sum(dim=-1, keepdim=True) - 1
    reaches_end = values.gather(-1, last) <= values[:, -1:]
    too_many = torch.tensor([one.top_k > HEAD for one in params], device=values.device)
    return torch.nonzero(reaches_end[:, 0] | too_many)[:, 0].tolist()


def _temperatures(like: torch.Tensor, params: Sequence[SamplingParams]) -> torch.Tensor:
    return _column(like, [one.temperature for one in params])


def _column(like: torch.Tensor, numbers: list[float]) -> torch.Tensor:
    return torch.tensor(numbers, dtype=like.dtype, device=like.device)[:, None]
