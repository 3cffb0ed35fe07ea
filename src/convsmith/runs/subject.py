"""From a run or a bundle to what was learned: a module with its weights, its preprocessing and its labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from convsmith.base.config import read
from convsmith.base.errors import BadFile, UsageError
from convsmith.data.card import Card
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import ImageInput
from convsmith.nets.model import Model, tree_of
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.nets.tree import MAIN
from convsmith.nets.weights.carry import carry
from convsmith.runs.bundle import read_bundle
from convsmith.runs.calibration import stored_temperature
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import RunDirectory, is_run, open_run
from convsmith.runs.fit import check_fit
from convsmith.runs.network import network_of
from convsmith.runs.records import card_of, preprocess_of, reading, recipe_of
from convsmith.runs.trained import is_bundle
from convsmith.runs.weights import load_bundle


@dataclass(frozen=True)
class Subject:
    """A trained network with all that is needed to use it. `module` is in evaluation mode, on the processor.

    No layer of `module` writes over values until `Engine.place` says so, and `place(module, in_place=False)` undoes it.

    `origin` is the run, or the file of a bundle, and `weights` the file that its weights lie in. Its outputs divided by
    `temperature` are what probabilities are made of; 1 where the run is not calibrated. `channels_last` is the memory
    layout that it was trained with; a module of a user's own may take no other.
    """

    origin: RunDirectory | Path
    weights: Path
    module: nn.Module
    network: Model
    preprocess: ImageInput
    card: Card
    step: int
    channels_last: bool
    warnings: tuple[str, ...] = ()
    temperature: float = 1.0

    @property
    def run(self) -> RunDirectory:
        """The run; UsageError for a bundle, which leaves it behind."""
        if isinstance(self.origin, Path):
            raise UsageError(
                f"{self.origin} is a bundle: it predicts and can be fine-tuned; for everything else name its run"
            )
        return self.origin

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the outputs."""
        return self.card.classes

    @property
    def multilabel(self) -> bool:
        """Whether an image may have several of the classes, each by itself, or none."""
        return self.card.multilabel

    @property
    def input(self) -> tuple[int, int, int]:
        """The shape of one sample: channels, height, width."""
        return (self.preprocess.channels, *self.preprocess.size)


def open_subject(
    path: str | Path,
    checkpoint: Literal["selected", "last", "best"] = "selected",
    edits: Sequence[str] = (),
) -> Subject:
    """The trained network of the run or bundle at `path`; "selected" are the weights that a run's recipe says to use.

    `edits` are made on the network and its weights: those that need no training and keep the input and the outputs.
    """
    if is_run(path) or not is_bundle(path):
        subject = _of_run(open_run(path), checkpoint, bool(edits))
    elif checkpoint == "selected":
        subject = _of_bundle(Path(path))
    else:
        raise UsageError(f"{path} is a bundle, which holds one state of the weights, not the {checkpoint} one of a run")
    if not edits:
        return subject
    network, module = _edited(subject.network, subject.module, edits)
    return replace(subject, network=network, module=module.eval())


def _of_run(run: RunDirectory, checkpoint: Literal["selected", "last", "best"], edited: bool) -> Subject:
    recipe = recipe_of(run)
    chosen = recipe["recipe"].get("select") if checkpoint == "selected" else checkpoint
    if chosen not in ("last", "best"):
        raise BadFile(
            run.path / "recipe.json", f"expected the key recipe.select with last or best, received {chosen!r}"
        )
    saved = load_checkpoint(run, chosen)
    network = network_of(run)
    temperature, notes = stored_temperature(run, saved.step, edited)
    preprocess, card = preprocess_of(run), card_of(run)
    try:
        check_fit(network, preprocess, card)
    except UsageError as error:
        raise BadFile(run.path, f"its records do not fit each other: {error}") from None
    return Subject(
        origin=run,
        weights=run.path / "checkpoints" / f"{saved.step:08d}" / "model.safetensors",
        module=_filled(network, saved.model, run.path / "checkpoints"),
        network=network,
        preprocess=preprocess,
        card=card,
        step=saved.step,
        channels_last=bool(recipe["engine"].get("channels_last")),
        warnings=(*saved.warnings, *notes),
        temperature=temperature,
    )


def _of_bundle(path: Path) -> Subject:
    weights, fields = load_bundle(path)
    bundle = read_bundle(path, fields)
    return Subject(
        origin=path,
        weights=path,
        module=_filled(bundle.network, weights, path),
        network=bundle.network,
        preprocess=bundle.preprocess,
        card=bundle.card,
        step=bundle.step,
        channels_last=bundle.channels_last,
        temperature=bundle.temperature,
    )


def _filled(network: Model, weights: Mapping[str, Tensor], place: Path) -> nn.Module:
    """The network's module with these weights, in evaluation mode; `place` is what an error calls them."""
    try:
        module = network.make(seed=0)
    except UsageError as error:
        raise BadFile(place, str(error)) from None
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise BadFile(place, f"does not fit the network ({reason:.200})") from None
    return module.eval()


def _edited(network: Model, module: nn.Module, edits: Sequence[str]) -> tuple[Network, nn.Module]:
    """The network after `edits` and its module with the weights that follow from the trained ones."""
    network = tree_of(network, "it cannot be edited")
    state, ends = module.state_dict(), (network.input, network.trace().stages[MAIN].shape)
    for text in edits:
        network, state = carry(network, state, text)
    if (network.input, network.trace().stages[MAIN].shape) != ends:
        raise UsageError(f"edit: {', '.join(edits)} changes the input or the outputs, which are the run's")
    module = build(network, seed=0)
    module.load_state_dict(state)
    return network, module


def data_options_of(run: RunDirectory) -> DataOptions:
    """The data options that a run was made with."""
    with reading(run.path / "recipe.json"):
        return read(DataOptions, recipe_of(run)["recipe"]["data"], "recipe.data")
