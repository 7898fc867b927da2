"""Predictors against torch's own layers, and what all of them have in common."""

import pytest
import torch
from torch import nn

from ocvp.models.predictors import PREDICTORS, SelfAttention, TransformerBlock

WINDOWED = ["transformer", "ocvp_seq", "ocvp_par"]


def make(kind, **changes):
    torch.manual_seed(0)
    if kind == "lstm":
        arguments = {"slot_dim": 6, "hidden_dim": 6, "num_cells": 2}
    else:
        arguments = {
            "slot_dim": 6, "token_dim": 8, "hidden_dim": 10, "num_layers": 2, "num_heads": 2,
            "buffer_size": 5,
        }  # fmt: skip
    return PREDICTORS[kind](**(arguments | changes)).eval()


@pytest.fixture
def slots():
    torch.manual_seed(1)
    return torch.randn(2, 5, 4, 6)


@pytest.mark.parametrize("kind", PREDICTORS)
def test_permuting_slots_permutes_the_output(kind, slots):
    predictor, order = make(kind), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(predictor(slots[:, :, order]), predictor(slots)[:, :, order])


@pytest.mark.parametrize("kind", PREDICTORS)
def test_residual_is_an_added_input(kind, slots):
    plain, residual = make(kind, residual=False), make(kind)
    residual.load_state_dict(plain.state_dict())
    torch.testing.assert_close(residual(slots), plain(slots) + slots)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("num_frames", [1, 3, 5])
@pytest.mark.parametrize("kind", WINDOWED)
def test_predict_next_is_the_last_output(kind, num_frames, residual, slots):
    predictor = make(kind, residual=residual)
    window = slots[:, :num_frames]
    torch.testing.assert_close(predictor.predict_next(window), predictor(window)[:, -1])


@pytest.mark.parametrize("kind", PREDICTORS)
def test_every_parameter_learns(kind, slots):
    predictor = make(kind)
    predictor(slots).square().sum().backward()
    without = [n for n, p in predictor.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("kind", WINDOWED)
def test_a_window_above_the_buffer_is_refused(kind, slots):
    with pytest.raises(ValueError, match="5 frames for a buffer_size of 4"):
        make(kind, buffer_size=4)(slots)


@pytest.mark.parametrize("kind", WINDOWED)
def test_without_a_buffer_size_windows_may_be_long(kind):
    predictor = make(kind, buffer_size=None)
    slots = torch.randn(1, 80, 2, 6)
    short = predictor(slots[:, :7])
    assert predictor(slots).shape == (1, 80, 2, 6)
    # the longer encoding that this made has the same beginning
    assert torch.equal(predictor(slots[:, :7]), short)
    assert torch.equal(make(kind, buffer_size=7)(slots[:, :7]), short)


@pytest.mark.parametrize("kind", WINDOWED)
def test_the_order_of_frames_matters(kind, slots):
    predictor = make(kind)
    swapped = slots[:, [1, 0, 2, 3, 4]]
    assert (predictor(slots)[:, -1] - predictor(swapped)[:, -1]).abs().max() > 1e-4


@pytest.mark.parametrize("kind", WINDOWED)
def test_dropout_acts_in_training_only(kind, slots):
    predictor = make(kind, dropout=0.5)
    assert torch.equal(predictor(slots), predictor(slots))
    predictor.train()
    assert not torch.equal(predictor(slots), predictor(slots))


def test_attention_without_any_weight_left_is_its_bias():
    torch.manual_seed(0)
    attention, tokens = SelfAttention(8, 2, dropout=1.0), torch.randn(3, 7, 8)
    torch.nn.init.normal_(attention.out_proj.bias)
    assert torch.equal(attention(tokens), attention.out_proj.bias.expand(3, 7, 8))
    assert (attention.eval()(tokens) - attention.out_proj.bias).abs().min() > 0


def test_block_equals_torch_encoder_layer():
    torch.manual_seed(0)
    block = TransformerBlock(8, 10, 2, 0.1).double().eval()
    layer = nn.TransformerEncoderLayer(8, 2, 10, batch_first=True, norm_first=True).double().eval()
    layer.self_attn.load_state_dict(block.attention.state_dict())
    layer.norm1.load_state_dict(block.norm.state_dict())
    layer.norm2.load_state_dict(block.feed_forward.norm.state_dict())
    layer.linear1.load_state_dict(block.feed_forward.linear1.state_dict())
    layer.linear2.load_state_dict(block.feed_forward.linear2.state_dict())
    tokens = torch.randn(3, 7, 8, dtype=torch.float64)
    torch.testing.assert_close(block(tokens), layer(tokens))
    torch.testing.assert_close(block(tokens, num_queries=2), layer(tokens)[:, -2:])


def test_lstm_equals_a_stack_of_cells(slots):
    predictor = make("lstm", residual=False)
    cells = [nn.LSTMCell(6, 6), nn.LSTMCell(6, 6)]
    for index, cell in enumerate(cells):
        for name, parameter in cell.named_parameters():
            parameter.data = getattr(predictor.lstm, f"{name}_l{index}").data
    states = [None, None]
    for frame in range(5):
        values = slots[:, frame].flatten(0, 1)
        for index, cell in enumerate(cells):
            states[index] = cell(values, states[index])
            values = states[index][0]
        torch.testing.assert_close(predictor(slots)[:, frame].flatten(0, 1), values)


def test_lstm_state_carries_on(slots):
    predictor = make("lstm")
    first, state = predictor.advance(slots[:, :2], None)
    second, _ = predictor.advance(slots[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), predictor(slots))


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"hidden_dim is 7.*slot_dim, 6"):
        make("lstm", hidden_dim=7)
    with pytest.raises(ValueError, match="token_dim is 9; it must be a multiple of 2 heads"):
        make("transformer", token_dim=9)
    with pytest.raises(ValueError, match="buffer_size is 0"):
        make("ocvp_seq", buffer_size=0)


@pytest.mark.parametrize(
    ("kind", "widths", "expected"),
    [
        ("transformer", (128, 256, 4), 562_944),
        ("ocvp_seq", (128, 256, 4), 1_092_864),
        ("ocvp_par", (128, 256, 4), 1_091_328 - 264_192),  # without the unused attention
        ("transformer", (256, 512, 8), 2_174_336),
        ("ocvp_seq", (256, 512, 8), 4_282_752),
        ("ocvp_par", (256, 512, 8), 4_279_680 - 1_052_672),
    ],
)
def test_published_sizes(kind, widths, expected):
    token_dim, hidden_dim, num_heads = widths
    predictor = make(
        kind,
        slot_dim=128,
        token_dim=token_dim,
        hidden_dim=hidden_dim,
        num_layers=4,
        num_heads=num_heads,
    )
    assert sum(parameter.numel() for parameter in predictor.parameters()) == expected


def test_published_lstm_size():
    predictor = make("lstm", slot_dim=128, hidden_dim=128)
    assert sum(parameter.numel() for parameter in predictor.parameters()) == 264_192
