"""From logits to the weights of the tokens that may be drawn: temperature, min_p, top_k, top_p.

The order is vLLM's (vllm/v1/sample/sampler.py): temperature, then min_p, then top_k, then top_p of what is
left. Among tokens that are equally likely the one of the lowest id counts as the likeliest. That is a
departure: vLLM keeps all that are as likely as the k-th; here never more than k stay, and k = 1 is greedy.
"""

from collections.abc import Sequence

import torch

from kvring_node.messages import SamplingParams

HEAD = 256
"""So many likeliest tokens are looked at for top_k: to sort the whole vocabulary takes ten times longer."""


def weights(logits: torch.Tensor, params: Sequence[SamplingParams]) -> torch.Tensor:
    """Weights in the order of the vocabulary, the likeliest token's 1, after temperature and min_p."""
    found = logits.sub(logits.amax(dim=-1, keepdim=True))
    found.div_(column(logits, [one.temperature for one in params])).exp_()
    if any(one.min_p for one in params):
        found.masked_fill_(found < column(logits, [one.min_p for one in params]), 0.0)
    return found


def likelier(found: torch.Tensor, picked: torch.Tensor) -> torch.Tensor:
    """The weights of the tokens that come before the one picked in each row, and zeros."""
    level = found.gather(-1, picked[:, None])
    places = torch.arange(found.shape[1], device=found.device)
    equal_or_later = (found == level) & (places >= picked[:, None])
    return found.masked_fill((found < level) | equal_or_later, 0.0)


def head(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The HEAD largest of each row in falling order, and their tokens."""
    if logits.shape[1] <= HEAD:
        return whole(logits)
    values, token_ids = logits.topk(HEAD, dim=-1)  # in any order among equals
    token_ids, order = token_ids.sort(dim=-1)
    values, order = values.gather(-1, order).sort(dim=-1, descending=True, stable=True)
    return values, token_ids.gather(-1, order)


def whole(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """All of each row in falling order, and their tokens."""
    values, token_ids = logits.sort(dim=-1, descending=True, stable=True)
    return values, token_ids


def ordered_weights(values: torch.Tensor, params: Sequence[SamplingParams]) -> torch.Tensor:
    """Weights of what `head` or `whole` found after all filters, with a top_k; those that stay come first."""
    found = weights(values, params)
    places = torch.arange(values.shape[1], device=values.device)
    found.masked_fill_(places >= column(values, [one.top_k for one in params]), 0.0)
    if any(one.top_p < 1 for one in params):
        # The fewest likeliest tokens that hold top_p (Holtzman et al., arXiv 1904.09751): a token stays when
        # those before it do not hold it already.
        cumulative = found.cumsum(dim=-1)
        shares = column(values, [one.top_p for one in params])
        beyond = (cumulative - found >= shares * cumulative[:, -1:]) & (shares < 1)
        found.masked_fill_(beyond, 0.0)
    return found


def undecided(values: torch.Tensor, kept: torch.Tensor, params: Sequence[SamplingParams]) -> list[int]:
    """Rows for which the head said too little: more tokens may stay, or equals of the last one that does."""
    last = ((kept > 0).sum(dim=-1, keepdim=True) - 1).clamp_min(0)  # 0: weights that are no numbers
    reaches_end = values.gather(-1, last) <= values[:, -1:]
    too_many = torch.tensor([one.top_k > HEAD for one in params], device=values.device)
    return torch.nonzero(reaches_end[:, 0] | too_many)[:, 0].tolist()


def column(like: torch.Tensor, numbers: list[float] | list[int]) -> torch.Tensor:
    """One number a row."""
    return torch.tensor(numbers, dtype=like.dtype, device=like.device)[:, None]
