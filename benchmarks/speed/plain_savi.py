"""SAVi as its paper describes it, step by step (Kipf et al., ICLR 2022).

It is what speed is measured against: each frame is encoded, corrected, decoded and moved on before
the next one is looked at; keys and values of all positions are formed; maps are doubled by
repeating pixels, and the large map is convolved. All of it is float32. Parameters have the names of
`ocvp.models.savi`, so that both compute with the same weights.

B batch, T frames, N slots, D slot_dim, S slots of all videos, P positions, F width of the features.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

DEFAULTS = {"transition_heads": 4, "transition_mlp_dim": 256}
"""Arguments that a config does not have."""


class Decoded(NamedTuple):
    """What `ocvp.models.savi.SaviOutput` holds: of one frame, (B, ...), or several, (B, T, ...)."""

    slots: Tensor
    reconstruction: Tensor
    objects: Tensor
    masks: Tensor


class PlainSavi(nn.Module):
    """A SAVi with the weights of another one, computed in the plain way.

    Args:
        savi: The SAVi whose weights it takes. The first slots are made by a copy of its
            initializer, which takes next to no time.
        model: The arguments that made it.

    Raises:
        ValueError: If it prunes slots, which is not done here.
    """

    def __init__(self, savi: Any, model: Mapping[str, Any]) -> None:
        super().__init__()
        model = DEFAULTS | dict(model)
        if model.get("prune_threshold") is not None:
            raise ValueError(
                f"model.prune_threshold is {model['prune_threshold']}; no slots are pruned in the "
                "plain formulation, and times of different work cannot be compared: set it to null"
            )
        self.resolution, self.num_slots, self.slot_dim = (
            savi.resolution,
            savi.num_slots,
            savi.slot_dim,
        )
        self.initializer_kind, self.box_format = savi.initializer_kind, savi.box_format
        self.num_iterations_first = model["num_iterations_first"]
        self.num_iterations = model["num_iterations"]
        slot_dim, mlp_dim = model["slot_dim"], model["encoder_mlp_dim"]
        self.encoder = PlainEncoder(
            model["resolution"],
            model["encoder_channels"],
            mlp_dim,
            model["kernel_size"],
            model["downsampled_convolutions"] if model["downsample_encoder"] else 0,
        )
        self.initializer = copy.deepcopy(savi.initializer)
        self.corrector = PlainSlotAttention(mlp_dim, slot_dim, model["slot_mlp_dim"])
        self.transition: nn.Module = nn.Identity()
        if model["transition"]:
            self.transition = PlainTransition(
                slot_dim, model["transition_heads"], model["transition_mlp_dim"]
            )
        self.decoder = PlainDecoder(
            slot_dim,
            model["decoder_channels"],
            model["decoder_resolution"],
            model["kernel_size"],
            model["downsample_decoder"],
        )
        self.load_state_dict(savi.state_dict())
        self.to(next(savi.parameters()).device)

    def forward(self, frames: Tensor, **conditions: Tensor) -> Decoded:
        """Encode and decode a video, frame by frame.

        Args:
            frames: Shape (B, T, 3, H, W).
            conditions: `noise`, `boxes` or `centres`: what the initializer takes.

        Returns:
            Of all frames, (B, T, ...).
        """
        (start,) = conditions.values() or (len(frames),)  # learned slots take just their number
        slots = self.initializer(start)  # (B, N, D)
        decoded = []
        for time in range(frames.shape[1]):
            if time > 0:
                slots = self.transition(slots)
            num_iterations = self.num_iterations if time > 0 else self.num_iterations_first
            slots = self.corrector(self.encoder(frames[:, time]), slots, num_iterations)
            decoded.append(self.decode_frame(slots))
        return _over_time(decoded)

    def decode(self, slots: Tensor) -> Decoded:
        """Decode slots (B, T, N, D), frame by frame."""
        return _over_time([self.decode_frame(frame) for frame in slots.unbind(dim=1)])

    def decode_frame(self, slots: Tensor) -> Decoded:
        """Decode the slots of one frame, (B, N, D)."""
        decoded = self.decoder(slots.flatten(0, 1)).unflatten(0, slots.shape[:2])
        objects, logits = decoded[:, :, :3], decoded[:, :, 3:]  # (B, N, 3, H, W), (B, N, 1, H, W)
        masks = logits.softmax(dim=1)
        return Decoded(slots, (masks * objects).sum(dim=1), objects, masks)


def _over_time(frames: Sequence[Decoded]) -> Decoded:
    """Join frames (B, ...) to (B, T, ...)."""
    return Decoded(*(torch.stack(parts, dim=1) for parts in zip(*frames, strict=True)))


class PlainPosition(nn.Module):
    """The soft position embedding of a map: a projection of (y, x, 1 - y, 1 - x)."""

    grid: Tensor

    def __init__(self, channels: int, size: Sequence[int]) -> None:
        super().__init__()
        lines = [torch.linspace(-1, 1, length, dtype=torch.float64) for length in size]
        y, x = torch.meshgrid(*lines, indexing="ij")
        grid = torch.stack([y, x, 1 - y, 1 - x], dim=-1).float()  # (H, W, 4)
        self.register_buffer("grid", grid, persistent=False)
        self.projection = nn.Linear(4, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Add the embedding to a map (B, C, H, W)."""
        return features + self.projection(self.grid).movedim(-1, 0)


class PlainEncoder(nn.Module):
    """Convolutions, positions, and an MLP on each position: (B, 3, H, W) to (B, P, F)."""

    def __init__(
        self,
        resolution: Sequence[int],
        channels: Sequence[int],
        mlp_dim: int,
        kernel_size: int,
        num_downsampled: int,
    ) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        size, before = list(resolution), 3
        for number, after in enumerate(channels):
            stride = 2 if number < num_downsampled else 1
            self.convolutions.append(
                nn.Conv2d(before, after, kernel_size, stride, padding=kernel_size // 2)
            )
            size, before = [-(-side // stride) for side in size], after
        self.position = PlainPosition(before, size)
        self.mlp = nn.Sequential(
            nn.LayerNorm(before), nn.Linear(before, mlp_dim), nn.ReLU(), nn.Linear(mlp_dim, mlp_dim)
        )

    def forward(self, frames: Tensor) -> Tensor:
        for convolution in self.convolutions:
            frames = functional.relu(convolution(frames))
        return self.mlp(self.position(frames).flatten(2).transpose(1, 2))


class PlainSlotAttention(nn.Module):
    """Slot attention (Locatello et al. 2020, algorithm 1): (B, P, F), (B, N, D) to (B, N, D)."""

    def __init__(self, input_dim: int, slot_dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.scale = input_dim**-0.5
        self.last_gradient_only = False
        self.norm_inputs = nn.LayerNorm(input_dim, eps=1e-3)
        self.norm_slots = nn.LayerNorm(slot_dim, eps=1e-3)
        self.norm_mlp = nn.LayerNorm(slot_dim, eps=1e-3)
        self.query = nn.Linear(slot_dim, slot_dim)
        self.key = nn.Linear(input_dim, slot_dim)
        self.value = nn.Linear(input_dim, slot_dim)
        self.gru = nn.GRUCell(slot_dim, slot_dim)
        self.mlp = nn.Sequential(
            nn.Linear(slot_dim, mlp_dim), nn.ReLU(), nn.Linear(mlp_dim, slot_dim)
        )

    def forward(self, features: Tensor, slots: Tensor, num_iterations: int) -> Tensor:
        inputs = self.norm_inputs(features)
        keys, values = self.key(inputs), self.value(inputs)  # (B, P, D) each
        if self.last_gradient_only:  # the last iteration starts from what the others found
            with torch.no_grad():
                found = slots
                for _ in range(num_iterations - 1):
                    found = self.iterate(keys, values, found)
            slots = slots + (found - slots).detach()  # found, with the gradient of slots
            num_iterations = 1
        for _ in range(num_iterations):
            slots = self.iterate(keys, values, slots)
        return slots

    def iterate(self, keys: Tensor, values: Tensor, slots: Tensor) -> Tensor:
        """Correct slots once, with keys and values (B, P, D)."""
        queries = self.query(self.norm_slots(slots))  # (B, N, D)
        logits = self.scale * keys @ queries.transpose(1, 2)  # (B, P, N)
        attention = logits.softmax(dim=-1) + 1e-8
        weights = attention / attention.sum(dim=1, keepdim=True)
        updates = weights.transpose(1, 2) @ values  # (B, N, D)
        state = self.gru(updates.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
        return state + self.mlp(self.norm_mlp(state))


class PlainTransition(nn.Module):
    """One transformer block with norms after the sums: (B, N, D) to (B, N, D)."""

    def __init__(self, slot_dim: int, num_heads: int, mlp_dim: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value, self.output = (
            nn.Linear(slot_dim, slot_dim, bias=False) for _ in range(4)
        )
        self.norm_attention = nn.LayerNorm(slot_dim, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(slot_dim, mlp_dim), nn.ReLU(), nn.Linear(mlp_dim, slot_dim)
        )
        self.norm_mlp = nn.LayerNorm(slot_dim, eps=1e-6)

    def forward(self, slots: Tensor) -> Tensor:
        queries, keys, values = (
            layer(slots).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )  # (B, heads, N, D / heads) each
        logits = queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5
        attended = (logits.softmax(dim=-1) @ values).transpose(1, 2).flatten(2)
        slots = self.norm_attention(slots + self.output(attended))
        return self.norm_mlp(slots + self.mlp(slots))


class PlainDecoder(nn.Module):
    """Spatial broadcast and convolutions: (S, D) to (S, 4, H, W)."""

    def __init__(
        self,
        slot_dim: int,
        channels: Sequence[int],
        resolution: Sequence[int],
        kernel_size: int,
        upsample: bool,
    ) -> None:
        super().__init__()
        self.resolution, self.upsample = tuple(resolution), upsample
        self.position = PlainPosition(slot_dim, resolution)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2)
            for before, after in zip([slot_dim, *channels], channels, strict=False)
        )
        self.output = nn.Conv2d(channels[-1], 4, 3, padding=1)

    def forward(self, slots: Tensor) -> Tensor:
        features = self.position(slots[:, :, None, None].expand(-1, -1, *self.resolution))
        for number, convolution in enumerate(self.convolutions):
            if self.upsample and number > 0:
                features = functional.interpolate(features, scale_factor=2, mode="nearest")
            features = functional.relu(convolution(features))
        return self.output(features)
