"""Slot attention: slots compete for the positions of a frame (Locatello et al. 2020, algorithm 1).

B batch, N slots, D slot_dim, P positions, F width of the inputs.

Queries, keys and values are linear, so keys and values of all positions are never formed:
q k = (q W_k) x + q b_k, and, as the weights of a slot sum to one, sum a v = W_v (sum a x) + b_v.
Slots are few and positions many, which saves most of the multiplications and of the memory.

All of it stays float32 under autocast: slots are carried through every frame, and few.
"""

import torch
from torch import Tensor, nn

from ocvp.models.precision import full_precision

ATTENTION_EPS = 1e-8  # keeps a slot that wins no position from dividing by zero


class SlotAttention(nn.Module):
    """Iterative slot correction with a GRU and a residual MLP inside every iteration."""

    def __init__(self, *, input_dim: int, slot_dim: int, mlp_dim: int) -> None:
        """Make the corrector.

        Args:
            input_dim: Width of the input features; logits are scaled by its inverse root.
            slot_dim: Width of the slots.
            mlp_dim: Hidden width of the residual MLP.
        """
        super().__init__()
        self.scale = input_dim**-0.5
        self.last_gradient_only = False
        """Whether gradients flow through the last iteration alone; a training sets it. What comes
        before it is then a search of the point from which it starts, as in the implicit
        differentiation of Chang et al. 2022 (first order), and the given slots get the gradient of
        that point straight through, as in Jia et al. 2023."""
        self.norm_inputs = nn.LayerNorm(input_dim, eps=1e-3)
        self.norm_slots = nn.LayerNorm(slot_dim, eps=1e-3)
        self.norm_mlp = nn.LayerNorm(slot_dim, eps=1e-3)
        self.query = nn.Linear(slot_dim, slot_dim)
        self.key = nn.Linear(input_dim, slot_dim)
        self.value = nn.Linear(input_dim, slot_dim)
        self.gru = nn.GRUCell(slot_dim, slot_dim)
        self.mlp = nn.Sequential(
            nn.Linear(slot_dim, mlp_dim), nn.ReLU(inplace=True), nn.Linear(mlp_dim, slot_dim)
        )

    def attention(self, inputs: Tensor, slots: Tensor, empty: Tensor | None = None) -> Tensor:
        """Share each position among the slots.

        Args:
            inputs: Normalised features, shape (B, P, F).
            slots: Slots before their own normalisation, shape (B, N, D).
            empty: Which slots get nothing, bool, shape (B, N), not all of a video; None: none.

        Returns:
            Attention, shape (B, N, P), summing to one over the slots.
        """
        queries = self.query(self.norm_slots(slots)) * self.scale  # (B, N, D)
        bias = queries @ self.key.bias  # (B, N): q b_k
        logits = torch.baddbmm(  # (B, N, P)
            bias.unsqueeze(-1), queries @ self.key.weight, inputs.transpose(1, 2)
        )
        if empty is not None:
            logits = logits.masked_fill(empty.unsqueeze(-1), -torch.inf)
        return logits.softmax(dim=1)  # (B, N, P), over slots: they compete

    def forward(
        self, inputs: Tensor, slots: Tensor, num_iterations: int, empty: Tensor | None = None
    ) -> Tensor:
        """Correct slots with the features of one frame.

        Args:
            inputs: Features normalised by `norm_inputs`, shape (B, P, F).
            slots: Slots to start from, shape (B, N, D).
            num_iterations: Rounds of attention, at least 1.
            empty: Which slots get nothing (see `attention`); what becomes of them means nothing.

        Returns:
            Corrected slots, shape (B, N, D).
        """
        with full_precision(slots.device):
            if not self.last_gradient_only:
                return self._iterate(inputs, slots, num_iterations, empty)
            with torch.no_grad():
                found = self._iterate(inputs, slots, num_iterations - 1, empty)
            # found, with the gradient of slots
            return self._iterate(inputs, found.detach() + (slots - slots.detach()), 1, empty)

    def _iterate(
        self, inputs: Tensor, slots: Tensor, num_iterations: int, empty: Tensor | None
    ) -> Tensor:
        for _ in range(num_iterations):
            weights = self.attention(inputs, slots, empty) + ATTENTION_EPS  # (B, N, P)
            means = (weights @ inputs) / weights.sum(dim=-1, keepdim=True)  # (B, N, F)
            # the state that the GRU carries is the slots before normalisation
            corrected = self.gru(self.value(means).flatten(0, 1), slots.flatten(0, 1))
            corrected = corrected.view_as(slots)  # (B, N, D)
            slots = corrected + self.mlp(self.norm_mlp(corrected))
        return slots
