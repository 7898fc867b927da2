"""What is bfloat16 under autocast and what stays float32, and how little that changes a training.

All on the CPU, whose autocast casts fewer operators back to float32 than that of a GPU: what the
modules guard themselves shows here.
"""

import collections
import copy

import pytest
import tiny
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ocvp.models.precision import (
    at_least_float32,
    autocast,
    full_precision,
    resolve_precision,
)
from ocvp.models.predictors import PREDICTORS
from ocvp.models.rollout import rollout
from ocvp.training.losses import predictor_loss, savi_loss, square

CPU = torch.device("cpu")
NUM_CONTEXT, NUM_PREDS = 3, 3
SAVI_VARIANTS = [
    {"initializer": "boxes"},
    {"initializer": "boxes", "absent": "published", "transition": False},
    {"initializer": "centres"},
    {"initializer": "random", "downsample_encoder": True},
    {"initializer": "learned_random"},
    {"downsample_decoder": False, "decoder_resolution": (16, 16)},
    {"fast": False},
]
DELICATE = {
    "_softmax", "_safe_softmax", "_softmax_backward_data", "native_layer_norm",
    "native_layer_norm_backward", "mse_loss", "mse_loss_backward", "sigmoid_", "sigmoid_backward",
    "tanh_", "tanh_backward", "baddbmm", "bmm", "mkldnn_rnn_layer", "mkldnn_rnn_layer_backward",
}  # fmt: skip
"""Operators that must see float32 only. On this device the gates of a GRU are sigmoid_ and tanh_,
and the LSTM is one operator; bmm sums up the fast decoder's kernels. Attention shows a softmax,
then of float32, only where no fused kernel computes it."""


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def clips(num_frames):
    """Return frames and boxes of four videos, shapes (4, T, 3, 16, 16) and (4, T, 2, 4)."""
    videos = [tiny.squares(video, num_frames) for video in range(4)]
    frames = torch.stack([torch.from_numpy(video["frames"]) for video in videos])
    boxes = torch.stack([torch.from_numpy(video["boxes"]) for video in videos])
    return frames.movedim(-1, 2).float() / 255, boxes


def make_savi(fast=True, **model):
    savi, _ = tiny.make_savi(**model)
    savi.decoder.fast = fast
    return savi.train()


def conditions(savi, boxes):
    """Return what the first frame's slots come from; noise is the same each time."""
    kind = savi.initializer_kind
    if kind in ("boxes", "centres"):
        return {kind: boxes if kind == "boxes" else boxes[..., :2]}
    generator = torch.Generator().manual_seed(1)
    return {"noise": torch.randn(len(boxes), savi.num_slots, savi.slot_dim, generator=generator)}


def savi_step(savi, precision, num_frames=3):
    """Return output and loss of a clip, after the backward pass."""
    frames, boxes = clips(num_frames)
    with autocast(precision, CPU):
        output = savi(frames, **conditions(savi, boxes))
        loss = savi_loss(output.reconstruction, frames)
    loss.backward()
    return output, loss


def make_predictor(kind, dropout=0.0, **changes):
    torch.manual_seed(0)
    arguments = {"slot_dim": tiny.SLOT_DIM, "hidden_dim": tiny.SLOT_DIM, "num_cells": 2}
    if kind != "lstm":
        arguments = {
            "slot_dim": tiny.SLOT_DIM, "token_dim": 16, "hidden_dim": 32, "num_layers": 2,
            "num_heads": 2, "buffer_size": 5, "dropout": dropout,
        }  # fmt: skip
    return PREDICTORS[kind](**(arguments | changes)).train()


@pytest.fixture(scope="module")
def frozen():
    """Return a frozen SAVi, and the frames and slots of long videos."""
    frames, boxes = clips(40)
    savi = make_savi().requires_grad_(False).eval()
    return savi, frames, savi.encode(frames, boxes)


def predictor_step(predictor, frozen, precision):
    """Return predicted slots and losses of a window, after the backward pass."""
    savi, frames, slots = frozen
    first, last = NUM_CONTEXT, NUM_CONTEXT + NUM_PREDS
    with autocast(precision, CPU):
        predicted = rollout(predictor, slots[:, :first], NUM_PREDS)
        decoded = savi.decode(predicted).reconstruction
        true = frames[:, first:last]
        frame_mse = square(decoded, true) / true.numel()
        losses = predictor_loss(frame_mse, predicted, slots[:, first:last])
    losses["loss"].backward()
    return predicted, losses


class Operators(TorchDispatchMode):
    """Records the dtypes of the floating-point tensors that each operator sees."""

    def __init__(self):
        super().__init__()
        self.dtypes = collections.defaultdict(set)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, torch.Tensor) and leaf.is_floating_point():
                self.dtypes[func.overloadpacket.__name__].add(leaf.dtype)
        return func(*args, **(kwargs or {}))

    def check(self, *required):
        """Check that all delicate operators saw float32 only, and that these ones ran."""
        seen = {name: dtypes for name, dtypes in self.dtypes.items() if name in DELICATE}
        assert {name for name in seen if seen[name] != {torch.float32}} == set()
        assert set(required) <= set(seen)
        for name in ("convolution", "convolution_backward"):
            assert self.dtypes[name] == {torch.bfloat16}


def modules_in_bfloat16(module, step):
    """Return the modules whose output is bfloat16 in a step, without their containers."""
    found, hooks = set(), []
    for name, part in module.named_modules():

        def note(part, inputs, output, name=name):
            tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]
            assert {tensor.dtype for tensor in tensors} <= {torch.float32, torch.bfloat16}
            if any(tensor.dtype == torch.bfloat16 for tensor in tensors):
                found.add(name)

        hooks.append(part.register_forward_hook(note))
    step()
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("changes", SAVI_VARIANTS)
def test_the_delicate_operators_of_savi_see_float32(changes):
    savi = make_savi(**changes)
    with Operators() as operators:
        output, _ = savi_step(savi, "bfloat16")
    operators.check("_softmax", "native_layer_norm", "mse_loss", "sigmoid_", "tanh_", "baddbmm")
    assert {tensor.dtype for tensor in output} == {torch.float32}


def test_encoder_and_decoder_of_savi_compute_in_bfloat16_and_nothing_else():
    savi = make_savi(fast=False, encoder_channels=[4, 4])
    assert modules_in_bfloat16(savi, lambda: savi_step(savi, "bfloat16")) == {
        *("encoder", "encoder.convolutions.0", "encoder.convolutions.1", "encoder.mlp"),
        *("encoder.mlp.1", "encoder.mlp.2", "encoder.mlp.3"),
        *("decoder", "decoder.convolutions.0", "decoder.convolutions.1", "decoder.output"),
    }
    assert modules_in_bfloat16(savi, lambda: savi_step(savi, "float32")) == set()


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("kind", PREDICTORS)
def test_the_delicate_operators_of_predictors_see_float32(kind, dropout, residual, frozen):
    predictor = make_predictor(kind, dropout, residual=residual)
    with Operators() as operators:
        predicted, _ = predictor_step(predictor, frozen, "bfloat16")
    layers = ["mkldnn_rnn_layer"] if kind == "lstm" else ["native_layer_norm"]
    operators.check("_softmax", "mse_loss", *layers)
    assert predicted.dtype == torch.float32


@pytest.mark.parametrize("kind", PREDICTORS)
def test_what_predictors_compute_in_bfloat16_is_added_to_float32(kind, frozen):
    predictor = make_predictor(kind, num_layers=1) if kind != "lstm" else make_predictor(kind)
    found = modules_in_bfloat16(predictor, lambda: predictor_step(predictor, frozen, "bfloat16"))
    halves = {"attention", "attention.out_proj", "dropout"}
    forward = {"feed_forward.linear1", "feed_forward.linear2", "feed_forward.dropout"}
    block = halves | forward
    parallel = {
        *("object_attention", "object_attention.out_proj"),
        *("time_attention", "time_attention.out_proj", "dropout"),
    }
    expected = {
        "lstm": set(),
        "transformer": {f"block.{name}" for name in block},
        "ocvp_seq": {f"{part}_block.{name}" for part in ("object", "time") for name in block},
        "ocvp_par": parallel | forward,
    }[kind]
    projected = set() if kind == "lstm" else {"to_tokens"}
    assert found == projected | {f"layers.0.{name}" for name in expected}


@pytest.mark.parametrize("kind", ["transformer", "ocvp_seq", "ocvp_par"])
def test_attention_of_predictors_is_one_kernel_in_bfloat16(kind, frozen):
    with Operators() as operators:
        predictor_step(make_predictor(kind), frozen, "bfloat16")
    name = "_scaled_dot_product_flash_attention_for_cpu"
    assert operators.dtypes[name] == {torch.bfloat16}
    assert "_safe_softmax" not in operators.dtypes


@pytest.mark.parametrize("changes", SAVI_VARIANTS)
def test_savi_in_bfloat16_is_close_to_float32(changes):
    full, half = make_savi(**changes), make_savi(**changes)
    (expected, loss), (output, half_loss) = savi_step(full, "float32"), savi_step(half, "bfloat16")
    assert half_loss.item() == pytest.approx(loss.item(), rel=5e-3)  # seen: 2e-3
    assert relative_error(output.slots, expected.slots) < 0.02  # seen: 7e-3
    assert (output.masks - expected.masks).abs().max() < 0.02  # seen: 7e-3
    gradients, expected_gradients = (
        torch.cat([parameter.grad.flatten() for parameter in savi.parameters()])
        for savi in (half, full)
    )
    assert 1e-4 < relative_error(gradients, expected_gradients) < 0.1  # seen: 4e-2


@pytest.mark.parametrize("kind", PREDICTORS)
def test_predictors_in_bfloat16_are_close_to_float32(kind, frozen):
    (predicted, losses), (expected, expected_losses) = (
        predictor_step(make_predictor(kind), frozen, precision)
        for precision in ("bfloat16", "float32")
    )
    assert relative_error(predicted, expected) < 0.02
    for loss, expected_loss in zip(losses.values(), expected_losses.values(), strict=True):
        assert loss.item() == pytest.approx(expected_loss.item(), rel=1e-2)  # seen: 3e-3


def relative_error(actual, expected):
    return ((actual - expected).norm() / expected.norm()).item()


def test_a_training_in_bfloat16_goes_down_as_in_float32():
    losses = {}
    for precision in ("float32", "bfloat16"):
        savi = make_savi()
        optimizer = torch.optim.AdamW(savi.parameters(), lr=3e-3, fused=True)
        losses[precision] = []
        for _ in range(25):
            optimizer.zero_grad()
            losses[precision].append(savi_step(savi, precision)[1].item())
            optimizer.step()
        moments = [value for state in optimizer.state.values() for value in state.values()]
        gradients = [parameter.grad for parameter in savi.parameters()]
        tensors = [*savi.state_dict().values(), *gradients, *moments]
        assert {tensor.dtype for tensor in tensors} == {torch.float32}
    full, half = losses["float32"], losses["bfloat16"]
    assert full[-1] < 0.4 * full[0]
    assert half[-1] == pytest.approx(full[-1], rel=0.1)
    assert half != full


@pytest.mark.parametrize("kind", PREDICTORS)
def test_the_gradients_of_predictors_stay_float32(kind, frozen):
    predictor = make_predictor(kind)
    predictor_step(predictor, frozen, "bfloat16")
    tensors = [*predictor.parameters(), *(parameter.grad for parameter in predictor.parameters())]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}


def test_slots_of_a_long_video_stay_close(frozen):
    savi, frames, expected = frozen
    _, boxes = clips(frames.shape[1])
    with torch.no_grad(), autocast("bfloat16", CPU):
        slots = savi.encode(frames, boxes)
    assert slots.dtype == torch.float32
    assert relative_error(slots[:, -1], expected[:, -1]) < 0.02


@pytest.mark.parametrize("kind", PREDICTORS)
def test_a_long_rollout_stays_close(kind, frozen):
    predictor, slots = make_predictor(kind).eval(), frozen[2]
    with torch.no_grad():
        expected = rollout(predictor, slots[:, :NUM_CONTEXT], 35)
        with autocast("bfloat16", CPU):
            predicted = rollout(predictor, slots[:, :NUM_CONTEXT], 35)
    assert relative_error(predicted[:, -1], expected[:, -1]) < 0.1
    assert predicted.norm().item() == pytest.approx(expected.norm().item(), rel=0.02)


def test_float32_is_no_context_at_all():
    with autocast("float32", CPU), full_precision(CPU):
        assert not torch.is_autocast_enabled("cpu")
        assert torch.ones(2, 2).mm(torch.ones(2, 2)).dtype == torch.float32


def test_full_precision_switches_autocast_off_and_on_again():
    ones = torch.ones(2, 2)
    with autocast("bfloat16", CPU):
        assert ones.mm(ones).dtype == torch.bfloat16
        with full_precision(CPU):
            assert ones.mm(ones).dtype == torch.float32
        assert ones.mm(ones).dtype == torch.bfloat16
    assert ones.mm(ones).dtype == torch.float32


def test_only_short_floats_are_lengthened():
    for dtype in (torch.bfloat16, torch.float16):
        assert at_least_float32(torch.ones(2, dtype=dtype)).dtype == torch.float32
    for dtype in (torch.float32, torch.float64):
        tensor = torch.ones(2, dtype=dtype)
        assert at_least_float32(tensor) is tensor


@pytest.mark.parametrize(
    ("name", "device", "capability", "expected"),
    [
        ("auto", "cpu", None, "float32"),
        ("auto", "mps", None, "float32"),
        ("auto", "cuda:1", (7, 5), "float32"),
        ("auto", "cuda:1", (8, 0), "bfloat16"),
        ("auto", torch.device("cuda", 1), (12, 0), "bfloat16"),
        ("float32", "cuda:1", (9, 0), "float32"),
        ("bfloat16", "cpu", None, "bfloat16"),
        ("bfloat16", "cuda:1", (8, 9), "bfloat16"),
    ],
)
def test_precision_by_device(monkeypatch, name, device, capability, expected):
    def get_device_capability(asked):
        assert asked == torch.device("cuda", 1)
        return capability

    monkeypatch.setattr(torch.cuda, "get_device_capability", get_device_capability)
    assert resolve_precision(name, device) == expected


def test_a_precision_that_is_not_there_is_named(monkeypatch):
    with pytest.raises(ValueError, match=r"training.precision is 'half'; .* auto, float32, bfloat"):
        resolve_precision("half", "cpu")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with pytest.raises(ValueError, match=r"cuda:0 has compute capability 7\.5, .* auto or float32"):
        resolve_precision("bfloat16", "cuda:0")


@pytest.fixture(scope="module")
def compiled_folder(tmp_path_factory):
    """Return an empty folder for what is compiled: headers are, once for all tests."""
    return str(tmp_path_factory.mktemp("compiled"))


def pure_loss(kind, frozen, num_preds=NUM_PREDS):
    """Return a module, a function from it and a batch to the loss, and a batch.

    What is compiled is longer with each frame to predict, or to encode by a SAVi.
    """
    frozen_savi, frames, slots = frozen
    if kind == "savi":
        # Noise: of flat pictures the rounding errors of a plain sum, as compiled, add up to 1e-5.
        frames = torch.rand(
            4, num_preds, 3, tiny.SIDE, tiny.SIDE, generator=torch.Generator().manual_seed(2)
        )

        def reconstruction_loss(savi, frames, boxes):
            return savi_loss(savi(frames, boxes).reconstruction, frames)

        return make_savi(), reconstruction_loss, (frames, clips(num_preds)[1])
    first, last = NUM_CONTEXT, NUM_CONTEXT + num_preds

    def rollout_loss(predictor, slots, frames):
        predicted = rollout(predictor, slots[:, :first], num_preds)
        decoded = frozen_savi.decode(predicted).reconstruction
        frame_mse = square(decoded, frames) / frames.numel()
        return predictor_loss(frame_mse, predicted, slots[:, first:])["loss"]

    predictor = make_predictor(kind, **({} if kind == "lstm" else {"num_layers": 1}))
    return predictor, rollout_loss, (slots[:, :last], frames[:, first:last])


def check_compiled(kind, frozen, precision, sizes, num_preds=NUM_PREDS, **options):
    """Train compiled and eager on batches of some sizes, and validate."""
    torch._dynamo.reset()
    module, loss, batch = pure_loss(kind, frozen, num_preds)
    twin = copy.deepcopy(module)
    compiled = torch.compile(lambda *batch: loss(module, *batch), dynamic=False, **options)
    optimizers = [torch.optim.SGD(part.parameters(), lr=0.05) for part in (module, twin)]
    for size in sizes:
        part = [values[:size] for values in batch]
        with autocast(precision, CPU):
            losses = [compiled(*part), loss(twin, *part)]
        assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
        for optimizer, value in zip(optimizers, losses, strict=True):
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    with torch.no_grad(), autocast(precision, CPU):
        module.eval()
        value, expected = compiled(*batch), loss(twin.eval(), *batch)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(("kind", "precision"), [("savi", "bfloat16"), ("ocvp_seq", "float32")])
def test_a_loss_is_one_graph(kind, precision, frozen):
    torch._dynamo.reset()
    module, loss, batch = pure_loss(kind, frozen)
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    with autocast(precision, CPU):
        assert torch.equal(compiled(module, *batch), loss(module, *batch))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["savi", "transformer", "ocvp_seq", "ocvp_par"])
def test_a_loss_is_one_graph_for_every_size_and_mode(kind, precision, frozen):
    check_compiled(kind, frozen, precision, [4, 4, 3], fullgraph=True, backend="eager")


@pytest.mark.slow
def test_the_lstm_is_compiled_in_parts(frozen):
    check_compiled(
        "lstm", frozen, "float32", [4, 4, 3], backend="eager"
    )  # torch leaves an LSTM as it is


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "num_frames"), [("savi", 2), ("ocvp_seq", 1)])
def test_compiled_losses_are_those_of_eager_mode(
    kind, num_frames, frozen, compiled_folder, monkeypatch
):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", compiled_folder)
    check_compiled(kind, frozen, "float32", [4, 4, 4], num_preds=num_frames, fullgraph=True)
