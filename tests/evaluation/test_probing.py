"""From slots whose content is known to what probes read: matching, fitting, and predictions.

Two squares move to the right, each at its own pace. A slot says where its square is and how fast it
moves; which slot has which square is another for each video.
"""

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score
from torch import nn

from ocvp.config.tree import Protocol, Runtime
from ocvp.data.slot_files import write_slots
from ocvp.data.videos import Video, VideoWriter
from ocvp.evaluation import savi_probes
from ocvp.evaluation.object_slots import assign_over_clip, of_counted, of_objects, read_batches
from ocvp.evaluation.predictor_probes import probe_predictor
from ocvp.evaluation.savi_probes import fit_probes, probe_savi
from ocvp.models.savi import SaviOutput

SIDE, SQUARE, FRAMES, OBJECTS, SLOT_DIM = 16, 4, 6, 2, 6
RUNTIME = Runtime(device="cpu", batch_videos=5)
BACKGROUND = -100.0


def video_of(seed):
    """Return masks (T, H, W), the objects' rows and columns (T, K, 2), and their speeds (K,)."""
    rng = np.random.default_rng(seed)
    speeds = rng.integers(3, size=OBJECTS)
    rows = np.array([1, 9]) + rng.integers(4, size=OBJECTS)
    columns = rng.integers(3, size=OBJECTS) + speeds * np.arange(FRAMES)[:, None]  # (T, K)
    masks = np.zeros((FRAMES, SIDE, SIDE), np.uint8)
    for frame in range(FRAMES):
        for k in range(OBJECTS):
            left = columns[frame, k]
            masks[frame, rows[k] : rows[k] + SQUARE, left : left + SQUARE] = k + 1
    places = np.stack([np.broadcast_to(rows, columns.shape), columns], axis=-1)
    return masks, places, speeds


def slots_of(seed):
    """Return the slots of a video (T, N, D), and which one each object has (K,)."""
    _, places, speeds = video_of(seed)
    rng = np.random.default_rng((seed, 1))
    slots = rng.normal(size=(FRAMES, 1 + OBJECTS, SLOT_DIM)).astype(np.float32)
    order = rng.permutation(1 + OBJECTS)
    slots[:, order[:OBJECTS], :2], slots[:, order[:OBJECTS], 2] = places, speeds
    slots[:, order[OBJECTS], :3] = BACKGROUND
    return slots, order[:OBJECTS]


class ToySavi(nn.Module):
    """Draws each slot as a square at its row and column."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def decode(self, slots):
        rows, columns = torch.arange(SIDE)[:, None], torch.arange(SIDE)[None, :]
        top, left = slots[..., 0, None, None], slots[..., 1, None, None]
        inside = (rows >= top) & (rows < top + SQUARE)
        masks = (inside & (columns >= left) & (columns < left + SQUARE)).float()
        masks[slots[..., 0] == BACKGROUND] = 0.5  # loses against any square
        return SaviOutput(slots, None, None, masks[..., None, :, :])


class Mover(nn.Module):
    """Moves each square by its speed; a forgetful one loses the speed on the way."""

    def __init__(self, is_forgetful):
        super().__init__()
        self.is_forgetful = is_forgetful

    def forward(self, slots):
        moved = slots.clone()
        moved[..., 1] += moved[..., 2].clamp(min=0)  # the background stays
        if self.is_forgetful:
            moved[..., 1], moved[..., 2] = slots[..., 1], 1.0
        return moved


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of 40 videos to fit on and 12 others, and of their slots."""
    folder = tmp_path_factory.mktemp("toy")
    for split, seeds in {"train": range(40), "test": range(100, 112)}.items():
        attributes = {"dataset": "toy", "split": split}
        with VideoWriter(
            folder / f"{split}.h5", num_videos=len(seeds), attributes=attributes
        ) as writer:
            for seed in seeds:
                masks = video_of(seed)[0]
                frames = np.repeat(masks[..., None], 3, axis=-1)
                boxes = np.zeros((FRAMES, OBJECTS, 4), np.float32)
                arrays = {"frames": frames, "masks": masks, "boxes": boxes}
                writer.append(Video(str(seed), arrays))
        slots = np.stack([slots_of(seed)[0] for seed in seeds])
        write_slots(folder / f"{split}_slots.h5", [slots], slots.shape, "abc")
    return folder


@pytest.fixture(scope="module")
def probes(files):
    return fit_probes(ToySavi(), files / "train.h5", files / "train_slots.h5", RUNTIME, seed=0)


def batches_of(files, order=None):
    paths = (files / "test.h5", files / "test_slots.h5")
    return list(read_batches(*paths, FRAMES, order, RUNTIME))


# --- which slot has which object ----------------------------------------------------------------


def test_each_object_has_the_slot_that_draws_it_over_the_clip(files):
    for batch in batches_of(files):
        found = assign_over_clip(ToySavi(), batch)
        seeds = [100 + window.video for window in batch.windows]
        assert found.tolist() == [slots_of(seed)[1].tolist() for seed in seeds]


def test_one_slot_for_the_whole_clip_also_where_another_has_the_object_for_a_frame(files):
    (batch, *_) = batches_of(files)
    expected = assign_over_clip(ToySavi(), batch)
    first, second = expected[0]
    batch.slots[0, 0, [first, second]] = batch.slots[0, 0, [second, first]]  # they start swapped
    assert (assign_over_clip(ToySavi(), batch) == expected).all()


def test_slots_of_objects_are_taken_by_their_assignment(files):
    (batch, *_) = batches_of(files, order=[7])
    slots, own = slots_of(107)
    found = of_objects(batch.slots, own[None])
    assert found.shape == (1, FRAMES, OBJECTS, SLOT_DIM)
    for k in range(OBJECTS):
        assert (found[0, :, k] == slots[:, own[k]]).all()


def test_hidden_objects_and_those_without_a_slot_do_not_count():
    masks = np.zeros((1, 3, 4, 4), np.uint8)
    masks[0, :, 0, 0] = 1
    masks[0, 1:, 1, 1] = 2
    labels = {
        "position": np.ones((1, 3, 3, 2)),
        "kind": np.full((1, 3, 3), "box"),
    }
    found = of_counted(labels, masks, np.array([[-1, 4, 0]]))
    expected = np.array([[False, False, False], [False, True, False], [False, True, False]])
    assert (~np.isnan(found["position"][0, ..., 0]) == expected).all()
    assert ((found["kind"][0] == "box") == expected).all()


# --- what is read -------------------------------------------------------------------------------


def test_slots_that_hold_places_and_speeds_are_read_on_videos_not_seen_before(files, probes):
    assert list(probes) == ["position", "velocity"]
    paths = (files / "test.h5", files / "test_slots.h5")
    metrics = probe_savi(ToySavi(), probes, *paths, FRAMES, RUNTIME)
    assert list(metrics) == [
        "probe_position_linear",
        "probe_position_mlp",
        "probe_velocity_linear",
        "probe_velocity_mlp",
    ]
    for name, entry in metrics.items():
        assert entry["measure"] == "r2"
        assert entry["mean"] > (0.99 if name.endswith("linear") else 0.9)
        assert entry["constant"] == pytest.approx(0, abs=0.2)
        assert len(entry["per_frame"]) == FRAMES
    # from masks alone the first frame has no velocity
    assert metrics["probe_velocity_linear"]["per_frame"][0] is None


def test_of_slots_of_noise_nothing_is_read(files, tmp_path):
    paths = []
    for split, number in (("train", 40), ("test", 12)):
        slots = np.stack([slots_of(seed)[0] for seed in range(number)])
        slots[..., 3:] = np.random.default_rng(number).normal(size=slots[..., 3:].shape)
        noise = tmp_path / f"{split}_slots.h5"
        write_slots(noise, [slots[..., 3:]], (*slots.shape[:3], 3), "abc")
        paths.append((files / f"{split}.h5", noise))

    class Knowing(ToySavi):  # assigns objects in order, since noise draws nothing
        def decode(self, slots):
            masks = torch.zeros(*slots.shape[:-1], 1, SIDE, SIDE)
            masks[..., 0, :, :8, :], masks[..., 1, :, 8:, :] = 1, 1
            return SaviOutput(slots, None, None, masks)

    fitted = fit_probes(Knowing(), *paths[0], RUNTIME, seed=0)
    metrics = probe_savi(Knowing(), fitted, *paths[1], FRAMES, RUNTIME)
    assert abs(metrics["probe_position_linear"]["mean"]) < 0.1
    assert metrics["probe_position_mlp"]["mean"] < 0.1


PROTOCOL = Protocol(num_context=2, num_preds=4)


def read_predicted(files, probes, is_forgetful):
    paths = (files / "test.h5", files / "test_slots.h5")
    return probe_predictor(ToySavi(), Mover(is_forgetful), probes, *paths, PROTOCOL, RUNTIME)


def test_predicted_slots_that_move_as_the_objects_do_tell_what_savis_own_tell(files, probes):
    metrics = read_predicted(files, probes, is_forgetful=False)
    for name in ("probe_position_linear", "probe_velocity_linear"):
        entry = metrics[name]
        np.testing.assert_allclose(entry["per_frame"], entry["ceiling_per_frame"], atol=1e-2)
        assert entry["mean"] > 0.99
    # copies are where the objects were, and fall behind
    entry = metrics["probe_position_linear"]
    places = np.stack([video_of(seed)[1] for seed in range(100, 112)])  # (V, T, K, 2)
    last = places[:, PROTOCOL.num_context - 1].reshape(-1, 2)
    behind = [
        r2_score(places[:, frame].reshape(-1, 2), last, multioutput="variance_weighted")
        for frame in range(PROTOCOL.num_context, FRAMES)
    ]
    np.testing.assert_allclose(entry["copy_last_slots_per_frame"], behind, atol=1e-2)
    assert behind[-1] < behind[0] - 0.1
    np.testing.assert_allclose(entry["constant_velocity_per_frame"], 1, atol=1e-2)
    assert entry["gain"]["low"] > 0
    # but they know how fast each was, and none of these changes its speed
    assert metrics["probe_velocity_linear"]["copy_last_slots"] > 0.99


def test_predicted_slots_that_forget_how_fast_objects_are_show_it(files, probes):
    entry = read_predicted(files, probes, is_forgetful=True)["probe_velocity_linear"]
    assert entry["mean"] < 0.1
    assert entry["ceiling"] > 0.99
    assert entry["gain"]["high"] < 0


# --- fitting ------------------------------------------------------------------------------------


def test_of_many_videos_some_are_fitted_on_the_same_for_each_seed(files, monkeypatch):
    monkeypatch.setattr(savi_probes, "MOST_FITTED", 100)
    seen = []

    def read(videos, slots, num_frames, order, runtime):
        for batch in read_batches(videos, slots, num_frames, order, runtime):
            seen[-1].extend(window.video for window in batch.windows)
            yield batch

    fitted_on = []

    def fit(kind, slots, targets, seed):
        fitted_on.append(len(slots))
        return None

    monkeypatch.setattr(savi_probes, "read_batches", read)
    monkeypatch.setattr(savi_probes, "fit_probe", fit)
    for seed in (1, 1, 2):
        seen.append([])
        fit_probes(ToySavi(), files / "train.h5", files / "train_slots.h5", RUNTIME, seed=seed)
    assert len(seen[0]) == 10  # batches of 5 videos, each with 2 * 6 objects in frames
    assert seen[0] == seen[1] != seen[2]
    assert seen[0] != sorted(seen[0])
    assert max(fitted_on) == 100


@pytest.mark.parametrize("batch_videos", [1, 7, 40])
def test_what_is_fitted_does_not_depend_on_how_many_videos_are_read_at_once(
    files, monkeypatch, batch_videos
):
    monkeypatch.setattr(savi_probes, "MOST_FITTED", 100)
    monkeypatch.setattr(savi_probes, "fit_probe", lambda kind, slots, targets, seed: len(slots))
    runtime = Runtime(device="cpu", batch_videos=batch_videos)
    paths = (files / "train.h5", files / "train_slots.h5")
    fitted = fit_probes(ToySavi(), *paths, runtime, seed=0)
    # 8 videos of 12 objects in frames, and 2 in each of the first 2 frames of the ninth; of masks
    # alone the first frame of each of the nine, with 2 objects, has no velocity
    assert set(fitted["position"].values()) == {100}
    assert set(fitted["velocity"].values()) == {100 - 2 * 9}


def test_what_scikit_learn_cannot_fit_is_an_error_and_no_target_without_probes(files, monkeypatch):
    def fail(*_):
        raise ValueError("Input X contains infinity")

    monkeypatch.setattr(savi_probes, "fit_probe", fail)
    with pytest.raises(ValueError, match="contains infinity"):
        fit_probes(ToySavi(), files / "train.h5", files / "train_slots.h5", RUNTIME, seed=0)


def write_told(path, told):
    """Write videos of squares, and what their metadata tell of the objects' kinds and scales."""
    attributes = {"dataset": "toy", "split": "train"}
    with VideoWriter(path, num_videos=len(told), attributes=attributes) as writer:
        for seed, objects in enumerate(told):
            masks = video_of(seed)[0]
            frames = np.repeat(masks[..., None], 3, axis=-1)
            boxes = np.zeros((FRAMES, OBJECTS, 4), np.float32)
            arrays = {"frames": frames, "masks": masks, "boxes": boxes}
            writer.append(Video(str(seed), arrays, {"objects": objects}))
    slots = np.stack([slots_of(seed)[0] for seed in range(len(told))])
    slot_path = path.with_suffix(".slots.h5")
    write_slots(slot_path, [slots], slots.shape, "abc")
    return path, slot_path


def test_targets_that_cannot_be_read_have_a_reason_and_others_are_read(tmp_path, caplog):
    told = {"shape_label": ["box", "ball"], "scale": [1.0, 2.0], "material_label": ["x", "x"]}
    nothing = {key: [None, None] for key in told} | {"color": [None, None]}
    train = write_told(tmp_path / "train.h5", [told | {"color": [None, None]}] * 6 + [nothing])
    test = write_told(tmp_path / "test.h5", [{"scale": ["small", "large"]}] * 3)
    fitted = fit_probes(ToySavi(), *train, RUNTIME, seed=0)
    assert list(fitted) == ["position", "velocity", "size", "kind"]
    warned = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert [text.partition(": ")[2] for text in warned] == [
        "colour is not probed: it is known of no object that has a slot",
        "material is not probed: the objects are of 1 class; a probe needs two",
    ]
    metrics = probe_savi(ToySavi(), fitted, *test, FRAMES, RUNTIME)
    lacking = {
        name for name, entry in metrics.items() if "do not tell it" in entry.get("reason", "")
    }
    assert lacking == {f"probe_{t}_{k}" for t in ("size", "kind") for k in ("linear", "mlp")}
    assert metrics["probe_position_linear"]["mean"] > 0.5


def test_a_file_without_masks_is_refused(files, tmp_path):
    path = tmp_path / "plain.h5"
    with VideoWriter(path, num_videos=1, attributes={"dataset": "toy", "split": "train"}) as writer:
        writer.append(Video("a", {"frames": np.zeros((FRAMES, SIDE, SIDE, 3), np.uint8)}))
    with pytest.raises(ValueError, match="has no masks, so nothing is known of its objects"):
        fit_probes(ToySavi(), path, files / "train_slots.h5", RUNTIME, seed=0)
