"""What a request adds to logits: biases, and penalties for tokens that were there before.

Order and meaning are vLLM's (vllm/v1/sample/sampler.py, ops/penalties.py): logit_bias, then the repetition
penalty over prompt and answer (Keskar et al., arXiv 1909.05858), then frequency and presence penalties over
the answer alone. Only the cells of the tokens concerned are touched.
"""

from collections.abc import Sequence

import numpy as np
import torch

from kvring_node.batch import Draw


def concern(draw: Draw) -> bool:
    """Whether `apply` would change its row."""
    params = draw.params
    return bool(
        params.logit_bias
        or params.repetition_penalty != 1
        or params.presence_penalty
        or params.frequency_penalty
    )


def apply(logits: torch.Tensor, draws: Sequence[Draw]) -> None:
    """Changes `logits [draws, vocab_size]` in place."""
    cells = logits.view(-1)
    size = logits.shape[1]
    biased, repeated, counted, present = _Cells(size), _Cells(size), _Cells(size), _Cells(size)
    for row, draw in enumerate(draws):
        params = draw.params
        if params.logit_bias:
            token_ids, biases = zip(*params.logit_bias, strict=True)
            biased.add(row, token_ids, biases)
        if params.repetition_penalty != 1:
            repeated.add(row, draw.token_ids, params.repetition_penalty)
        if params.frequency_penalty:
            counted.add(row, draw.token_ids[draw.num_prompt_tokens :], params.frequency_penalty)
        if params.presence_penalty:
            present.add(row, draw.token_ids[draw.num_prompt_tokens :], params.presence_penalty)
    for at, bias in biased.on(logits.device):
        cells.index_put_((at,), bias, accumulate=True)
    for at, penalty in repeated.on(logits.device):
        # Here and below a token that came twice is read twice, and twice the same is written.
        before = cells[at]
        cells[at] = torch.where(before > 0, before / penalty, before * penalty)
    for at, penalty in counted.on(logits.device):
        cells.index_put_((at,), -penalty, accumulate=True)
    for at, penalty in present.on(logits.device):
        cells[at] = cells[at] - penalty


class _Cells:
    """Places in a matrix, with a number for each."""

    def __init__(self, num_columns: int):
        self._num_columns = num_columns
        self._at: list[np.ndarray] = []
        self._numbers: list[np.ndarray] = []

    def add(self, row: int, columns: Sequence[int], numbers: float | Sequence[float]) -> None:
        """Cells of one row, with one number for all or one for each."""
        at = np.array(columns, dtype=np.int64)
        self._at.append(at + row * self._num_columns)
        self._numbers.append(np.broadcast_to(np.asarray(numbers, dtype=np.float64), at.shape))

    def on(self, device: torch.device) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """All of them, flat, in one pair; no pair when there are none."""
        if not self._at:
            return []
        both = np.concatenate(self._at), np.concatenate(self._numbers)
        return [(torch.from_numpy(both[0]).to(device), torch.from_numpy(both[1]).to(device))]
