"""The predictors as their paper describes them, step by step (OCVP, ICIP 2023).

Attention layers are torch's own, every frame of a window is computed though only the last one's
output is used, and cells read one frame at a time. Each takes the weights of a predictor of
`ocvp.models.predictors`.

B batch, T frames, N slots, D slot_dim, E token_dim.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

NAMES = (
    (r"lstm\.(\w+)_l(\d+)$", r"cells.\2.\1"),
    (r"block\.norm\.", "block.norm1."),
    (r"block\.attention\.", "block.self_attn."),
    (r"block\.feed_forward\.norm\.", "block.norm2."),
    (r"block\.feed_forward\.", "block."),
)
"""Names of parameters in `ocvp.models.predictors`, and in torch's layers."""

State = list[tuple[Tensor, Tensor]]


def plain_predictor(kind: str, predictor: nn.Module, model: Mapping[str, Any]) -> nn.Module:
    """Return a plain predictor with the weights of another one.

    Args:
        kind: Its kind.
        predictor: The predictor whose weights it takes.
        model: The arguments that made it.
    """
    plain: nn.Module
    if kind == "lstm":
        plain = PlainLSTM(model["slot_dim"], model["num_cells"], model["residual"])
    else:
        plain = PlainTransformer(model, LAYERS[kind])
    weights = predictor.state_dict()
    for pattern, name in NAMES:
        weights = {re.sub(pattern, name, key): value for key, value in weights.items()}
    plain.load_state_dict(weights)
    return plain.to(next(predictor.parameters()).device)


def plain_rollout(predictor: Any, context: Tensor, num_preds: int) -> list[Tensor]:
    """Predict frames one by one, each from those before it.

    Args:
        predictor: A plain predictor.
        context: Slots of the given frames, (B, T, N, D).
        num_preds: Frames to predict.

    Returns:
        The slots of each, (B, N, D).
    """
    predicted: list[Tensor] = []
    state: State | None = None
    for number in range(num_preds):
        if isinstance(predictor, PlainLSTM):  # carries its state over the rollout
            seen = context if number == 0 else predicted[-1].unsqueeze(1)
            outputs, state = predictor.advance(seen, state)
        else:  # sees a window
            seen = torch.cat([context, *(slots.unsqueeze(1) for slots in predicted)], dim=1)
            outputs = predictor(seen[:, -(predictor.buffer_size or seen.shape[1]) :])
        predicted.append(outputs[:, -1])
    return predicted


class PlainLSTM(nn.Module):
    """A stack of cells shared by all slots: (B, T, N, D) to (B, T, N, D)."""

    def __init__(self, slot_dim: int, num_cells: int, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.cells = nn.ModuleList(nn.LSTMCell(slot_dim, slot_dim) for _ in range(num_cells))

    def forward(self, slots: Tensor) -> Tensor:
        """Predict the next frame at every frame, from a zero state."""
        return self.advance(slots, None)[0]

    def advance(self, slots: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Read frames, and carry the state on."""
        if state is None:
            zero = torch.zeros_like(slots[:, 0].flatten(0, 1))
            state = [(zero, zero) for _ in self.cells]
        outputs = []
        for frame in slots.unbind(dim=1):  # (B, N, D)
            values = frame.flatten(0, 1)
            new: State = []
            for cell, before in zip(self.cells, state, strict=True):
                new.append(cell(values, before))
                values = new[-1][0]
            state = new
            outputs.append(values.view_as(frame))
        stacked = torch.stack(outputs, dim=1)
        return (slots + stacked if self.residual else stacked), state


class PlainTransformer(nn.Module):
    """Tokens, an encoding of time, layers, and slots again: (B, T, N, D) to (B, T, N, D)."""

    def __init__(self, model: Mapping[str, Any], layer: type[nn.Module]) -> None:
        super().__init__()
        self.residual, self.buffer_size = model["residual"], model["buffer_size"]
        self.to_tokens = nn.Linear(model["slot_dim"], model["token_dim"])
        self.dropout = nn.Dropout(model["dropout"])
        widths = (model["token_dim"], model["num_heads"], model["hidden_dim"], model["dropout"])
        self.layers = nn.ModuleList(layer(*widths) for _ in range(model["num_layers"]))
        self.to_slots = nn.Linear(model["token_dim"], model["slot_dim"])

    def forward(self, slots: Tensor) -> Tensor:
        """Predict the next frame at every frame."""
        tokens = self.to_tokens(slots)  # (B, T, N, E)
        encoding = time_encoding(tokens.shape[1], tokens.shape[3]).to(tokens)
        tokens = self.dropout(tokens + encoding[:, None])
        for layer in self.layers:
            tokens = layer(tokens)
        outputs = self.to_slots(tokens)
        return slots + outputs if self.residual else outputs


def time_encoding(num_frames: int, width: int) -> Tensor:
    """Return sines on even and cosines on odd channels, (T, E)."""
    channels = torch.arange(width)
    rates = 10000.0 ** (-(channels - channels % 2).double() / width)
    angles = torch.arange(num_frames)[:, None] * rates
    return torch.where(channels % 2 == 0, angles.sin(), angles.cos()).float()


def block(token_dim: int, num_heads: int, hidden_dim: int, dropout: float) -> nn.Module:
    """Return torch's encoder layer, with norms before attention and feed-forward part."""
    return nn.TransformerEncoderLayer(
        token_dim, num_heads, hidden_dim, dropout, batch_first=True, norm_first=True
    )


class JointLayer(nn.Module):
    """A block over all tokens of a window, (B, T, N, E)."""

    def __init__(self, *widths: Any) -> None:
        super().__init__()
        self.block = block(*widths)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.block(tokens.flatten(1, 2)).view_as(tokens)


class SequentialLayer(nn.Module):
    """A block over the slots of a frame, then one over the frames of a slot."""

    def __init__(self, *widths: Any) -> None:
        super().__init__()
        self.object_block, self.time_block = block(*widths), block(*widths)

    def forward(self, tokens: Tensor) -> Tensor:
        return over_time(over_objects(tokens, self.object_block), self.time_block)


class ParallelLayer(nn.Module):
    """Attention over slots and over frames of the same tokens, summed; then the feed-forward."""

    def __init__(self, token_dim: int, num_heads: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(token_dim)
        self.object_attention, self.time_attention = (
            nn.MultiheadAttention(token_dim, num_heads, dropout, batch_first=True) for _ in range(2)
        )
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = FeedForward(token_dim, hidden_dim, dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.norm(tokens)
        attended = over_objects(normed, lambda x: self.object_attention(x, x, x)[0])
        attended = attended + over_time(normed, lambda x: self.time_attention(x, x, x)[0])
        return self.feed_forward(tokens + self.dropout(attended))


class FeedForward(nn.Module):
    """Norm, two linear layers, and the sum with what came in."""

    def __init__(self, token_dim: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(token_dim)
        self.linear1, self.linear2 = (
            nn.Linear(token_dim, hidden_dim),
            nn.Linear(hidden_dim, token_dim),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.dropout(functional.relu(self.linear1(self.norm(tokens))))
        return tokens + self.dropout(self.linear2(hidden))


def over_objects(tokens: Tensor, layer: Any) -> Tensor:
    """Apply a layer to the slots of each frame, (B, T, N, E)."""
    return layer(tokens.flatten(0, 1)).view_as(tokens)


def over_time(tokens: Tensor, layer: Any) -> Tensor:
    """Apply a layer to the frames of each slot, (B, T, N, E)."""
    turned = tokens.transpose(1, 2)
    return layer(turned.flatten(0, 1)).view_as(turned).transpose(1, 2)


LAYERS: dict[str, type[nn.Module]] = {
    "transformer": JointLayer,
    "ocvp_seq": SequentialLayer,
    "ocvp_par": ParallelLayer,
}
