"""What a transformer asks of attention."""

from typing import Protocol

import torch


class Attention(Protocol):
    """Attention of one step's queries, all layers alike."""

    positions: torch.Tensor
    """Position of each token of the batch in its sequence, `[tokens]`."""

    def __call__(
        self, query: torch.Tensor, keys_values: torch.Tensor, layer: torch.Tensor, window: int | None
    ) -> torch.Tensor:
        """Writes the batch's keys and values to the layer's pages, then attends.

        Args:
            query: `[tokens, num_heads, head_dim]`.
            keys_values: `[tokens, 2 * num_kv_heads, head_dim]`, keys first.
            layer: the layer's slots, `[2 * num_kv_heads, slots, head_dim]`, keys first.
            window: how far back this layer looks: position `i` sees `j` iff `i - window < j <= i`; None: all
                `j <= i`. Pages before every window stay in the table: other layers may look further.

        Returns:
            `[tokens, num_heads * head_dim]`.
        """
        ...
