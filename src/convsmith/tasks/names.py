"""The tasks that a recipe names, and what each learns of images; every other task follows from the labels."""

from dataclasses import dataclass
from typing import Literal

from convsmith.base.table import Table
from convsmith.nets.network import Network
from convsmith.nets.tree import MAIN, Keep, walk


@dataclass(frozen=True)
class TaskEntry:
    """A task's line of help, what its network gives, and the stages and kept values that the network must have.

    A network gives a number for each class, or an image of the input's shape.
    """

    help: str
    gives: Literal["classes", "image"]
    needs: tuple[str, ...] = ()


TASKS: Table[TaskEntry] = Table(
    "task",
    {
        "autoencode": TaskEntry("rebuild each image from a few numbers", "image", ("latent",)),
        "vae": TaskEntry(
            "rebuild each image from a draw of a few numbers, and draw new images",
            "image",
            ("latent", "mean", "log_variance"),
        ),
    },
)


def rebuilds(network: Network) -> bool:
    """Whether the network's main head gives an image of the input's shape."""
    return network.trace().stages[MAIN].shape == network.input


def lacking(network: Network, task: str) -> list[str]:
    """The stages and kept values that the task needs and the network lacks."""
    nodes = [node for _, part in (*network.stages, *network.heads) for _, node in walk(part)]
    there = {*network.trace().stages, *(node.name for node in nodes if isinstance(node, Keep))}
    return [name for name in TASKS[task].needs if name not in there]


def suited_task(network: Network) -> str | None:
    """The task whose image the network gives, and of several the one that needs most of it; None: no such task."""
    fitting = [name for name in TASKS if not lacking(network, name)] if rebuilds(network) else []
    return max(fitting, key=lambda name: len(TASKS[name].needs), default=None)


def gives_image(task: str | None) -> bool:
    """Whether the network of this task gives an image."""
    return task is not None and task in TASKS and TASKS[task].gives == "image"
