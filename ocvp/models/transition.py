"""SAVi's transition: from the corrected slots of a frame to the first guess for the next one.

B batch, N slots, D slot_dim.

All of it stays float32 under autocast, as in slot attention.
"""

import torch.nn.functional as functional
from torch import Tensor, nn

from ocvp.models.precision import full_precision


class Transition(nn.Module):
    """One post-norm transformer block over the slots of a frame (Kipf et al. 2022, 3.1)."""

    def __init__(self, *, slot_dim: int, num_heads: int = 4, mlp_dim: int = 256) -> None:
        """Make the block.

        Args:
            slot_dim: Width of the slots, a multiple of num_heads.
            num_heads: Attention heads.
            mlp_dim: Hidden width of the MLP.
        """
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(slot_dim, slot_dim, bias=False)
        self.key = nn.Linear(slot_dim, slot_dim, bias=False)
        self.value = nn.Linear(slot_dim, slot_dim, bias=False)
        self.output = nn.Linear(slot_dim, slot_dim, bias=False)
        self.norm_attention = nn.LayerNorm(slot_dim, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(slot_dim, mlp_dim), nn.ReLU(inplace=True), nn.Linear(mlp_dim, slot_dim)
        )
        self.norm_mlp = nn.LayerNorm(slot_dim, eps=1e-6)

    def forward(self, slots: Tensor) -> Tensor:
        """Move slots one frame on, shape (B, N, D) to (B, N, D)."""
        with full_precision(slots.device):
            queries, keys, values = (
                layer(slots).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, heads, N, .)
                for layer in (self.query, self.key, self.value)
            )
            attended = functional.scaled_dot_product_attention(queries, keys, values)
            slots = self.norm_attention(slots + self.output(attended.transpose(1, 2).flatten(2)))
            return self.norm_mlp(slots + self.mlp(slots))
