"""SAVi's encoder: frames to a set of position-aware features.

F frames (batch and time together), H W pixels, P positions of the feature map.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from ocvp.models.position import SoftPositionEmbedding
from ocvp.models.precision import full_precision


class Encoder(nn.Module):
    """Convolutions, a position embedding and an MLP on each position (Kipf et al. 2022, 3.1)."""

    def __init__(
        self,
        *,
        resolution: tuple[int, int],
        channels: Sequence[int],
        mlp_dim: int,
        kernel_size: int = 5,
        num_downsampled: int = 0,
    ) -> None:
        """Make the encoder.

        Args:
            resolution: (rows, columns) of the frames.
            channels: Output channels of the convolutions, first to last.
            mlp_dim: Hidden and output width of the MLP, the width of the features.
            kernel_size: Odd side of the kernels.
            num_downsampled: Number of convolutions, from the first on, with a stride of 2.
        """
        super().__init__()
        self.convolutions = nn.ModuleList()
        height, width = resolution
        previous = 3  # red, green, blue
        for index, current in enumerate(channels):
            stride = 2 if index < num_downsampled else 1
            self.convolutions.append(
                nn.Conv2d(previous, current, kernel_size, stride, padding=kernel_size // 2)
            )
            height, width = -(-height // stride), -(-width // stride)  # rounded up, as padded
            previous = current
        self.feature_size = (height, width)
        self.position = SoftPositionEmbedding(channels=previous, size=self.feature_size)
        self.mlp = nn.Sequential(
            nn.LayerNorm(previous, eps=1e-5),
            nn.Linear(previous, mlp_dim),
            nn.ReLU(inplace=True),
            nn.Linear(mlp_dim, mlp_dim),
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Encode frames of any number at once.

        Args:
            frames: Shape (F, 3, H, W), values in [0, 1].

        Returns:
            Features, shape (F, P, mlp_dim); bfloat16 where autocast is on.
        """
        features = frames.contiguous(memory_format=torch.channels_last)  # (F, 3, H, W)
        for convolution in self.convolutions:
            features = functional.relu(convolution(features), inplace=True)  # (F, C, H, W)
        with full_precision(frames.device):  # then the sum that LayerNorm sees is float32 too
            positions = self.position()  # (1, C, H, W)
        features = features + positions
        return self.mlp(features.flatten(2).transpose(1, 2))  # (F, P, mlp_dim)
