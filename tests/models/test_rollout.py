"""Rollouts of toy predictors, whose answers are known, and of real ones against plain loops."""

import pytest
import torch
from torch import nn

from ocvp.models.predictors import PREDICTORS
from ocvp.models.rollout import check_buffer, rollout


class Toy(nn.Module):
    """Adds one to each frame and notes the windows that it saw."""

    def __init__(self, buffer_size=None):
        super().__init__()
        self.windows = []
        if buffer_size is not None:
            self.buffer_size = buffer_size

    def forward(self, slots):
        self.windows.append(slots[0, :, 0, 0].tolist())
        return slots + 1


def counting(num_frames):
    """Return slots that hold the number of their frame, (1, num_frames, 2, 3)."""
    return torch.arange(float(num_frames)).view(1, -1, 1, 1).expand(1, -1, 2, 3)


def test_toy_predictor_counts_on():
    toy = Toy()
    predicted = rollout(toy, counting(3), 4)
    assert torch.equal(predicted, counting(7)[:, 3:])
    assert [len(window) for window in toy.windows] == [3, 4, 5, 6]


def test_the_window_moves():
    toy = Toy(buffer_size=2)
    rollout(toy, counting(3), 3)
    assert toy.windows == [[1, 2], [2, 3], [3, 4]]


def test_a_buffer_longer_than_the_context_fills_up():
    toy = Toy(buffer_size=4)
    rollout(toy, counting(3), 3)
    assert toy.windows == [[0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 4]]


def test_teacher_slots_replace_predictions_in_the_window_only():
    toy = Toy()
    teacher = torch.full((1, 3, 2, 3), 10.0)
    predicted = rollout(toy, counting(2), 3, teacher_slots=teacher)
    assert predicted[0, :, 0, 0].tolist() == [2, 11, 11]
    assert toy.windows[-1] == [0, 1, 10, 10]


@pytest.mark.parametrize("kind", ["transformer", "ocvp_seq", "ocvp_par"])
def test_windowed_predictors_equal_a_plain_loop(kind):
    torch.manual_seed(0)
    predictor = PREDICTORS[kind](
        slot_dim=6, token_dim=8, hidden_dim=10, num_layers=2, num_heads=2, buffer_size=3
    ).eval()
    frames = torch.randn(2, 4, 3, 6)
    predicted = rollout(predictor, frames, 3)
    for _ in range(3):
        frames = torch.cat([frames, predictor(frames[:, -3:])[:, -1:]], dim=1)
    torch.testing.assert_close(predicted, frames[:, 4:])


def test_lstm_equals_reading_everything_again():
    torch.manual_seed(0)
    predictor = PREDICTORS["lstm"](slot_dim=6, hidden_dim=6, num_cells=2).eval()
    frames = torch.randn(2, 4, 3, 6)
    predicted = rollout(predictor, frames, 3)
    for _ in range(3):
        frames = torch.cat([frames, predictor(frames)[:, -1:]], dim=1)
    torch.testing.assert_close(predicted, frames[:, 4:])


def test_lstm_teacher_forcing_equals_one_pass():
    torch.manual_seed(0)
    predictor = PREDICTORS["lstm"](slot_dim=6, hidden_dim=6, num_cells=1)
    frames = torch.randn(2, 7, 3, 6)
    predicted = rollout(predictor, frames[:, :4], 3, teacher_slots=frames[:, 4:])
    torch.testing.assert_close(predicted, predictor(frames[:, :6])[:, 3:])


def test_gradients_flow_through_the_whole_rollout():
    context = torch.randn(1, 3, 2, 6, requires_grad=True)
    predictor = PREDICTORS["ocvp_seq"](
        slot_dim=6, token_dim=8, hidden_dim=10, num_layers=1, num_heads=2, buffer_size=3
    )
    rollout(predictor, context, 5)[:, -1].sum().backward()
    assert context.grad[0, 0].any()  # long out of the window by then


def test_wrong_arguments_are_refused():
    toy = Toy()
    with pytest.raises(ValueError, match="num_preds is 0"):
        rollout(toy, counting(2), 0)
    with pytest.raises(ValueError, match=r"\(1, 0, 2, 3\)"):
        rollout(toy, counting(0), 1)
    with pytest.raises(ValueError, match=r"\(1, 4, 2, 3\).*\(1, 3, 2, 3\)"):
        rollout(toy, counting(2), 3, teacher_slots=counting(4))
    with pytest.raises(ValueError, match="evaluation mode"):
        rollout(toy.eval(), counting(2), 3, teacher_slots=counting(3))


def test_a_buffer_holds_the_whole_context():
    check_buffer(None, 9)
    check_buffer(5, 5)
    with pytest.raises(ValueError, match="buffer_size is 4, smaller than num_context, 5"):
        check_buffer(4, 5)
