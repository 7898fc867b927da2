"""SAVi: decompose a video into slots, one set for each frame (Kipf et al., ICLR 2022).

B batch, T frames, N slots, D slot_dim, P positions, F width of the features, H W pixels,
K objects.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from ocvp.models.decoder import TARGET_CHANNELS, Decoder
from ocvp.models.encoder import Encoder
from ocvp.models.initializers import CoordinateSlots, LearnedRandomSlots, LearnedSlots
from ocvp.models.precision import at_least_float32
from ocvp.models.pruning import SETTLING_FRAMES, slots_to_spare
from ocvp.models.slot_attention import SlotAttention
from ocvp.models.transition import Transition

Initializer = Literal["random", "learned_random", "learned", "centres", "boxes"]
BoxFormat = Literal["yxyx_fraction", "published_pixels"]
Absent = Literal["learned", "published"]


class SaviOutput(NamedTuple):
    """Slots and what they decode to, float32; `...` is (B, T) or what `decode` was given."""

    slots: Tensor
    """Shape (..., N, D)."""
    reconstruction: Tensor
    """Sum over slots of mask times object, shape (..., 3, H, W), not clamped."""
    objects: Tensor
    """Each slot's image before masking, shape (..., N, 3, H, W)."""
    masks: Tensor
    """Each slot's share of each pixel, shape (..., N, 1, H, W), summing to one over slots."""


class SAVi(nn.Module):
    """Encoder, initializer, slot attention and transition over time, and a decoder."""

    def __init__(
        self,
        *,
        resolution: tuple[int, int],
        num_slots: int,
        slot_dim: int,
        encoder_channels: Sequence[int],
        encoder_mlp_dim: int,
        slot_mlp_dim: int,
        decoder_channels: Sequence[int],
        decoder_resolution: tuple[int, int],
        num_iterations_first: int,
        num_iterations: int,
        initializer: Initializer,
        prune_threshold: float | None = None,
        kernel_size: int = 5,
        downsample_encoder: bool = False,
        downsampled_convolutions: int = 3,
        downsample_decoder: bool = True,
        transition: bool = True,
        transition_heads: int = 4,
        transition_mlp_dim: int = 256,
        box_format: BoxFormat = "yxyx_fraction",
        absent: Absent = "learned",
        targets: Sequence[str] = (),
    ) -> None:
        """Make the model with fresh weights from torch's global generator.

        Args:
            resolution: (rows, columns) of the frames.
            num_slots: Slots, background included.
            slot_dim: Width of a slot; a multiple of transition_heads where there is a transition.
            encoder_channels: Output channels of the encoder's convolutions, in the order applied.
            encoder_mlp_dim: Hidden and output width of the encoder's MLP.
            slot_mlp_dim: Hidden width of slot attention's MLP.
            decoder_channels: Output channels of the decoder's convolutions, in the order applied.
            decoder_resolution: (rows, columns) of the map that slots are broadcast to.
            num_iterations_first: Slot attention iterations on the first frame.
            num_iterations: Slot attention iterations on every later frame.
            initializer: What the first frame's slots are made from.
            prune_threshold: Share by which the error of the first frame has to rise without a
                slot; where it does not, the slot is `empty_slot` for the whole video. None: all
                slots stay.
            kernel_size: Odd side of the convolutions' kernels.
            downsample_encoder: Give the first encoder convolutions a stride of 2.
            downsampled_convolutions: How many of them.
            downsample_decoder: Double the decoder's map after each convolution but the last.
            transition: Predict the next frame's initial slots; False keeps the slots as they are.
            transition_heads: Attention heads of the transition.
            transition_mlp_dim: Hidden width of the transition's MLP.
            box_format: Convention of boxes and centres it takes (`ocvp.batches.savi_inputs`).
            absent: What the slot of an absent object starts from (`ocvp.models.initializers`).
            targets: What it is trained to predict beside the colours (`ocvp.models.decoder`).

        Raises:
            ValueError: If arguments do not fit together.
        """
        super().__init__()
        # --- what cannot be computed
        _check_choice("initializer", initializer, Initializer)
        _check_choice("box_format", box_format, BoxFormat)
        _check_choice("absent", absent, Absent)
        for name, value in [
            ("num_slots", num_slots),
            ("num_iterations_first", num_iterations_first),
            ("num_iterations", num_iterations),
            ("number of encoder_channels", len(encoder_channels)),
            ("number of decoder_channels", len(decoder_channels)),
        ]:
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; it must be odd and positive")
        if transition and slot_dim % transition_heads:
            raise ValueError(
                f"slot_dim is {slot_dim}; it must be a multiple of the transition's "
                f"{transition_heads} heads"
            )
        if prune_threshold is not None and prune_threshold <= 0:
            raise ValueError(f"prune_threshold is {prune_threshold}; it must be above 0")
        if not set(targets) <= TARGET_CHANNELS.keys() or len(set(targets)) < len(targets):
            raise ValueError(
                f"targets are {list(targets)}; allowed are {', '.join(TARGET_CHANNELS)}, each once"
            )
        factor = 2 ** (len(decoder_channels) - 1) if downsample_decoder else 1
        if tuple(side * factor for side in decoder_resolution) != tuple(resolution):
            raise ValueError(
                f"decoder_resolution is {tuple(decoder_resolution)}; times {factor}, for "
                f"{len(decoder_channels)} decoder_channels with downsample_decoder "
                f"{downsample_decoder}, it must give the resolution {tuple(resolution)}"
            )

        # --- what callers ask a model for
        self.resolution = (resolution[0], resolution[1])
        self.num_slots = num_slots
        self.slot_dim = slot_dim
        self.num_iterations_first = num_iterations_first
        self.num_iterations = num_iterations
        self.initializer_kind = initializer
        self.prune_threshold = prune_threshold
        self.box_format = box_format
        self.targets = tuple(targets)
        # --- modules, in the order in which they are applied
        self.encoder = Encoder(
            resolution=resolution,
            channels=encoder_channels,
            mlp_dim=encoder_mlp_dim,
            kernel_size=kernel_size,
            num_downsampled=downsampled_convolutions if downsample_encoder else 0,
        )
        self.initializer: nn.Module = nn.Identity()  # random: the unit normal draw as it is
        if initializer == "learned_random":
            self.initializer = LearnedRandomSlots(slot_dim=slot_dim)
        elif initializer == "learned":
            self.initializer = LearnedSlots(num_slots=num_slots, slot_dim=slot_dim)
        elif initializer != "random":
            self.initializer = CoordinateSlots(
                num_slots=num_slots,
                slot_dim=slot_dim,
                num_coordinates=4 if initializer == "boxes" else 2,
                absent=absent,
                are_fractions=box_format == "yxyx_fraction",
            )
        self.corrector = SlotAttention(
            input_dim=encoder_mlp_dim, slot_dim=slot_dim, mlp_dim=slot_mlp_dim
        )
        if prune_threshold is not None:
            self.empty_slot = nn.Parameter(torch.zeros(slot_dim))
            """Learns to have no mask (`ocvp.training.savi_task`)."""
        self.transition: nn.Module = nn.Identity()
        if transition:
            self.transition = Transition(
                slot_dim=slot_dim, num_heads=transition_heads, mlp_dim=transition_mlp_dim
            )
        self.decoder = Decoder(
            slot_dim=slot_dim,
            channels=decoder_channels,
            resolution=decoder_resolution,
            kernel_size=kernel_size,
            upsample=downsample_decoder,
            targets=targets,
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Xavier for all that has two dimensions or more, zero biases, an orthogonal GRU state."""
        for name, parameter in self.named_parameters():
            if name.endswith("weight_hh"):
                nn.init.orthogonal_(parameter)
            elif parameter.dim() >= 2:  # mean, sigma and slots of initializers too
                nn.init.xavier_uniform_(parameter)
            elif "bias" in name:  # the weights of norms stay one
                nn.init.zeros_(parameter)

    def forward(
        self,
        frames: Tensor,
        boxes: Tensor | None = None,
        centres: Tensor | None = None,
        initial_slots: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> SaviOutput:
        """Encode a video and decode its slots; see `encode` for the arguments."""
        return self.decode(self.encode(frames, boxes, centres, initial_slots, noise))

    def encode(
        self,
        frames: Tensor,
        boxes: Tensor | None = None,
        centres: Tensor | None = None,
        initial_slots: Tensor | None = None,
        noise: Tensor | None = None,
        *,
        prune: bool = True,
    ) -> Tensor:
        """Compute the slots of every frame, without decoding them.

        Args:
            frames: Shape (B, T, 3, H, W), values in [0, 1].
            boxes: Shape (B, K, 4) or (B, T, K, 4) in the model's own convention, for the
                initializer `boxes`; the first frame's count; K at most num_slots.
            centres: Shape (B, K, 2) or (B, T, K, 2), for the initializer `centres`.
            initial_slots: Shape (B, N, D), in place of what the initializer would make.
            noise: Unit normal draw for the random initializers, shape (B, N, D); by default
                drawn from torch's global generator.
            prune: Empty the slots to spare, if there is a `prune_threshold`. A training does not:
                an object whose slot is pruned too soon would never get one again.

        Returns:
            Slots after correction, shape (B, T, N, D).

        Raises:
            ValueError: If a shape does not fit, or what the initializer needs is not given.
        """
        if frames.dim() != 5 or frames.shape[2:] != (3, *self.resolution):
            raise ValueError(
                f"frames have shape {tuple(frames.shape)}; this model takes "
                f"(B, T, 3, {self.resolution[0]}, {self.resolution[1]})"
            )
        slots = initial_slots
        if slots is None:
            slots = self._initial_slots(frames, boxes, centres, noise)
        elif slots.shape != (len(frames), self.num_slots, self.slot_dim):
            raise ValueError(
                f"initial_slots have shape {tuple(slots.shape)}; this model takes "
                f"{(len(frames), self.num_slots, self.slot_dim)} for these frames"
            )
        # time first, so that the features of one time step lie together in memory
        features = self.encoder(frames.transpose(0, 1).flatten(0, 1))  # (T * B, P, F)
        # once, not in each iteration
        features = self.corrector.norm_inputs(at_least_float32(features))
        corrected: list[Tensor] = []
        empty = None  # (B, N), which slots are to spare
        for inputs in features.unflatten(0, (frames.shape[1], -1)).unbind(0):  # (B, P, F) each
            if corrected:  # nothing moves before the first frame
                slots = self.transition(slots)  # (B, N, D), as after the correction
            num_iterations = self.num_iterations if corrected else self.num_iterations_first
            slots = self.corrector(inputs, slots, num_iterations, empty)  # (B, N, D)
            if self.prune_threshold is not None and prune and not corrected:
                for _ in range(SETTLING_FRAMES):  # as if the video stood still
                    slots = self.corrector(inputs, self.transition(slots), self.num_iterations)
                with torch.no_grad():
                    _, _, objects, masks = self.decode(slots)
                    empty = slots_to_spare(frames[:, 0], objects, masks, self.prune_threshold)
            if empty is not None:
                slots = torch.where(empty.unsqueeze(-1), self.empty_slot, slots)
            corrected.append(slots)
        return torch.stack(corrected, dim=1)  # (B, T, N, D)

    def decode(self, slots: Tensor) -> SaviOutput:
        """Decode slots of any leading dimensions.

        Args:
            slots: Shape (..., N, D).

        Returns:
            The slots themselves, reconstruction, objects and masks.
        """
        return self._decode(slots, with_targets=False)[0]

    def decode_with_targets(self, slots: Tensor) -> tuple[SaviOutput, dict[str, Tensor]]:
        """Decode slots like `decode`, and what the model predicts beside the colours.

        Args:
            slots: Shape (..., N, D).

        Returns:
            What `decode` returns, and for each of `targets` the sum over slots of mask times its
            channels, shape (..., C, H, W).
        """
        return self._decode(slots, with_targets=True)

    def _decode(self, slots: Tensor, with_targets: bool) -> tuple[SaviOutput, dict[str, Tensor]]:
        if slots.dim() < 2 or slots.shape[-1] != self.slot_dim:
            raise ValueError(
                f"slots have shape {tuple(slots.shape)}; this model decodes (..., N, "
                f"{self.slot_dim})"
            )
        names = self.targets if with_targets else ()
        decoded = self.decoder(slots.reshape(-1, self.slot_dim), with_targets)  # (S, 4 ..., H, W)
        decoded = at_least_float32(decoded).unflatten(0, slots.shape[:-1])  # (..., N, 4 ..., H, W)
        sizes = [3, 1, *(TARGET_CHANNELS[name] for name in names)]
        objects, logits, *others = decoded.split(sizes, dim=-3)  # each (..., N, its size, H, W)
        masks = logits.softmax(dim=-4)  # over slots
        output = SaviOutput(slots, (masks * objects).sum(dim=-4), objects, masks)
        targets = [(masks * channels).sum(dim=-4) for channels in others]  # (..., C, H, W) each
        return output, dict(zip(names, targets, strict=True))

    def _initial_slots(
        self, frames: Tensor, boxes: Tensor | None, centres: Tensor | None, noise: Tensor | None
    ) -> Tensor:
        """Make the first frame's slots, shape (B, N, D), from what the initializer needs."""
        if isinstance(self.initializer, LearnedSlots):
            return self.initializer(len(frames))
        if not isinstance(self.initializer, CoordinateSlots):
            shape = (len(frames), self.num_slots, self.slot_dim)
            if noise is None:
                noise = torch.randn(shape, device=frames.device)
            elif noise.shape != shape:
                raise ValueError(f"noise has shape {tuple(noise.shape)}; it must be {shape}")
            return self.initializer(noise)
        coordinates = boxes if self.initializer_kind == "boxes" else centres
        if coordinates is None:
            raise ValueError(
                f"the initializer is {self.initializer_kind!r}: give {self.initializer_kind} or "
                "initial_slots"
            )
        if len(coordinates) != len(frames):
            raise ValueError(
                f"{self.initializer_kind} are given for {len(coordinates)} videos and frames for "
                f"{len(frames)}; the numbers must be equal"
            )
        return self.initializer(coordinates)


def _check_choice(name: str, value: str, choices: object) -> None:
    """Raise a ValueError unless `value` is one of the values of a Literal type."""
    allowed = get_args(choices)
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
