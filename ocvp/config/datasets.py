"""The config of data sets: one section for each kind."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, RootModel, model_validator

from ocvp.config.section import Resolution, Section, Size

MOST_VIDEOS = 1_000_000
"""Of a split: the workflow makes a list of them while it parses."""


class NumVideos(Section):
    """How many videos each split holds."""

    train: int = Field(ge=1, le=MOST_VIDEOS)
    """Videos to train on."""
    val: int = Field(ge=1, le=MOST_VIDEOS)
    """Videos to validate on."""
    test: int = Field(ge=1, le=MOST_VIDEOS)
    """Videos to report on."""


class TabletopDataset(Section):
    """Videos of objects on a table, simulated by MuJoCo and drawn by its ray caster."""

    kind: Literal["tabletop"]
    """Where the videos come from."""
    seed: int = Field(default=0, ge=0)
    """Seed of every draw; the same seed and settings give the same bytes."""
    resolution: Resolution = (64, 64)
    """Height and width of a frame in pixels."""
    num_frames: int = Field(default=30, ge=2)
    """Frames of a video."""
    fps: float = Field(default=10.0, gt=0)
    """Frames a second of simulated time."""
    num_objects: tuple[Size, Size] = (3, 5)
    """Fewest and most objects of a video; at most 8."""
    num_videos: NumVideos
    """Videos of each split."""
    fields: tuple[Literal["flow", "depth"], ...] = ()
    """Annotations to store beside frames, masks, boxes and states."""
    videos_per_chunk: int = Field(default=50, ge=1)
    """Videos that one job makes. The merged file does not depend on it, but to change it makes the
    data set anew."""
    has_boxes: ClassVar[bool] = True
    """Whether a SAVi can start from boxes."""

    @model_validator(mode="after")
    def _check(self) -> "TabletopDataset":
        fewest, most = self.num_objects
        if not fewest <= most <= 8:
            raise ValueError(
                f"num_objects is {[fewest, most]}; the first must not exceed the second, and the "
                "second is at most 8"
            )
        return self

    @property
    def max_objects(self) -> int:
        """The most objects that a video can hold."""
        return self.num_objects[1]


class MaxVideos(Section):
    """The most videos to take of each split, from the first on."""

    train: int | None = Field(default=None, ge=1)
    """Videos to train on; null: all."""
    val: int | None = Field(default=None, ge=1)
    """Videos to validate on; null: all."""
    test: int | None = Field(default=None, ge=1)
    """Videos to report on; null: all."""


ResizeFilter = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]


class RawDataset(Section):
    """What data sets that are converted from files on disk have in common."""

    resolution: Resolution = (64, 64)
    """Height and width to store, in pixels."""
    stride: int = Field(default=1, ge=1)
    """Take each n-th frame."""
    max_videos: MaxVideos = MaxVideos()
    """The most videos to take."""
    videos_per_chunk: int = Field(default=50, ge=1)
    """Videos that one job converts. The merged file does not depend on it, but to change it makes
    the data set anew."""


def _check_stored_frames(num_frames: int, stride: int, on_disk: int) -> None:
    """Raise ValueError where more frames are asked for than a video has on disk."""
    needed = (num_frames - 1) * stride + 1
    if needed > on_disk:
        raise ValueError(
            f"num_frames: it is {num_frames} with stride {stride}, which takes {needed} frames; a "
            f"video has {on_disk}"
        )


class Obj3dDataset(RawDataset):
    """OBJ3D: folders of numbered PNG files, without annotations."""

    kind: Literal["obj3d"]
    """Where the videos come from."""
    root: str = "data/OBJ3D"
    """Folder of `train`, `val` and `test`; it does not count as a setting, what it holds does."""
    num_frames: int = Field(default=50, ge=2)
    """Frames of an episode to store, of at most 100."""
    resize: ResizeFilter = "bicubic"
    """Pillow's filter for other sizes; the published loader used bicubic."""
    max_objects: ClassVar[int] = 0
    """No annotation says how many objects there are."""
    has_boxes: ClassVar[bool] = False
    """Whether a SAVi can start from boxes."""

    @model_validator(mode="after")
    def _check(self) -> "Obj3dDataset":
        _check_stored_frames(self.num_frames, self.stride, 100)  # of each episode
        return self


class MoviDataset(RawDataset):
    """MOVi-A to MOVi-E: the TFRecord files of TensorFlow Datasets."""

    kind: Literal["movi"]
    """Where the videos come from."""
    variant: Literal["movi_a", "movi_b", "movi_c", "movi_d", "movi_e"] = "movi_a"
    """Which of the five data sets."""
    source_resolution: Literal[128, 256] = 128
    """Side of the frames on disk, in pixels."""
    root: str = "data/tfds"
    """Folder of `movi_a/128x128/1.0.0`; it does not count as a setting, what it holds does."""
    num_frames: int = Field(default=24, ge=2)
    """Frames of a video to store, of 24."""
    resize: ResizeFilter = "box"
    """Pillow's filter for other sizes. From 128 to 64, box is the mean of 2x2 pixels, which is what
    the published loader computed; here it is rounded to 8 bits. Masks, flow and depth are never
    mixed: every second pixel."""
    splits: Literal["divided", "published", "own"] = "divided"
    """What val and test are: `divided`: the even and the odd videos of the validation split;
    `published`: both are the whole validation split; `own`: the data set's own test split (MOVi-C,
    D and E have one)."""
    max_objects: int = Field(default=10, ge=1)
    """Rows of boxes in the file, at least the most objects of a video (MOVi-D and E: 23)."""
    fields: tuple[Literal["flow", "backward_flow", "depth"], ...] = ()
    """Annotations to store beside frames, masks and boxes; flow leads to the next frame,
    backward_flow to the one before."""
    has_boxes: ClassVar[bool] = True
    """Whether a SAVi can start from boxes."""

    @model_validator(mode="after")
    def _check(self) -> "MoviDataset":
        _check_stored_frames(self.num_frames, self.stride, 24)  # of each video
        if {"flow", "backward_flow"} & set(self.fields) and self.stride != 1:
            raise ValueError(
                f"fields: they are {list(self.fields)} and stride is {self.stride}; flow leads to "
                "the next frame on disk, or the one before, so it needs stride 1"
            )
        if self.splits == "own" and self.variant in ("movi_a", "movi_b"):
            raise ValueError(
                f"splits is 'own', but {self.variant} has no test split; allowed are 'divided' and "
                "'published'"
            )
        return self


class SplitShares(Section):
    """How the videos of one folder are divided, as shares that add up to 1."""

    train: float = Field(gt=0, lt=1)
    """Share to train on."""
    val: float = Field(gt=0, lt=1)
    """Share to validate on."""
    test: float = Field(gt=0, lt=1)
    """Share to report on."""

    @model_validator(mode="after")
    def _check(self) -> "SplitShares":
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:  # 0.7 + 0.2 + 0.1 is not quite 1
            raise ValueError(f"the shares add up to {total:g}; they must add up to 1")
        return self


class FolderDataset(RawDataset):
    """Videos of one's own: a folder of frame folders (PNG, JPEG) or of films (MP4, ...)."""

    kind: Literal["folder"]
    """Where the videos come from."""
    root: str = "data/videos"
    """Folder of everything; it does not count as a setting, what it holds does."""
    frames: str = "."
    """Folder of the videos, in `root`."""
    pattern: str | None = Field(default=None, min_length=1)
    """Which pictures of a folder are the frames of its video, such as `rgba_*` where others lie
    beside them; null: all."""
    masks: str | None = None
    """Folder of the masks, in `root`, laid out and named like the videos; null: none."""
    shares: SplitShares | None = None
    """How videos that lie in one folder are divided, by a fixed shuffle of their names; null: they
    lie in folders `train`, `val` and `test`."""
    num_frames: int = Field(ge=2)
    """Frames of a video to store; a shorter video is an error."""
    fps: float | None = Field(default=None, gt=0, le=1000)
    """Frames a second to make of films before `start` and `stride`: those that are shown at 0,
    1 / fps, 2 / fps, ... seconds; null: the films' own frames. Not for folders of pictures, nor
    with masks."""
    start: int = Field(default=0, ge=0)
    """Frames of a video to skip."""
    fit: Literal["crop", "stretch"] = "crop"
    """How frames of another shape fit: the middle is cut out, or they are stretched."""
    resize: ResizeFilter = "bicubic"
    """Pillow's filter for other sizes; masks are never mixed."""
    max_objects: int = Field(default=0, ge=0)
    """Rows of boxes, which are made from the masks: at least the most objects of a video."""
    mirror: bool = False
    """Whether training videos are stored mirrored too, in all eight ways, or four where frames are
    not square. For few videos, which are else soon known by heart."""

    @model_validator(mode="after")
    def _check(self) -> "FolderDataset":
        if (self.masks is None) != (self.max_objects == 0):
            raise ValueError(
                f"masks is {self.masks!r} and max_objects is {self.max_objects}; data sets with "
                "masks need max_objects of at least 1, and those without need none"
            )
        if self.fps is not None and self.masks is not None:
            raise ValueError(
                f"fps is {self.fps:g} and masks is {self.masks!r}; masks belong to a film's own "
                "frames: take those with stride, or make films of that rate and masks for them"
            )
        return self

    @property
    def has_boxes(self) -> bool:
        """Whether a SAVi can start from boxes."""
        return self.masks is not None

    @property
    def num_copies(self) -> int:
        """How many times each training video is stored, once as it is."""
        height, width = self.resolution
        return (8 if height == width else 4) if self.mirror else 1


AnyDataset = TabletopDataset | Obj3dDataset | MoviDataset | FolderDataset
Dataset = Annotated[AnyDataset, Field(discriminator="kind")]


class DatasetStage(RootModel[Dataset]):
    """What the videos of a data set depend on: its entry."""
