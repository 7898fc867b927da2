"""Predictors: from the slots of the frames so far to those of the next frame.

B batch, T frames, N slots, D slot_dim, E token_dim.

Every predictor maps slots (B, T, N, D) to (B, T, N, D): the output at frame t is its guess for
frame t + 1. `ocvp.models.rollout` calls `advance` (recurrent ones) or `predict_next` (windowed
ones). Under autocast attention and feed-forward parts compute in bfloat16; each adds to tokens that
stay float32, and the slots that come out are float32.
"""

import torch.nn.functional as functional
from torch import Tensor, nn

from ocvp.models.position import sinusoidal_time_encoding
from ocvp.models.precision import full_precision

LstmState = tuple[Tensor, Tensor]


class LSTMPredictor(nn.Module):
    """A stack of LSTM cells shared by all slots, one sequence for each slot."""

    def __init__(
        self, *, slot_dim: int, hidden_dim: int, num_cells: int, residual: bool = True
    ) -> None:
        """Make the predictor.

        Args:
            slot_dim: Width of the slots.
            hidden_dim: Width of the cells; equals slot_dim, as the output is slots again.
            num_cells: Cells in the stack.
            residual: Add the input to the output.

        Raises:
            ValueError: If hidden_dim is not slot_dim.
        """
        super().__init__()
        if hidden_dim != slot_dim:
            raise ValueError(
                f"hidden_dim is {hidden_dim}; the LSTM's output is slots again, so it must be "
                f"slot_dim, {slot_dim}"
            )
        self.residual = residual
        self.lstm = nn.LSTM(slot_dim, hidden_dim, num_cells, batch_first=True)

    def forward(self, slots: Tensor) -> Tensor:
        """Predict the next frame at every frame, from a zero state: (B, T, N, D) to the same."""
        return self.advance(slots, None)[0]

    def advance(self, slots: Tensor, state: LstmState | None) -> tuple[Tensor, LstmState]:
        """Read frames and carry the state on.

        Args:
            slots: Frames to read, shape (B, T, N, D).
            state: What an earlier call returned; None for the zero state.

        Returns:
            Predictions, shape (B, T, N, D), and the state after the last frame.
        """
        sequences = slots.transpose(1, 2).flatten(0, 1)  # (B * N, T, D)
        # autocast would have cuDNN carry the state in float16, whatever dtype it is set to
        with full_precision(slots.device):
            outputs, state = self.lstm(sequences, state)  # (B * N, T, D)
        outputs = outputs.unflatten(0, (len(slots), -1)).transpose(1, 2)  # (B, T, N, D)
        return (slots + outputs if self.residual else outputs), state


class SelfAttention(nn.MultiheadAttention):
    """torch's multi-head attention, with its parameters, on any number of leading dimensions."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        """Make the attention; dim is a multiple of num_heads."""
        super().__init__(dim, num_heads, dropout, batch_first=True)

    def forward(self, tokens: Tensor, num_queries: int | None = None) -> Tensor:  # type: ignore[override]
        """Attend over the last but one dimension.

        Args:
            tokens: Shape (..., L, E).
            num_queries: Compute the output of the last num_queries tokens only; None: all.

        Returns:
            Shape (..., num_queries, E).
        """
        shape = tokens.shape[:-2]
        tokens = tokens.flatten(0, -3)  # torch's fused attention takes one batch dimension
        if num_queries is None or num_queries == tokens.shape[-2]:
            projected = functional.linear(tokens, self.in_proj_weight, self.in_proj_bias)
            queries, keys, values = projected.chunk(3, dim=-1)  # (batch, L, E) each
        else:  # keys and values of all tokens, queries of the last ones
            dims = [self.embed_dim, 2 * self.embed_dim]
            weights = self.in_proj_weight.split(dims)  # (E, E), (2 E, E)
            biases = self.in_proj_bias.split(dims)
            queries = functional.linear(tokens[..., -num_queries:, :], weights[0], biases[0])
            keys, values = functional.linear(tokens, weights[1], biases[1]).chunk(2, dim=-1)
        attended = functional.scaled_dot_product_attention(  # (batch, heads, queries, E / heads)
            self._heads(queries),
            self._heads(keys),
            self._heads(values),
            # the function itself knows no evaluation mode
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out_proj(attended.transpose(-2, -3).flatten(-2)).unflatten(0, shape)

    def _heads(self, projected: Tensor) -> Tensor:
        """Split the channels into heads: (..., L, E) to (..., heads, L, E / heads)."""
        return projected.unflatten(-1, (self.num_heads, -1)).transpose(-2, -3)


class FeedForward(nn.Module):
    """The second half of a pre-norm transformer block, residual included."""

    def __init__(self, dim: int, hidden_dim: int, dropout: float) -> None:
        """Make the layers."""
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, hidden_dim)
        self.linear2 = nn.Linear(hidden_dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform each token on its own, shape (..., E) to (..., E)."""
        hidden = self.dropout(functional.relu(self.linear1(self.norm(tokens))))  # (..., hidden_dim)
        return tokens + self.dropout(self.linear2(hidden))


class TransformerBlock(nn.Module):
    """torch's TransformerEncoderLayer with norm_first: pre-norm, ReLU, no mask."""

    def __init__(self, dim: int, hidden_dim: int, num_heads: int, dropout: float) -> None:
        """Make the layers."""
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, num_heads, dropout)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = FeedForward(dim, hidden_dim, dropout)

    def forward(self, tokens: Tensor, num_queries: int | None = None) -> Tensor:
        """Transform tokens; num_queries as in SelfAttention."""
        attended = self.attention(self.norm(tokens), num_queries)  # (..., num_queries, E)
        kept = tokens if num_queries is None else tokens[..., -num_queries:, :]
        return self.feed_forward(kept + self.dropout(attended))


class JointLayer(nn.Module):
    """One block over all T * N tokens: the plain Transformer's layer."""

    def __init__(self, dim: int, hidden_dim: int, num_heads: int, dropout: float) -> None:
        """Make the block."""
        super().__init__()
        self.block = TransformerBlock(dim, hidden_dim, num_heads, dropout)

    def forward(self, tokens: Tensor, last_only: bool = False) -> Tensor:
        """(B, T, N, E) to (B, T, N, E), or to (B, 1, N, E) of the last frame."""
        num_slots = tokens.shape[2]
        flat = self.block(tokens.flatten(1, 2), num_slots if last_only else None)  # (B, T * N, E)
        return flat.unflatten(1, (-1, num_slots))  # (B, T, N, E), with T = 1 for the last frame


class SequentialLayer(nn.Module):
    """A block over the slots of each frame, then one over the frames of each slot (OCVP-Seq)."""

    def __init__(self, dim: int, hidden_dim: int, num_heads: int, dropout: float) -> None:
        """Make both blocks."""
        super().__init__()
        self.object_block = TransformerBlock(dim, hidden_dim, num_heads, dropout)
        self.time_block = TransformerBlock(dim, hidden_dim, num_heads, dropout)

    def forward(self, tokens: Tensor, last_only: bool = False) -> Tensor:
        """(B, T, N, E) to (B, T, N, E), or to (B, 1, N, E) of the last frame."""
        tokens = self.object_block(tokens).transpose(1, 2)  # (B, N, T, E): time is attended over
        return self.time_block(tokens, 1 if last_only else None).transpose(1, 2)  # (B, T, N, E)


class ParallelLayer(nn.Module):
    """Object and time attention on the same tokens, summed, then the feed-forward (OCVP-Par)."""

    def __init__(self, dim: int, hidden_dim: int, num_heads: int, dropout: float) -> None:
        """Make the layers."""
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.object_attention = SelfAttention(dim, num_heads, dropout)
        self.time_attention = SelfAttention(dim, num_heads, dropout)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = FeedForward(dim, hidden_dim, dropout)

    def forward(self, tokens: Tensor, last_only: bool = False) -> Tensor:
        """(B, T, N, E) to (B, T, N, E), or to (B, 1, N, E) of the last frame."""
        normalised = self.norm(tokens)
        # over time first: it needs the frames that are left out below; (B, N, T, E)
        over_time = self.time_attention(normalised.transpose(1, 2), 1 if last_only else None)
        if last_only:
            tokens, normalised = tokens[:, -1:], normalised[:, -1:]  # (B, 1, N, E)
        attended = self.object_attention(normalised) + over_time.transpose(1, 2)  # (B, T, N, E)
        return self.feed_forward(tokens + self.dropout(attended))


class TransformerPredictor(nn.Module):
    """Linear to tokens, an encoding of time, layers, linear back to slots (OCVP, section 3.2).

    All slots of a frame share the encoding, so permuting the slots permutes the output.
    """

    time_encoding: Tensor
    layer_class: type[nn.Module] = JointLayer

    def __init__(
        self,
        *,
        slot_dim: int,
        token_dim: int,
        hidden_dim: int,
        num_layers: int,
        num_heads: int,
        residual: bool = True,
        buffer_size: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        """Make the predictor.

        Args:
            slot_dim: Width of the slots.
            token_dim: Width of the tokens, a multiple of num_heads.
            hidden_dim: Hidden width of the feed-forward parts.
            num_layers: Layers.
            num_heads: Attention heads.
            residual: Add the input to the output.
            buffer_size: Most frames of an input; None: no limit.
            dropout: Share of activations and attention weights dropped in training.

        Raises:
            ValueError: If token_dim is not a multiple of num_heads, or buffer_size is below 1.
        """
        super().__init__()
        if token_dim % num_heads:
            raise ValueError(
                f"token_dim is {token_dim}; it must be a multiple of {num_heads} heads"
            )
        if buffer_size is not None and buffer_size < 1:
            raise ValueError(f"buffer_size is {buffer_size}; it must be at least 1, or None")
        self.residual = residual
        self.buffer_size = buffer_size
        self.to_tokens = nn.Linear(slot_dim, token_dim)
        encoding = sinusoidal_time_encoding(buffer_size or 64, token_dim)  # grows when needed
        self.register_buffer("time_encoding", encoding, persistent=False)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            self.layer_class(token_dim, hidden_dim, num_heads, dropout) for _ in range(num_layers)
        )
        self.to_slots = nn.Linear(token_dim, slot_dim)

    def forward(self, slots: Tensor) -> Tensor:
        """Predict the next frame at every frame, each seeing the whole window.

        Args:
            slots: Shape (B, T, N, D), T at most buffer_size.

        Returns:
            Shape (B, T, N, D); the last frame's output is the prediction.

        Raises:
            ValueError: If there are more frames than buffer_size.
        """
        tokens = self._tokens(slots)  # (B, T, N, E)
        for layer in self.layers:
            tokens = layer(tokens)
        return self._slots(tokens, slots)

    def predict_next(self, slots: Tensor) -> Tensor:
        """Compute `forward(slots)[:, -1]`, shape (B, N, D), without the other frames' outputs."""
        tokens = self._tokens(slots)
        for layer in self.layers[:-1]:
            tokens = layer(tokens)
        # only the last layer may leave frames out: earlier ones feed its keys and values
        return self._slots(self.layers[-1](tokens, last_only=True)[:, -1], slots[:, -1])

    def _tokens(self, slots: Tensor) -> Tensor:
        """Project slots to tokens and encode their time, shape (B, T, N, E)."""
        num_frames = slots.shape[1]
        if self.buffer_size is not None and num_frames > self.buffer_size:
            raise ValueError(
                f"{num_frames} frames for a buffer_size of {self.buffer_size}: give at most that "
                "many, or let ocvp.rollout cut the window"
            )
        if num_frames > len(self.time_encoding):  # only without a buffer_size
            longer = sinusoidal_time_encoding(2 * num_frames, self.to_tokens.out_features)
            self.time_encoding = longer.to(self.time_encoding)
        encoding = self.time_encoding[:num_frames, None]  # (T, 1, E), one for all slots
        return self.dropout(self.to_tokens(slots) + encoding)

    def _slots(self, tokens: Tensor, slots: Tensor) -> Tensor:
        """Project tokens (..., E) back to slots (..., D), from the `slots` that they stand for."""
        with full_precision(tokens.device):  # a rollout feeds what comes out back, again and again
            outputs = self.to_slots(tokens)
        return slots + outputs if self.residual else outputs


class OCVPSeqPredictor(TransformerPredictor):
    """OCVP-Seq: relations between objects first, then their motion, in every layer."""

    layer_class = SequentialLayer


class OCVPParPredictor(TransformerPredictor):
    """OCVP-Par: relations between objects and their motion at once, in every layer."""

    layer_class = ParallelLayer


PREDICTORS: dict[str, type[nn.Module]] = {
    "lstm": LSTMPredictor,
    "transformer": TransformerPredictor,
    "ocvp_seq": OCVPSeqPredictor,
    "ocvp_par": OCVPParPredictor,
}
