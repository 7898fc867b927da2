"""The products of a training: which weights, and what is said of them."""

import pytest
import torch
from tiny import savi_stage

from ocvp.config.savi import SaviStage
from ocvp.models.checkpoint import read_checkpoint
from ocvp.training.saves import save_training, training_products
from ocvp.training.state import TrainingState


@pytest.mark.parametrize(("select", "product", "beside"), [("last", 1, 2), ("best", 2, 1)])
def test_the_selected_weights_are_the_product_and_the_others_lie_beside(
    tmp_path, select, product, beside
):
    made = {"versions": {"torch": "9"}, "device": {"type": "cpu"}, "git": None}
    state = TrainingState(step=9, epoch=3, best_loss=0.25, best_step=6)
    state.sessions = [{"made_by": {}}, {"made_by": made}]
    state.metrics, state.best_weights = {"loss": 0.5}, {"w": torch.full((2,), 2.0)}
    save_training(
        training_products(tmp_path / "savi.pt", select),
        state,
        last_weights={"w": torch.full((2,), 1.0)},
        select=select,
        config=SaviStage(**savi_stage()),
        kind="savi",
        model={},
    )
    other = "best" if select == "last" else "last"
    found = {
        value: read_checkpoint(tmp_path / name, ("savi",))
        for value, name in ((product, "savi.pt"), (beside, f"savi.{other}.pt"))
    }
    for value, checkpoint in found.items():
        assert checkpoint["weights"]["w"].tolist() == [value, value]
    assert (found[1]["step"], found[1]["metrics"]) == (9, {"loss": 0.5})
    assert (found[2]["step"], found[2]["metrics"]) == (6, {"loss": 0.25})
