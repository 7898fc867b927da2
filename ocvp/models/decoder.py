"""SAVi's spatial-broadcast decoder, in the plain form and in an exactly equal faster one.

S slots (batch, time and slots together), D slot_dim, C channels, H W rows and columns.

The plain form broadcasts each slot over a small map, adds the position embedding and applies
convolutions with nearest x2 upsampling in between, then a 3x3 convolution to four channels. The
fast form has the same parameters:

- The first convolution sees a slot that is constant in space, so its output depends on the
  position only through the kernel taps that zero padding cuts off: one linear layer gives the
  few different values, which are then spread over the map.
- Nearest x2 upsampling followed by a convolution is a convolution of the small map with four
  smaller kernels, one for each parity of the output pixel, each tap the sum of the taps that fall
  on the same source pixel (the sub-pixel form). Zero padding agrees at the border too. The four
  outputs are a block of 2x2 pixels, kept in the channels of the small map.
- The last convolution reads these blocks where they are: a 2x2 block of its output, shifted by
  one pixel, needs 4x4 pixels, which are 2x2 blocks. This spares a pass over the largest map, and
  16 output channels keep a processor's vector units busier than 4 do.

Maps are channels last in memory throughout, which is faster on CPUs and GPUs alike.
"""

import itertools
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from ocvp.models.position import SoftPositionEmbedding
from ocvp.models.precision import full_precision

TARGET_CHANNELS = {"flow": 3, "depth": 1, "difference": 3}
"""What can be decoded beside colours and mask, and the channels of each (`ocvp.training.targets`
says what they hold)."""


def parity_taps(kernel_size: int) -> Tensor:
    """Which small-map tap each kernel tap falls on, for both parities of the output pixel.

    Args:
        kernel_size: Odd side of the kernel that follows the upsampling.

    Returns:
        0/1 matrix, shape (2, small, kernel_size), where small = 2 * ceil(padding / 2) + 1.
    """
    padding = kernel_size // 2
    radius = (padding + 1) // 2
    # the small pixel that a tap falls on, from the leftmost that any needs: (2, kernel_size)
    source = (torch.arange(2)[:, None] + torch.arange(kernel_size) - padding) // 2 + radius
    taps = functional.one_hot(source, 2 * radius + 1)  # (2, kernel_size, small)
    return taps.float().transpose(1, 2).contiguous()  # (2, small, kernel_size)


def block_taps() -> Tensor:
    """Which row of a 4-row window each tap of the output convolution reads, for both output rows.

    Returns:
        0/1 matrix, shape (2, 4, 3).
    """
    rows = torch.arange(2)[:, None] + torch.arange(3)  # (2, 3)
    return functional.one_hot(rows, 4).float().transpose(1, 2).contiguous()  # (2, 4, 3)


def border_taps(kernel_size: int, size: int) -> Tensor:
    """Which kernel taps stay inside a line of pixels, for each kind of position.

    Args:
        kernel_size: Odd side of the kernel.
        size: Pixels in the line.

    Returns:
        0/1 matrix, shape (min(size, kernel_size), kernel_size): one row for each position, or,
        in a longer line, for each one near a border with a single row for all in the middle.
    """
    # a line of kernel_size pixels has each kind of position once
    kinds = min(size, kernel_size)
    offsets = torch.arange(kinds)[:, None] + torch.arange(kernel_size) - kernel_size // 2
    return ((offsets >= 0) & (offsets < kinds)).float()


def spread(values: Tensor, dim: int, size: int, kernel_size: int) -> Tensor:
    """Repeat the middle one of kernel_size kinds of positions until the line has `size` pixels."""
    if size <= kernel_size:
        return values
    border = kernel_size // 2
    first, middle, last = values.split([border, 1, border], dim=dim)
    shape = list(values.shape)
    shape[dim] = size - 2 * border
    return torch.cat([first, middle.expand(shape), last], dim=dim)


class Decoder(nn.Module):
    """Decode each slot on its own into an image and a mask logit (Kipf et al. 2022, 3.1).

    Set `fast` to False to compute the plain form.
    """

    fast = True
    border_rows: Tensor
    border_columns: Tensor
    parities: Tensor
    windows: Tensor

    def __init__(
        self,
        *,
        slot_dim: int,
        channels: Sequence[int],
        resolution: tuple[int, int],
        kernel_size: int = 5,
        upsample: bool = True,
        targets: Sequence[str] = (),
    ) -> None:
        """Make the decoder.

        Args:
            slot_dim: Width of the slots.
            channels: Output channels of the convolutions, in the order applied.
            resolution: (rows, columns) of the map that slots are broadcast to.
            kernel_size: Odd side of the kernels; the output convolution's is 3.
            upsample: Double the map after each convolution but the last.
            targets: What is decoded besides where it is asked for, of `TARGET_CHANNELS`.
        """
        super().__init__()
        self.resolution = resolution
        self.kernel_size = kernel_size
        self.upsample = upsample
        widths = [slot_dim, *channels]
        self.position = SoftPositionEmbedding(channels=slot_dim, size=resolution)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2)
            for before, after in itertools.pairwise(widths)
        )
        self.output = nn.Conv2d(widths[-1], 4, 3, padding=1)
        # Each by itself, so that the weights of all else have the same names and shapes without.
        self.targets = nn.ModuleDict(
            {name: nn.Conv2d(widths[-1], TARGET_CHANNELS[name], 3, padding=1) for name in targets}
        )
        rows, columns = resolution
        self.register_buffer("border_rows", border_taps(kernel_size, rows), persistent=False)
        self.register_buffer("border_columns", border_taps(kernel_size, columns), persistent=False)
        self.register_buffer("parities", parity_taps(kernel_size), persistent=False)
        self.register_buffer("windows", block_taps(), persistent=False)

    def forward(self, slots: Tensor, with_targets: bool = False) -> Tensor:
        """Decode slots of any number at once.

        Args:
            slots: Shape (S, D).
            with_targets: Decode the targets too.

        Returns:
            Shape (S, 4, H, W): red, green, blue and the mask logit, not clamped; after them, where
            asked for, the channels of the targets in their order. bfloat16 where autocast is on.
        """
        others = self.targets.values() if with_targets else ()
        outputs = cast(list[nn.Conv2d], [self.output, *others])
        if not self.fast:
            features = self._plain(slots)
            return _joined([output(features) for output in outputs], dim=1)
        features = functional.relu(self._first(slots), inplace=True)
        later = self._layers()[1:]
        if not (self.upsample and later):
            for convolution in later:
                features = functional.relu(convolution(features), inplace=True)
            return _joined([output(features) for output in outputs], dim=1)
        # blocks are unfolded for the next convolution; the last ones stay, the output reads those
        for index, convolution in enumerate(later):
            if index > 0:
                features = _unfold_blocks(features)
            features = functional.relu(self._to_blocks(convolution, features), inplace=True)
        return self._outputs_of_blocks(outputs, features)

    def _plain(self, slots: Tensor) -> Tensor:
        """Compute the features before the output as the paper describes it."""
        with full_precision(slots.device):
            positions = self.position()
        features = (
            slots[:, :, None, None].expand(-1, -1, *self.resolution) + positions
        )  # (S, D, H, W)
        for index, convolution in enumerate(self._layers()):
            if self.upsample and index > 0:
                features = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = functional.relu(convolution(features))
        return features

    def _layers(self) -> list[nn.Conv2d]:
        """Return the convolutions before the output, typed."""
        return cast(list[nn.Conv2d], list(self.convolutions))

    def _first(self, slots: Tensor) -> Tensor:
        """Broadcast, add positions, convolve: (S, D) to (S, C, H, W)."""
        convolution = self._layers()[0]
        # autocast would round the sums of weights before the convolution rounds them again
        with full_precision(slots.device):
            kernels = torch.einsum(  # (kinds, kinds, C, D)
                "ocij,hi,wj->hwoc", convolution.weight, self.border_rows, self.border_columns
            )
            position = self.position()  # (1, D, H, W)
        values = functional.linear(slots, kernels.flatten(0, 2))  # (S, kinds * kinds * C)
        values = values.view(-1, *kernels.shape[:3])  # (S, kinds, kinds, C)
        values = spread(values, 1, self.resolution[0], self.kernel_size)  # (S, H, kinds, C)
        values = spread(values, 2, self.resolution[1], self.kernel_size)  # (S, H, W, C)
        positions = convolution(position).permute(0, 2, 3, 1)  # (1, H, W, C)
        return (values + positions).permute(0, 3, 1, 2)  # (S, C, H, W)

    def _to_blocks(self, convolution: nn.Conv2d, features: Tensor) -> Tensor:
        """Upsample and convolve: (S, C, H, W) to (S, 4 C', H, W), channels (row, column, C')."""
        with full_precision(features.device):
            kernels = torch.einsum(
                "ocij,pai,qbj->pqocab", convolution.weight, self.parities, self.parities
            ).flatten(0, 2)  # (4 C', C, small, small)
        assert convolution.bias is not None
        padding = self.parities.shape[1] // 2
        return functional.conv2d(features, kernels, convolution.bias.repeat(4), padding=padding)

    def _outputs_of_blocks(self, outputs: Sequence[nn.Conv2d], features: Tensor) -> Tensor:
        """Apply output convolutions to blocks: (S, 4 C, H, W) to (S, C', 2 H, 2 W)."""
        weight = _joined([output.weight for output in outputs])  # (C', C, 3, 3)
        bias = _joined([cast(Tensor, output.bias) for output in outputs])  # (C',)
        with full_precision(features.device):
            kernels = torch.einsum(
                "ocij,pui,qvj->opqcuv", weight, self.windows, self.windows
            )  # (C', 2, 2, C, 4, 4)
        # rows and columns of the window are (block, row in the block)
        kernels = kernels.unflatten(5, (2, 2)).unflatten(4, (2, 2))
        kernels = (
            kernels.permute(0, 1, 2, 5, 7, 3, 4, 6).flatten(3, 5).flatten(0, 2)
        )  # (4 C', 4 C, 2, 2)
        # (4 C',), in the order of the kernels: channel, row, column
        biases = bias.repeat_interleave(4)
        shifted = functional.conv2d(features, kernels, biases, padding=1)  # (S, 4 C', H + 1, W + 1)
        return functional.pixel_shuffle(shifted, 2)[:, :, 1:-1, 1:-1]  # (S, C', 2 H, 2 W)


def _joined(parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors along an axis; one stays as it is."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim)


def _unfold_blocks(features: Tensor) -> Tensor:
    """Put the pixels of blocks in their places: (S, 4 C, H, W) to (S, C, 2 H, 2 W)."""
    _, channels, height, width = features.shape
    # pixel_shuffle wants another order of the channels, and is several times slower
    blocks = features.permute(0, 2, 3, 1).unflatten(3, (2, 2, channels // 4))  # (S, H, W, 2, 2, C)
    pixels = blocks.transpose(2, 3).reshape(-1, 2 * height, 2 * width, channels // 4)
    return pixels.permute(0, 3, 1, 2)  # (S, C, 2 H, 2 W)
