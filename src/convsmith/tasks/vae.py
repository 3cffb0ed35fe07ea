"""Variational autoencoders (Kingma and Welling 2014): the negative evidence lower bound, in nats for each image."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from convsmith.base.result import Measures, Number, Pictures, Result, Samples
from convsmith.data import keys as counter
from convsmith.data.loaders import Batch
from convsmith.report.text import many
from convsmith.tasks.autoencode import SHOWN, classes_of, images, latent_plane, levels, mean_number, pooled_means
from convsmith.tasks.task import Losses, Row, Run, Task

# Numbers of the draws by key; those of augmentations are small.
BINARIZE, LATENT, PRIOR = 1_000, 1_001, 1_002
DRAWS = 500  # of the importance-weighted bound, as in Burda et al. 2016, table 1
BOUNDED = 1_000  # images that the bound is measured on: each costs DRAWS passes through the decoder
AT_ONCE = 8_192  # latent values that the decoder receives together
MEAN, LOG_VARIANCE, CODE = "mean", "log_variance", "latent"


@dataclass(frozen=True)
class Vae(Task):
    """The task. The network keeps `mean` and `log_variance`, draws `latent` from them and gives logits (N, C, H, W).

    Pixels are made 0 or 1 by a draw with their value as the probability, anew in each epoch, in evaluations by one
    fixed draw (dynamic binarization, Salakhutdinov and Murray 2008, as in Burda et al. 2016). All draws are functions
    of (seed, epoch, position). With `draws` an evaluation has the importance-weighted bound too.
    """

    labels: tuple[str, ...] = ()
    draws: int = 0

    about = "images to rebuild"
    counts_right = False
    parts = ("reconstruction", "kl")

    def losses(self, run: Run, batch: Batch) -> Losses:
        """The negative evidence lower bound with one draw for each image, and its two parts."""
        reconstruction, kl = (part.mean() for part in self._parts(run, batch, batch.positions)[:2])
        return Losses(reconstruction + kl, parts={"reconstruction": reconstruction, "kl": kl})

    def _parts(
        self, run: Run, batch: Batch, places: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """Reconstruction and divergence by image, the binary pixels, the logits, and mean and log-variance."""
        pixels = binarized(run.pixels(batch.images), counter.keys(run.seed, run.epoch, places, BINARIZE))
        noise = counter.noise(counter.keys(run.seed, run.epoch, places, LATENT), run.noise)
        logits, at = run(pixels, at=(MEAN, LOG_VARIANCE), noise=noise)
        divergence = kl(at[MEAN].flatten(1), at[LOG_VARIANCE].flatten(1))
        return cross_entropy(logits, pixels), divergence, pixels, logits, at

    def measure(self, run: Run, batch: Batch) -> Row:
        """By image: both parts, the bound, the latent means, the class; then pictures, rebuilt ones and new ones."""
        reconstruction, divergence, pixels, logits, at = self._parts(run, batch, batch.samples)
        mean, log_variance = at[MEAN].flatten(1), at[LOG_VARIANCE].flatten(1)
        first = batch.samples < SHOWN
        wanted = batch.samples < (BOUNDED if self.draws else 0)
        bound = self._bound(run, batch.samples[wanted], pixels[wanted], mean[wanted], log_variance[wanted])
        drawn = counter.noise(counter.keys(run.seed, run.epoch, batch.samples[first], PRIOR), run.noise)
        new = run(drawn, after=CODE)[0].sigmoid() if len(drawn) else logits[:0]
        shown = (levels(pixels[first]), levels(logits[first].sigmoid()), levels(new))
        return reconstruction, divergence, mean, classes_of(batch), bound, *shown

    def _bound(self, run: Run, samples: Tensor, pixels: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """The negative importance-weighted bound of each image (Burda et al. 2016, equation 8), float32 (N,)."""
        found: list[Tensor] = []
        at_once = max(1, AT_ONCE // max(1, self.draws))
        for begin in range(0, len(samples), at_once):
            part = slice(begin, begin + at_once)
            found.append(self._bound_of(run, samples[part], pixels[part], mean[part], log_variance[part]))
        return torch.cat(found) if found else mean.new_zeros(0)

    def _bound_of(self, run: Run, samples: Tensor, pixels: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        count, size = mean.shape
        keys = (counter.keys(run.seed, run.epoch, samples, LATENT + 1 + k) for k in range(self.draws))
        noise = torch.stack([counter.noise(key, size) for key in keys], dim=1)
        latent = mean[:, None] + (log_variance[:, None] / 2).exp() * noise
        logits = run(latent.flatten(0, 1), after=CODE)[0]
        likelihood = -cross_entropy(logits, pixels.repeat_interleave(self.draws, dim=0)).view(count, self.draws)
        # The constants of both densities are equal, and cancel.
        prior = -latent.square().sum(dim=2) / 2
        posterior = -(noise.square() + log_variance[:, None]).sum(dim=2) / 2
        return math.log(self.draws) - (likelihood + prior - posterior).logsumexp(dim=1)

    def pooled(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The mean bound over all images and its parts; the tighter one is measured on some of them only."""
        return pooled_means(records, ("loss", *self.parts))

    def tally(self, device: str) -> "VaeTally":
        """An empty tally."""
        return VaeTally(self.labels, self.draws)

    def evaluating(self, temperature: float = 1.0, bins: int | None = None) -> Self:
        """The task with the importance-weighted bound."""
        return replace(self, draws=DRAWS)


class VaeTally:
    """The rows of an evaluation."""

    def __init__(self, labels: tuple[str, ...], draws: int):
        self.labels, self.draws = labels, draws
        self.rows: list[Row] = []

    def update(self, *rows: Tensor) -> None:
        """Keep the rows of a batch."""
        self.rows.append(tuple(row.cpu() for row in rows))

    def result(self) -> Result:
        """The bounds, the pictures and the latent plane."""
        reconstruction, divergence, mean, classes, bound, pixels, rebuilt, new = (
            torch.cat(of) for of in zip(*self.rows, strict=True)
        )
        loss = reconstruction + divergence
        about = "one draw for each image"
        numbers = [
            mean_number("loss", loss, "nats", label="negative ELBO", about=about, place="log"),
            mean_number("reconstruction", reconstruction, "nats", about="cross entropy of the pixels", place="log"),
            mean_number("kl", divergence, "nats", label="KL", about="of the latent values from the prior", place="log"),
        ]
        if len(bound):
            numbers.append(self._bound(bound, len(loss)))
        shown = (("image", images(pixels)), ("rebuilt", images(rebuilt)), ("new", images(new)))
        return Measures(
            tuple(numbers),
            len(loss),
            plots=(
                Pictures("Images, their reconstructions and new images", shown),
                *latent_plane(mean, classes, self.labels),
            ),
            samples=Samples(loss.numpy()),
        )

    def _bound(self, bound: Tensor, count: int) -> Number:
        some = "" if len(bound) == count else f" on the first {many(len(bound), 'image')}"
        about = f"importance-weighted, {many(self.draws, 'draw')} for each image{some}"
        return mean_number("iwae", bound, "nats", label="tighter bound", about=about)


def binarized(shares: Tensor, keys: Tensor) -> Tensor:
    """0 or 1 for each pixel, 1 with the probability `shares` (N, C, H, W), drawn by `keys` (N,)."""
    drawn = counter.uniform(counter.forks(keys, shares[0].numel())).view_as(shares)
    return (drawn < shares).to(shares.dtype)


def cross_entropy(logits: Tensor, pixels: Tensor) -> Tensor:
    """The binary cross entropy summed over the pixels of each image, (N,)."""
    return functional.binary_cross_entropy_with_logits(logits, pixels, reduction="none").flatten(1).sum(dim=1)


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The KL divergence of normal distributions (N, D) from the standard one, (N,) (Kingma, Welling 2014, app. B)."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2
