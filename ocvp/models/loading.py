"""Modules from checkpoints: to use them, or to train them further.

The class of a model is imported when it is built, by need, so that a change of a model makes only
its users stale.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ocvp.config.section import LARGEST_SIZE
from ocvp.models.checkpoint import read_checkpoint

if TYPE_CHECKING:
    from ocvp.models.savi import SAVi

BOXES = ("box_format", "absent")
SAME_FUNCTION = (
    "initializer",
    *BOXES,
    "transition",
    "transition_heads",
    "downsample_encoder",
    "downsampled_convolutions",
    "downsample_decoder",
    "num_heads",
    "residual",
)
"""Arguments of SAVi and of predictors that change what weights of the same shapes compute."""
SWITCHED = {"transition_heads": "transition", "downsampled_convolutions": "downsample_encoder"}
"""Those of them that nothing reads where a switch is off, and the switch."""
OPTIONAL = ("decoder.targets.", "empty_slot")
"""Starts of the names of weights that only some SAVis have: with targets beside the colours
(`ocvp.models.decoder`), or with slots to spare (`ocvp.models.pruning`)."""
SPARE_VALUES = 10_000_000
"""How many more values than twice those of its file a module may get before it is given up."""
TRAINED = ("seed", "step", "examples", "training_seconds")


@dataclass(frozen=True)
class Opened:
    """A checkpoint that was read and checked: a program does so once with each."""

    path: Path
    content: Mapping[str, Any]
    """What `ocvp.models.checkpoint.read_checkpoint` returned."""

    @property
    def digest(self) -> str:
        """Its weights_digest."""
        return str(self.content["weights_digest"])

    @property
    def trained(self) -> dict[str, Any]:
        """How its weights were trained, for records; None for what it does not say.

        It does not, where the weights were imported.
        """
        return {name: self.content.get(name) for name in TRAINED}

    def length(self, name: str, given: int | None) -> int:
        """Return `num_context` or `num_preds` of a predictor: as given, else as in its training.

        Raises:
            ValueError: If it is below 1, or neither given nor known.
        """
        training = (self.content.get("config") or {}).get("training")
        trained = training.get(name) if isinstance(training, dict) else None
        value = trained if given is None else given
        option = f"--{name.replace('_', '-')}"
        if not isinstance(value, int):
            raise ValueError(f"{self.path} does not say its {name}; give {option}")
        if value < 1:
            raise ValueError(f"{option} is {value}; it must be at least 1")
        return value

    def build(self, device: str | torch.device = "cpu") -> Any:
        """Build its module, with its weights, in evaluation mode.

        Raises:
            ValueError: If the checkpoint does not fit this architecture.
        """
        content = self.content
        try:
            module = build_module(content["kind"], content["model"], content["weights"])
        except ValueError as error:  # unknown here, or out of range
            raise ValueError(f"{self.path} does not fit this architecture: {error}") from None
        self.fill(module)
        return module.to(device).eval()

    def fill(self, module: nn.Module, optional: tuple[str, ...] = ()) -> None:
        """Load its weights into a module, naming the first that does not fit.

        Args:
            module: The module.
            optional: Starts of the names of weights that either may lack: what the module has
                alone stays as it is, what the file has alone is left out.

        Raises:
            ValueError: If a parameter is missing, unknown, or of another shape.
        """
        own, weights = module.state_dict(), self.content["weights"]
        lacking = {name for name in own.keys() ^ weights.keys() if name.startswith(optional)}
        expected, found = (
            {name: tuple(tensor.shape) for name, tensor in some.items() if name not in lacking}
            for some in (own, weights)
        )
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise ValueError(
                    f"{self.path} does not fit this architecture: {name} has the shape "
                    f"{found.get(name, 'missing')}, expected "
                    f"{expected.get(name, 'no such parameter')}"
                )
        module.load_state_dict(own | {name: weights[name] for name in found})


def open_savi(path: str | Path) -> Opened:
    """Read the checkpoint of a SAVi.

    Raises:
        ValueError: If the file is missing, damaged, holds code, or is no SAVi.
    """
    return Opened(Path(path), read_checkpoint(path, ("savi",)))


def open_predictor(path: str | Path) -> Opened:
    """Read the checkpoint of a slot predictor.

    Raises:
        ValueError: If the file is missing, damaged, holds code, or is no predictor.
    """
    from ocvp.models.predictors import PREDICTORS

    return Opened(Path(path), read_checkpoint(path, tuple(PREDICTORS)))


def load_savi(path: str | Path, device: str | torch.device = "cpu") -> "SAVi":
    """Load a SAVi, in evaluation mode.

    Raises:
        ValueError: If the file is missing, damaged, holds code, or is no SAVi of this architecture.
    """
    return open_savi(path).build(device)


def load_predictor(path: str | Path, device: str | torch.device = "cpu") -> nn.Module:
    """Load a slot predictor, in evaluation mode.

    Raises:
        ValueError: If the file is missing, damaged, holds code, or is no predictor of this
            architecture.
    """
    return open_predictor(path).build(device)


def build_module(
    kind: str, arguments: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> nn.Module:
    """Build the module of a file, which may say anything of it.

    Args:
        kind: `savi` or a predictor's kind.
        arguments: What the file says to build it with.
        weights: What the file has to fill it with; they bound how large it can be.

    Raises:
        ValueError: If there is no such module, or a much larger one than there are weights for.
    """
    for name, value in arguments.items():
        numbers = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(number, int) and abs(number) > LARGEST_SIZE for number in numbers):
            raise ValueError(f"{name} is {value!r:.80}; at most {LARGEST_SIZE} is allowed")
    room = 2 * sum(map(_counted, weights.values())) + SPARE_VALUES

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal room
        room -= 0 if parameter is None else _counted(parameter)
        if room < 0:
            raise ValueError("its weights would be much larger than those of the file")

    # A parameter is counted before anything is written to its memory.
    counting = torch.nn.modules.module.register_module_parameter_registration_hook(count)
    try:
        return model_class(kind)(**arguments)
    except Exception as error:  # arguments of any type and size fail in many ways
        raise ValueError(str(error)[:300] or type(error).__name__) from error
    finally:
        counting.remove()


def _counted(tensor: Tensor) -> int:
    """Return the values of a tensor; small ones count as more, as there may be any number."""
    return max(tensor.numel(), SPARE_VALUES // 1000)


def model_class(kind: str) -> Callable[..., nn.Module]:
    """Return the class of `savi` or of a predictor's kind.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind == "savi":
        from ocvp.models.savi import SAVi

        return SAVi
    from ocvp.models.predictors import PREDICTORS

    if kind not in PREDICTORS:
        raise ValueError(f"kind is {kind!r}; it must be savi or {' or '.join(PREDICTORS)}")
    return PREDICTORS[kind]


def check_belongs(predictor: Opened, savi: Opened) -> None:
    """Raise a ValueError where a predictor was trained on another SAVi than this one."""
    found = predictor.content.get("savi_digest")
    if found != savi.digest:
        raise ValueError(
            f"{predictor.path} was trained on another SAVi (weights {str(found)[:12]}) than "
            f"{savi.path} ({savi.digest[:12]})"
        )


def start_from(module: nn.Module, path: str | Path, kind: str, arguments: Mapping[str, Any]) -> str:
    """Give a module the weights of a checkpoint, to train them further.

    Shapes alone do not tell: weights of four attention heads fit two. Arguments that change what
    the same weights compute must be those that they were trained with; numbers of slots, frames
    and iterations, the resolution and dropout may differ, and what a SAVi predicts beside the
    colours and whether it prunes slots: weights that the checkpoint lacks are the module's own.

    Args:
        module: The module, of the architecture that is to be trained.
        path: The checkpoint.
        kind: What it must hold.
        arguments: The arguments that made the module.

    Returns:
        The checkpoint's weights_digest.

    Raises:
        ValueError: If the weights do not fit, or were trained as part of another function, naming
            the argument and both values.
    """
    start = Opened(Path(path), read_checkpoint(path, (kind,)))
    parameters = inspect.signature(model_class(kind)).parameters
    # what either of them does not say is the default
    wanted, found = (
        {key: model.get(key, parameters[key].default) for key in parameters}
        for model in (arguments, start.content["model"])
    )
    for key in filter(wanted.__contains__, SAME_FUNCTION):  # those that this kind has
        if key in BOXES and wanted["initializer"] not in ("boxes", "centres"):
            continue  # nothing reads them
        if key in SWITCHED and not wanted[SWITCHED[key]]:
            continue
        if wanted[key] != found[key]:
            raise ValueError(
                f"model.{key} is {wanted[key]!r}, but the weights of {path} were trained with "
                f"{found[key]!r}; give the same"
            )
    start.fill(module, optional=OPTIONAL)
    return start.digest
