"""The tasks that a recipe names, and what each learns of images; every other task follows from the labels."""

from dataclasses import dataclass
from typing import Literal

from convsmith.base.table import Table


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


def gives_image(task: str | None) -> bool:
    """Whether the network of this task gives an image."""
    return task is not None and task in TASKS and TASKS[task].gives == "image"
