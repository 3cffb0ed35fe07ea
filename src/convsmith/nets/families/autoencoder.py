"""Autoencoders: VGG-16 mirrored, and small ones for digits, plain and variational (Kingma and Welling 2014).

Each has a stage `latent`, whose output the later stages decode: `build(tree)(z, after="latent")` runs only the decoder.
The main head gives a map of the input's size. The variational form keeps the values `mean` and `log_variance`.
"""

from collections.abc import Iterable

from convsmith.base.errors import UsageError
from convsmith.nets.families.scaling import deeper_stages, wider_stages
from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm, Conv, ConvTranspose, Flatten, Linear, MaxPool, Sample, Unflatten, Upsample
from convsmith.nets.parts import NORM, RELU, padded_conv
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Cat, Keep, Node, Seq, cat, seq


def mirrored_vgg(
    *,
    depths: tuple[int, ...],
    widths: tuple[int, ...] = (64, 128, 256, 512, 512),
    hidden: int = 4096,
    latent: int = 4096,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """VGG's convolutions and two linear layers, then the same backwards: (N, 3, 224, 224) to (N, 3, 224, 224).

    The mirror of a pooling repeats each value, the mirror of a convolution is a transposed one. Noh et al. 2015, figure
    2, without its switches: the decoder receives the `latent` numbers and nothing else.
    """
    grid = _grid(size, len(widths), "mirrored_vgg")
    stages: list[tuple[str, Node]] = []
    for i, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
        convs = _layers(padded_conv(width, 3, bias=True) for _ in range(depth))
        stages.append((f"stage{i}", seq(**convs, pool=MaxPool(2, 2))))
    stages += [
        ("latent", seq(flatten=Flatten(), linear1=Linear(hidden), act1=RELU, linear2=Linear(latent))),
        ("expand", _expanded((hidden, widths[-1] * grid**2), grid, None)),
    ]
    before = (channels, *widths[:-1])
    for i in range(len(widths), 0, -1):
        outputs = [widths[i - 1]] * (depths[i - 1] - 1) + ([before[i - 1]] if i > 1 else [])
        mirrored = _layers(ConvTranspose(width, 3, 1, 1) for width in outputs)
        stages.append((f"up{i}", seq(up=Upsample(2), **mirrored)))
    head = seq(conv=ConvTranspose(channels, 3, 1, 1))
    return _network("mirrored_vgg", Shape(channels, (size, size)), "he", stages, head)


def autoencoder(
    *,
    latent: int = 32,
    variational: bool = False,
    widths: tuple[int, ...] = (16, 32),
    hidden: int = 256,
    channels: int = 1,
    size: int = 28,
) -> Network:
    """Convolutions of stride 2 down to `latent` numbers, transposed ones back to a map of logits: (N, 1, 28, 28).

    With `variational` the encoder ends in a mean and a log-variance of `latent` numbers each, and the decoder receives
    a random draw.
    """
    grid = _grid(size, len(widths), "autoencoder")
    down = [(f"stage{i}", _strided(Conv(width, 3, 2, 1, bias=False))) for i, width in enumerate(widths, 1)]
    squeezed = {"flatten": Flatten(), "linear1": Linear(hidden, bias=False), "norm1": NORM, "act1": RELU}
    if variational:
        latents = [("moments", seq(**squeezed, split=_moments(latent))), ("latent", seq(sample=Sample()))]
    else:
        latents = [("latent", seq(**squeezed, linear2=Linear(latent)))]
    expand = ("expand", _expanded((hidden, widths[-1] * grid**2), grid, NORM))
    lower = list(enumerate(widths, 1))[-2::-1]  # the last transposed convolution, to the image's channels, is the head
    up = [(f"up{i}", _strided(ConvTranspose(width, 4, 2, 1, bias=False))) for i, width in lower]
    head = seq(conv=ConvTranspose(channels, 4, 2, 1))
    return _network("autoencoder", Shape(channels, (size, size)), "torch", [*down, *latents, expand, *up], head)


def _network(family: str, input: Shape, init: str, stages: list[tuple[str, Node]], head: Node) -> Network:
    return Network(name=family, family=family, input=input, init=init, stages=tuple(stages), heads=((MAIN, head),))


def _grid(size: int, levels: int, family: str) -> int:
    """The side of the smallest maps; the decoder gives the input's size back only if each level halves it evenly."""
    if size % 2**levels:
        near = [n for n in (size // 2**levels * 2**levels, -(-size // 2**levels) * 2**levels) if n]
        fitting = " or ".join(map(str, near))
        raise UsageError(f"{family}: size is {size}, expected a multiple of {2**levels}, such as {fitting}")
    return size // 2**levels


def _layers(convs: Iterable[Conv | ConvTranspose]) -> dict[str, Node | None]:
    """Children of a sequence: each convolution with its ReLU."""
    children: dict[str, Node | None] = {}
    for i, conv in enumerate(convs, 1):
        children |= {f"conv{i}": conv, f"act{i}": RELU}
    return children


def _strided(conv: Conv | ConvTranspose) -> Seq:
    return seq(conv=conv, norm=NORM, act=RELU)


def _moments(latent: int) -> Cat:
    """Mean and log-variance: two linear layers on one vector, each kept by name, concatenated for `Sample`."""
    return cat(
        mean=seq(linear=Linear(latent), keep=Keep("mean")),
        log_variance=seq(linear=Linear(latent), keep=Keep("log_variance")),
    )


def _expanded(widths: tuple[int, int], grid: int, norm: BatchNorm | None) -> Seq:
    """From the latent numbers to the smallest maps: two linear layers, each with ReLU."""
    children: dict[str, Node | None] = {}
    for i, width in enumerate(widths, 1):
        children |= {f"linear{i}": Linear(width, bias=norm is None), f"norm{i}": norm, f"act{i}": RELU}
    return seq(**children, unflatten=Unflatten((grid, grid)))


MIRRORED_VGG = Family("mirrored_vgg", mirrored_vgg, widen=wider_stages, deepen=deeper_stages)
AUTOENCODER = Family("autoencoder", autoencoder, widen=wider_stages)
NETWORKS = {
    "autoencoder_vgg16": Row(
        MIRRORED_VGG, 2015, "VGG-16 down to 4,096 numbers and its mirror back to the image", {"depths": (2, 2, 3, 3, 3)}
    ),
    "autoencoder_mnist": Row(AUTOENCODER, 2006, "28-pixel digits through 32 numbers"),
    "vae_mnist": Row(
        AUTOENCODER, 2013, "variational: 28-pixel digits through draws of 32 numbers", {"variational": True}
    ),
}
