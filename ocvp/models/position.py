"""Where and when: position embeddings of feature maps and of time.

B batch, H W rows and columns of a feature map, C channels, T frames.
"""

import math

import torch
from torch import Tensor, nn


def position_grid(height: int, width: int) -> Tensor:
    """Coordinates (y, x, 1 - y, 1 - x) of a feature map, y and x from -1 to 1, ends included.

    Args:
        height: Rows of the map, at least 1.
        width: Columns of the map, at least 1.

    Returns:
        float32 grid, shape (height, width, 4). Computed in float64, then cast.
    """
    rows = torch.linspace(-1.0, 1.0, height, dtype=torch.float64)
    columns = torch.linspace(-1.0, 1.0, width, dtype=torch.float64)
    y, x = torch.meshgrid(rows, columns, indexing="ij")  # (H, W) each
    return torch.stack([y, x, 1.0 - y, 1.0 - x], dim=-1).float()  # (H, W, 4)


class SoftPositionEmbedding(nn.Module):
    """A learned linear projection of the position grid (Locatello et al. 2020, appendix E.2)."""

    grid: Tensor

    def __init__(self, *, channels: int, size: tuple[int, int]) -> None:
        """Make the embedding for maps of one size.

        Args:
            channels: Width of the embedding.
            size: (rows, columns) of the feature map that it is added to.
        """
        super().__init__()
        self.register_buffer("grid", position_grid(*size), persistent=False)  # (H, W, 4)
        self.projection = nn.Linear(4, channels)

    def forward(self) -> Tensor:
        """Return the embedding, shape (1, C, H, W), channels last in memory."""
        return self.projection(self.grid).permute(2, 0, 1).unsqueeze(0)


def sinusoidal_time_encoding(num_frames: int, channels: int) -> Tensor:
    """Sine on even and cosine on odd channels, base 10000 (Vaswani et al. 2017, section 3.5).

    Args:
        num_frames: Positions to encode; position 0 is the oldest frame of a window.
        channels: Width of the encoding, may be odd.

    Returns:
        float32 encoding, shape (num_frames, channels), computed in float64.
    """
    even = torch.arange(0, channels, 2, dtype=torch.float64)
    frequencies = torch.exp(even * (-math.log(10000.0) / channels))
    angles = torch.arange(num_frames, dtype=torch.float64)[:, None] * frequencies  # (T, C / 2)
    encoding = torch.empty(num_frames, channels, dtype=torch.float64)
    encoding[:, 0::2] = angles.sin()
    encoding[:, 1::2] = angles.cos()[:, : channels // 2]  # one fewer where channels is odd
    return encoding.float()
