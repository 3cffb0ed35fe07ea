"""TensorBoard's event files in a run's `tensorboard` folder: the log's numbers, the recipe, images of the first step.

The files are written line by line, not by a thread behind: what fails, fails here, and is caught by `track.Guarded`.
"""

import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.utils import make_grid

from convsmith.base.config import options, plain
from convsmith.data.augment import augment, mix
from convsmith.runs.directory import RunDirectory
from convsmith.training.job import Job

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter
    from torch.utils.tensorboard import summary as made

# Made at run time, so that a type checker does not find them.
Event: Any = event_pb2.Event  # pyright: ignore[reportAttributeAccessIssue]
SessionLog: Any = event_pb2.SessionLog  # pyright: ignore[reportAttributeAccessIssue]

FOLDER = "tensorboard"
_PICTURES = 16


class Board:
    """One event file, each event on the disk when its method returns."""

    def __init__(self, path: Path):
        self.file = open(path, "xb")  # noqa: SIM115 - closed by close()
        self.records = RecordWriter(self.file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def begin_again(self, step: int) -> None:
        """Tell readers to forget what earlier files say of `step` and later: a resumed run goes through it again."""
        self._write(Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START)))

    def add(self, step: int, summary: Any) -> None:
        """Values (a `Summary`) at a step."""
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def row(self, row: Mapping[str, Any]) -> None:
        """A scalar for each number of a line of the log."""
        for name, value in row.items():
            if name != "step" and type(value) in (int, float):
                self.add(row["step"], made.scalar(name, value))

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _write(self, event: Any) -> None:
        self.records.write(event.SerializeToString())
        self.records.flush()


def open_board(run: RunDirectory, job: Job, recipe: Any) -> Board:
    """The event file of a run that begins, with its recipe and first images, or of one that goes on."""
    folder = run.path / FOLDER
    folder.mkdir(exist_ok=True)
    before = len(list(folder.glob("events.*")))
    # Readers take the files of a folder by their names.
    board = Board(folder / f"events.out.tfevents.{before:010d}.convsmith")
    try:
        if before:
            board.begin_again(_next_step(run))
        else:
            _introduce(board, job, recipe)
    except BaseException:
        board.close()
        raise
    return board


def _introduce(board: Board, job: Job, recipe: Any) -> None:
    """The recipe as text and as numbers to compare runs by, and the first images."""
    board.add(0, made.text("recipe", f"```json\n{json.dumps(plain(recipe), indent=2)}\n```"))
    for part in made.hparams({path: _simple(value) for path, _, value, _ in options(recipe)}, {}):
        board.add(0, part)
    board.add(0, made.image("first images", make_grid(first_images(job), nrow=4), dataformats="CHW"))


def first_images(job: Job) -> Tensor:
    """At most 16 images (N, C, H, W) of the first batch as training gets them, but for the normalization."""
    batches = job.training.epoch(0)
    batch = next(iter(batches))
    images = augment(batch.images, job.augment, job.seed, 0, batch.positions, job.preprocess, samples=batch.samples)
    images, _ = mix(images, job.augment, job.seed, 0, batch.positions)
    return images[:_PICTURES].round().clamp(0, 255).to(torch.uint8).cpu()


def _next_step(run: RunDirectory) -> int:
    """The first step that the log has nothing of."""
    rows = run.metrics()
    return rows[-1]["step"] + 1 if rows else 1  # at 0 are the recipe and the first images, which stay


def _simple(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(plain(value))
