"""Strips whose cells can be read back pixel by pixel."""

import gc
from collections.abc import Callable

import numpy as np
import psutil
import pytest

from ocvp.pictures import curves
from ocvp.pictures.cards import rollout_card, slots_card
from ocvp.pictures.drawing import (
    MAX_CELL,
    MAX_WIDTH,
    choose_columns,
    slots_panel,
)
from ocvp.pictures.overlays import palette
from ocvp.pictures.saving import figure_picture
from ocvp.pictures.strips import CONTEXT_COLOUR, EMPTY, INK, PREDICTED_COLOUR, Row, strip
from ocvp.runtime.training_log import TrainingLog

SIZE = 16


def flat_frames(count, red=255):
    """Frames of one colour each, which tells the frame's number in its green channel."""
    frames = np.zeros((count, SIZE, SIZE, 3), dtype=np.uint8)
    frames[..., 0] = red
    frames[..., 1] = np.arange(1, count + 1)[:, None, None]
    return frames


def find(picture, colour):
    """Return the boxes' (rows, columns) slices of pixels of one colour."""
    rows, columns = np.nonzero((picture == colour).all(axis=-1))
    assert len(rows), f"no pixel of {colour}"
    return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


def block(picture, colour, side):
    """Return the top left corner of the only square of one colour."""
    rows, columns = find(picture, colour)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (side, side)
    assert (picture[rows, columns] == colour).all()
    return rows.start, columns.start


def test_cells_are_in_order_enlarged_and_parted_at_the_end_of_the_context():
    rows = [Row("Truth", flat_frames(5)), Row("Other", flat_frames(2, red=200), first=3)]
    picture = strip([*rows, Row("Large", np.zeros((5, 48, 48, 3), np.uint8))], num_context=3)
    corners = [block(picture, (255, t, 0), 48) for t in range(1, 6)]
    assert len({row for row, _ in corners}) == 1
    steps = np.diff([column for _, column in corners])
    assert steps[0] == steps[1] == steps[3] > 48
    assert steps[2] >= steps[0] + 10
    # The second row starts at frame 4: empty below frames 1 to 3.
    row, column = block(picture, (200, 1, 0), 48)
    assert column == corners[3][1]
    assert row > corners[0][0] + 48
    assert (picture[row : row + 48, corners[0][1] : corners[0][1] + 48] == EMPTY).all()


def test_bars_span_the_context_and_the_prediction():
    picture = strip([Row("Truth", flat_frames(5))], num_context=2)
    corners = [block(picture, (255, t, 0), SIZE)[1] for t in range(1, 6)]
    for colour, first, last in ((CONTEXT_COLOUR, 0, 1), (PREDICTED_COLOUR, 2, 4)):
        # Text above a bar is narrower than it or, in cells this small, as wide at most.
        bar = [r for r in picture if (r == colour).all(axis=-1).sum() > 20][-1]
        columns = np.flatnonzero((bar == colour).all(axis=-1))
        assert (columns[0], columns[-1]) == (corners[first], corners[last] + SIZE - 1)


@pytest.mark.parametrize("num_context", [0, 5, 9])
def test_nothing_is_set_apart_on_one_side_of_the_context(num_context):
    picture = strip([Row("Truth", flat_frames(5))], num_context=num_context)
    assert not (picture == PREDICTED_COLOUR).all(axis=-1).any()
    steps = np.diff([block(picture, (255, t, 0), SIZE)[1] for t in range(1, 6)])
    assert len(set(steps.tolist())) == 1


def test_labels_have_room():
    frames = np.full((3, 32, 32, 3), 255, dtype=np.uint8)
    picture = strip([Row("A rather long label", frames, 0, (1, 2, 3))], num_context=0)
    assert (picture[[0, -1]] == 255).all()
    assert (picture[:, [0, -1]] == 255).all()
    rows, columns = find(picture[:, : -3 * 36], INK)
    _, square = find(picture, (1, 2, 3))
    assert square.stop < columns.start + 4
    assert columns.stop < picture.shape[1] - 3 * 36
    assert rows.stop < picture.shape[0]


def test_slots_panel_has_a_row_and_a_colour_for_each_slot():
    objects = np.zeros((3, 2, SIZE, SIZE, 3))
    objects[:, 0], objects[:, 1] = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
    masks = np.zeros((3, 2, SIZE, SIZE))
    masks[:, 0, :, :8], masks[:, 1, :, 8:] = 1, 1
    picture = slots_panel(flat_frames(3), objects, masks, factor=2)
    red, blue = find(picture, (255, 0, 0)), find(picture, (0, 0, 255))
    # Each colour in its own row, and in the row of all slots.
    assert red[0].start == blue[0].start
    assert blue[0].stop - red[0].stop == 2 * SIZE + 6
    for colour in palette(2).tolist():
        assert find(picture, colour)[1].stop < red[1].start
    with pytest.raises(ValueError, match="3 frames, but objects of 2"):
        slots_panel(flat_frames(3), objects[:2], masks[:2])


def test_slots_panel_shows_the_slot_of_each_pixel_in_the_colour_of_its_row():
    objects = np.zeros((1, 2, SIZE, SIZE, 3))
    objects[:, 0], objects[:, 1] = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
    masks = np.full((1, 2, SIZE, SIZE), 0.4)
    masks[:, 0, :, :8], masks[:, 1, :, 8:] = 0.6, 0.6
    colours = np.array([[0, 255, 0], [255, 0, 255]], dtype=np.uint8)
    white = np.full((1, SIZE, SIZE, 3), 255, dtype=np.uint8)
    picture = slots_panel(white, objects, masks, factor=2, colours=colours)
    # The reconstruction is of 0.6 of one colour and 0.4 of the other; below it, one of both.
    rows, columns = find(picture, (153, 0, 102))
    assert (rows.stop - rows.start, columns.stop - columns.start) == (2 * SIZE, SIZE)
    below = picture[rows.stop + 6 : rows.stop + 6 + 2 * SIZE]
    assert (below[:, columns] == colours[0]).all()
    assert (below[:, columns.stop : columns.stop + SIZE] == colours[1]).all()
    for colour in colours:  # the squares, left of the frames and below that row
        square_rows, _ = find(picture[:, : columns.start], colour)
        assert square_rows.start > rows.stop + 6 + 2 * SIZE


@pytest.mark.parametrize("side", [8, 16, 32, 64, 100, 128, 200])
@pytest.mark.parametrize("num_frames", [1, 2, 6, 10, 20])
def test_pictures_fit_a_screen_where_no_factor_is_given(side, num_frames):
    frames = np.zeros((num_frames, side, side, 3), np.uint8)
    frames[..., 0] = 255
    masks = np.ones((num_frames, 1, side, side))
    picture = slots_panel(frames, masks[..., None] * [0, 1, 0], masks)
    assert picture.shape[1] <= MAX_WIDTH
    # The width of the first cell, to the first pixel of another colour.
    rows, columns = find(picture, (255, 0, 0))
    row = (picture[rows.start, columns.start :] == (255, 0, 0)).all(axis=-1)
    cell = int(np.argmin(row))
    assert cell % side == 0
    assert side == cell or 64 <= cell <= MAX_CELL
    if num_frames <= 2 and side <= MAX_CELL:
        assert cell > MAX_CELL / 2


@pytest.mark.parametrize("num_frames", [1, 2, 7, 16, 17, 24, 50])
@pytest.mark.parametrize("num_context", [0, 1, 5, 16, 49, 99])
@pytest.mark.parametrize("max_columns", [2, 3, 16])
def test_chosen_columns(num_frames, num_context, max_columns):
    columns = choose_columns(num_frames, num_context, max_columns)
    assert columns == sorted(set(columns))
    assert columns[0] >= 0
    assert len(columns) <= max_columns
    assert columns[-1] == num_frames - 1
    if num_frames <= max_columns:
        assert columns == list(range(num_frames))
    if 0 < num_context < num_frames:
        assert num_context - 1 in columns


def test_evenly_chosen_columns():
    assert choose_columns(24, 6, 8) == [0, 5, 6, 9, 13, 16, 20, 23]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one row"),
        ([Row("Truth", np.zeros((2, 8, 8, 3)))], "'Truth' must be uint8"),
        ([Row("Truth", np.zeros((2, 8, 8), np.uint8))], r"\(frames, height, width, 3\)"),
        ([Row("Truth", np.zeros((0, 8, 8, 3), np.uint8))], "at least one column"),
        (
            [
                Row("Big", np.zeros((1, 9, 9, 3), np.uint8)),
                Row("Odd", np.zeros((1, 4, 4, 3), np.uint8)),
            ],
            "'Odd' are 4x4, which does not fit cells of 9x9",
        ),
    ],
)
def test_wrong_rows_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        strip(rows, num_context=0)


@pytest.mark.parametrize(("num_frames", "max_columns"), [(0, 2), (3, 1)])
def test_columns_that_cannot_be_chosen_are_refused(num_frames, max_columns):
    with pytest.raises(
        ValueError, match=f"max_columns {max_columns}, allowed are at least 1 and 2"
    ):
        choose_columns(num_frames, 1, max_columns)


def test_a_title_stands_above_and_is_never_cut():
    rows = [Row("Truth", flat_frames(1))]
    plain, titled = strip(rows, num_context=0), strip(rows, num_context=0, title="cubes")
    assert titled.shape[0] > plain.shape[0]
    assert (titled[-plain.shape[0] + 12 :, : plain.shape[1]] == plain[12:]).all()
    long = strip(rows, num_context=0, title="a long title " * 10)
    _, ink = find(long[:40], INK)
    assert plain.shape[1] < ink.stop < long.shape[1] - 6


# --- memory -------------------------------------------------------------------------------------

MOST_GROWTH = 4e6  # bytes; less than ten of the pictures below


def growth(draw: Callable[[int], object], num_times: int, num_before: int = 40) -> int:
    """Return by how many bytes the process grows with drawings, after others that warm it up."""
    process = psutil.Process()
    for i in range(num_before):
        draw(i)
    gc.collect()
    before = process.memory_info().rss
    for i in range(num_times):
        draw(num_before + i)
        if i % 20 == 19:
            gc.collect()  # else what waits for it counts, which depends on what ran before
    gc.collect()
    return process.memory_info().rss - before


def pictures(i: int) -> dict[str, np.ndarray]:
    """Draw what trainings draw, which changes from one validation to the next."""
    rng = np.random.default_rng(i)
    frames = rng.integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    masks = rng.dirichlet(np.ones(2), (3, SIZE, SIZE)).transpose(0, 3, 1, 2)
    objects = rng.random((3, 2, SIZE, SIZE, 3))
    return {
        "slots": slots_card(objects[-1], masks[-1]),
        "rollout": rollout_card(frames, frames, masks.argmax(axis=1), 2),
    }


@pytest.mark.slow
def test_memory_is_flat_over_500_drawings_of_a_training(tmp_path):
    with TrainingLog(tmp_path, 0) as log:
        assert growth(lambda i: log.images(pictures(i), i + 1), 500) < MOST_GROWTH
        # Were they kept, it would show.
        kept: list[object] = []
        assert growth(lambda i: kept.append(pictures(i)), 60) > MOST_GROWTH


def figure(i: int) -> object:
    values = np.random.default_rng(i).random(8)
    panel = {"lstm": values, "ceiling": values + 1}
    drawn = curves.metric_curves({"psnr": panel})
    figure_picture(drawn)
    return drawn


def test_figures_that_are_kept_show_in_the_memory():
    kept: list[object] = []
    assert growth(lambda i: kept.append(figure(i)), 30, num_before=3) > MOST_GROWTH


@pytest.mark.slow
def test_memory_is_flat_over_200_figures_of_curves():
    assert growth(figure, 200) < MOST_GROWTH
