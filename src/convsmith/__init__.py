"""Convolutional networks as data.

`cs.network("resnet50", classes=10)` is a tree, `cs.build(tree)` a `torch.nn.Module`, `cs.cost(tree, (3, 224, 224))`
its numbers; `run = cs.train("digits", epochs=3)` trains, `cs.load(path)` opens a run; `cs.pretrained("resnet50")` has
torchvision's weights. Imports happen at first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convsmith.api import Pretrained as Pretrained
    from convsmith.api import Run as Run
    from convsmith.api import finetune as finetune
    from convsmith.api import load as load
    from convsmith.api import pretrained as pretrained
    from convsmith.api import resume as resume
    from convsmith.api import train as train
    from convsmith.nets.cost import cost as cost
    from convsmith.nets.modules.build import build as build
    from convsmith.nets.network import Network as Network
    from convsmith.nets.zoo import edit as edit
    from convsmith.nets.zoo import network as network
    from convsmith.recipes.recipe import Recipe as Recipe

_PUBLIC = {
    "network": "convsmith.nets.zoo",
    "edit": "convsmith.nets.zoo",
    "Network": "convsmith.nets.network",
    "build": "convsmith.nets.modules.build",
    "cost": "convsmith.nets.cost",
    "Recipe": "convsmith.recipes.recipe",
    "train": "convsmith.api",
    "finetune": "convsmith.api",
    "resume": "convsmith.api",
    "load": "convsmith.api",
    "Run": "convsmith.api",
    "pretrained": "convsmith.api",
    "Pretrained": "convsmith.api",
}

__all__ = [
    "Network", "Pretrained", "Recipe", "Run",
    "build", "cost", "edit", "finetune", "load", "network", "pretrained", "resume", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _PUBLIC:
        raise AttributeError(f"module 'convsmith' has no attribute {name!r}; it has {', '.join(_PUBLIC)}")
    return getattr(import_module(_PUBLIC[name]), name)


def _version() -> str:
    # Imported late: `importlib.metadata` takes longer to load than the rest of this file.
    metadata = import_module("importlib.metadata")
    try:
        return metadata.version("convsmith")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
