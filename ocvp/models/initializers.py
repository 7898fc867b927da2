"""Slots before the first frame is seen: drawn, learned, or made from what is known of objects.

B batch, N slots, D slot_dim, K objects (at most N).
"""

from typing import Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from ocvp.models.precision import full_precision

PUBLISHED_ABSENT = -0.5  # every coordinate of an absent object, as the published networks saw it


class LearnedRandomSlots(nn.Module):
    """mean + sigma * noise with one mean and one sigma for all slots; sigma may be negative."""

    def __init__(self, *, slot_dim: int) -> None:
        """Make mean and sigma, shape (1, 1, D) each."""
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(1, 1, slot_dim))
        self.sigma = nn.Parameter(torch.ones(1, 1, slot_dim))

    def forward(self, noise: Tensor) -> Tensor:
        """Scale and shift a unit normal draw, shape (B, N, D)."""
        return self.mean + self.sigma * noise  # (B, N, D)


class LearnedSlots(nn.Module):
    """One learned vector for each slot, without noise (SlotContrast, Manasyan et al. 2025)."""

    def __init__(self, *, num_slots: int, slot_dim: int) -> None:
        """Make the vectors, shape (N, D), alike until they are drawn: `SAVi.reset_parameters`."""
        super().__init__()
        self.slots = nn.Parameter(torch.zeros(num_slots, slot_dim))

    def forward(self, num_videos: int) -> Tensor:
        """Return the same slots for each video, shape (B, N, D)."""
        return self.slots.expand(num_videos, -1, -1)


class CoordinateSlots(nn.Module):
    """Slots from the coordinates of objects through an MLP (Kipf et al. 2022, 3.3).

    An object is absent where all its coordinates are negative. Where there are fewer objects than
    slots, the rest are absent.
    """

    def __init__(
        self,
        *,
        num_slots: int,
        slot_dim: int,
        num_coordinates: int,
        absent: Literal["learned", "published"],
        are_fractions: bool = False,
        hidden_dim: int = 256,
    ) -> None:
        """Make the MLP and, where absent slots are learned, a vector for each slot index.

        Args:
            num_slots: Slots to make.
            slot_dim: Width of the slots.
            num_coordinates: 4 for boxes, 2 for centres.
            absent: `learned` gives the slot of an absent object a learned vector of its own for
                each slot index; `published` feeds the MLP -0.5 in every coordinate.
            are_fractions: Whether coordinates are fractions of the frame. The MLP then sees them
                from -1 to 1, the range of the position grid: LayerNorm keeps only the direction of
                a slot, and boxes in one corner would all have the same.
            hidden_dim: Hidden width of the MLP.
        """
        super().__init__()
        self.num_slots = num_slots
        self.num_coordinates = num_coordinates
        self.are_fractions = are_fractions
        self.mlp = nn.Sequential(
            nn.Linear(num_coordinates, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, slot_dim)
        )
        self.absent_slots: nn.Parameter | None = None
        if absent == "learned":
            self.absent_slots = nn.Parameter(torch.zeros(num_slots, slot_dim))  # (N, D)

    def forward(self, coordinates: Tensor) -> Tensor:
        """Make slots from the coordinates of the first frame.

        Args:
            coordinates: Shape (B, K, num_coordinates) or (B, T, K, num_coordinates), of which the
                first frame counts; K at most num_slots.

        Returns:
            Slots, shape (B, N, D).

        Raises:
            ValueError: If the shape is another one or there are more objects than slots.
        """
        if coordinates.dim() == 4:
            coordinates = coordinates[:, 0]  # (B, K, num_coordinates)
        if coordinates.dim() != 3 or coordinates.shape[-1] != self.num_coordinates:
            raise ValueError(
                f"coordinates have shape {tuple(coordinates.shape)}: this initializer takes "
                f"(B, K, {self.num_coordinates}) or (B, T, K, {self.num_coordinates})"
            )
        missing = self.num_slots - coordinates.shape[1]
        if missing < 0:
            raise ValueError(
                f"{coordinates.shape[1]} objects for {self.num_slots} slots: "
                f"give at most as many objects as num_slots"
            )
        coordinates = functional.pad(coordinates, (0, 0, 0, missing), value=PUBLISHED_ABSENT)
        absent = (coordinates < 0).all(dim=-1, keepdim=True)  # (B, N, 1)
        coordinates = coordinates.masked_fill(absent, PUBLISHED_ABSENT)  # (B, N, num_coordinates)
        with full_precision(coordinates.device):
            slots = self.mlp(
                2 * coordinates - 1 if self.are_fractions else coordinates
            )  # (B, N, D)
        return slots if self.absent_slots is None else torch.where(absent, self.absent_slots, slots)
