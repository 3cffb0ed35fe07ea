"""Autoencoders: an image goes through a few numbers and is rebuilt; the loss is the squared error of its pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convsmith.base.result import Measures, Number, Pictures, Plot, Result, Samples, Scatter
from convsmith.data.loaders import Batch
from convsmith.tasks.task import Losses, Row, Run, Task

SHOWN = 12  # pictures of an evaluation, from its beginning
PLANE = 2000  # points of the latent plane


@dataclass(frozen=True)
class Autoencode(Task):
    """The task. The network's main head gives logits (N, C, H, W); `latent` is the stage with the few numbers."""

    labels: tuple[str, ...] = ()

    about = "images to rebuild"
    counts_right = False

    def losses(self, run: Run, batch: Batch) -> Losses:
        """The mean over the images of the mean squared error of their pixels, from 0 to 1."""
        logits, _ = run(batch.images)
        return Losses((logits.sigmoid() - run.pixels(batch.images)).square().mean())

    def measure(self, run: Run, batch: Batch) -> Row:
        """By image: squared error, latent values, class; then the first pictures and their reconstructions."""
        logits, at = run(batch.images, at=("latent",))
        pixels, rebuilt = run.pixels(batch.images), logits.sigmoid()
        errors = (rebuilt - pixels).square().flatten(1).mean(dim=1)
        first = batch.samples < SHOWN
        return errors, at["latent"].flatten(1), classes_of(batch), levels(pixels[first]), levels(rebuilt[first])

    def pooled(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The mean loss over all images."""
        return pooled_means(records, ("loss",))

    def tally(self, device: str) -> "AutoencodeTally":
        """An empty tally."""
        return AutoencodeTally(self.labels)


class AutoencodeTally:
    """The rows of an evaluation."""

    def __init__(self, labels: tuple[str, ...]):
        self.labels = labels
        self.rows: list[Row] = []

    def update(self, *rows: Tensor) -> None:
        """Keep the rows of a batch."""
        self.rows.append(tuple(row.cpu() for row in rows))

    def result(self) -> Result:
        """The mean squared error, the pictures and the latent plane."""
        errors, latent, classes, pictures, rebuilt = (torch.cat(of) for of in zip(*self.rows, strict=True))
        about = "mean over images and pixels, which are from 0 to 1"
        loss = mean_number("loss", errors, "plain", label="squared error", about=about, place="log")
        shown = Pictures(
            "Images and their reconstructions", (("image", images(pictures)), ("rebuilt", images(rebuilt)))
        )
        return Measures(
            (loss,),
            len(errors),
            plots=(shown, *latent_plane(latent, classes, self.labels)),
            samples=Samples(errors.numpy()),
        )


def classes_of(batch: Batch) -> Tensor:
    """The class of each image, int64 (N,); 0 if the data has not one class for each image."""
    targets = batch.targets
    return targets if targets.ndim == 1 and not targets.is_floating_point() else torch.zeros_like(batch.positions)


def mean_number(name: str, values: Tensor, unit: str, **more: object) -> Number:
    """The mean of values by example, (N,), with its 95% interval: 1.96 standard errors to either side."""
    mean = values.double().mean().item()
    half = 1.959964 * values.double().std().item() / len(values) ** 0.5 if len(values) > 1 else 0.0
    return Number(name, mean, unit, "less", (mean - half, mean + half), **more)  # pyright: ignore[reportArgumentType]


def levels(shares: Tensor) -> Tensor:
    """Shares from 0 to 1 as uint8 levels."""
    return (shares * 255).round().clamp(0, 255).to(torch.uint8)


def images(pixels: Tensor) -> np.ndarray:
    """uint8 (N, C, H, W) as pictures: (N, H, W) for one channel, else (N, H, W, 3)."""
    array = pixels.numpy()
    return array[:, 0] if array.shape[1] == 1 else array[:, :3].transpose(0, 2, 3, 1)


def latent_plane(latent: Tensor, classes: Tensor, labels: Sequence[str]) -> tuple[Plot, ...]:
    """Latent values (N, D) along their two directions of largest variance; none if N is below 3 or D below 2."""
    values = latent.double()[:PLANE]
    if min(values.shape) < 2 or len(values) < 3 or not bool(values.isfinite().all()):
        return ()
    centered = values - values.mean(dim=0)
    _, strengths, directions = torch.linalg.svd(centered, full_matrices=False)
    # A direction may point either way: the largest entry is made positive, so that the picture is the same everywhere.
    largest = directions[:2].abs().argmax(dim=1, keepdim=True)
    axes = directions[:2] * directions[:2].gather(1, largest).sign()
    shares = (strengths.square() / strengths.square().sum().clamp(min=1e-30)).tolist()
    titles = tuple(f"direction {i + 1}, {shares[i]:.0%} of the variance" for i in range(2))
    points = (centered @ axes.T).float().numpy()
    named = tuple(labels) or ("images",)
    kinds = classes[:PLANE].tolist() if labels else [0] * len(values)
    return (Scatter("Latent plane", points, kinds, named, (titles[0], titles[1])),)


def pooled_means(records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Means over images that were divided into parts: each part's mean counts by its images."""
    count = sum(record["count"] for record in records)
    means = {name: sum(record[name] * record["count"] for record in records) / count for name in names}
    return {**means, "count": count}
