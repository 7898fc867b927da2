"""The learning rate against hand-computed values and torch's own annealing."""

import pytest
import torch

from ocvp.training.schedule import learning_rate

COMMON = {"target": 0.002, "warmup_steps": 4, "scheduler_steps": 50}


def test_warm_up_reaches_the_target_and_keeps_it_a_step():
    rates = [learning_rate(step, **COMMON) for step in range(6)]
    assert rates == pytest.approx([0.0, 0.0005, 0.001, 0.0015, 0.002, 0.002], abs=1e-15)


def test_cosine_equals_torch():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.002)
    annealing = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    for step in range(5, 56):
        assert learning_rate(step, **COMMON) == pytest.approx(annealing.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        annealing.step()
    assert learning_rate(55, **COMMON) == pytest.approx(0.0, abs=1e-15)


def test_warm_up_ends_with_its_epochs_and_the_target_is_written():
    by_epochs = COMMON | {"warmup_steps": 100, "warmup_epochs": 2, "steps_per_epoch": 3}
    rates = [learning_rate(step, **by_epochs) for step in range(8)]
    assert rates[:6] == pytest.approx([0.00002 * step for step in range(6)])
    assert rates[6] == 0.002
    assert rates[7] == pytest.approx(learning_rate(6, **COMMON))


def test_without_warm_up_and_without_cosine():
    assert learning_rate(0, target=0.1, warmup_steps=0, scheduler_steps=None) == 0.1
    assert learning_rate(900, target=0.1, warmup_steps=5, scheduler_steps=None) == 0.1


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="step is -1"):
        learning_rate(-1, **COMMON)
    with pytest.raises(ValueError, match="scheduler_steps is 0"):
        learning_rate(0, **(COMMON | {"scheduler_steps": 0}))
    with pytest.raises(ValueError, match="steps_per_epoch is needed"):
        learning_rate(0, **COMMON, warmup_epochs=2)
