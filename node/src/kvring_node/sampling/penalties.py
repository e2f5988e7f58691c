"""What a request adds to logits: biases, and penalties for tokens that were there before.

Order and meaning are vLLM's (vllm/v1/sample/sampler.py, ops/penalties.py): logit_bias, then the repetition
penalty over prompt and answer (Keskar et al., arXiv 1909.05858), then frequency and presence penalties over
the answer alone. Only the cells of the tokens concerned are touched.
"""

from collections.abc import Iterator, Sequence

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
    biased, repeated, counted, present = _Cells(), _Cells(), _Cells(), _Cells()
    for row, draw in enumerate(draws):
        params = draw.params
        for token_id, number in params.logit_bias:
            biased.add(row, (token_id,), number)
        if params.repetition_penalty != 1:
            repeated.add(row, draw.token_ids, params.repetition_penalty)
        if params.frequency_penalty:
            counted.add(row, draw.token_ids[draw.num_prompt_tokens :], params.frequency_penalty)
        if params.presence_penalty:
            present.add(row, draw.token_ids[draw.num_prompt_tokens :], params.presence_penalty)
    cells = logits.view(-1)
    for at, bias in biased.of(logits):
        cells.index_put_((at,), bias, accumulate=True)
    for at, penalty in repeated.of(logits):
        # Here and below a token that came twice is read twice, and twice the same is written.
        before = cells[at]
        cells[at] = torch.where(before > 0, before / penalty, before * penalty)
    for at, penalty in counted.of(logits):
        cells.index_put_((at,), -penalty, accumulate=True)
    for at, penalty in present.of(logits):
        cells[at] = cells[at] - penalty


class _Cells:
    """Places in a matrix, with a number for each."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._counts: list[int] = []
        self._numbers: list[float] = []
        self._columns: list[int] = []

    def add(self, row: int, columns: Sequence[int], number: float) -> None:
        """Some places in one row, with one number for all."""
        self._rows.append(row)
        self._counts.append(len(columns))
        self._numbers.append(number)
        self._columns += columns

    def of(self, matrix: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All places, counted through the whole matrix, and their numbers; nothing when there are none."""
        if self._columns:
            rows = np.repeat(np.array(self._rows), self._counts)
            at = rows * matrix.shape[1] + np.array(self._columns)
            numbers = np.repeat(np.array(self._numbers, dtype=np.float64), self._counts)
            yield torch.from_numpy(at).to(matrix.device), torch.from_numpy(numbers).to(matrix.device)
