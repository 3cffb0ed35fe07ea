"""Inception-v3 (Szegedy et al. 2016, "Rethinking the inception architecture for computer vision")."""

from dataclasses import replace

from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import AdaptiveAvgPool, AvgPool, BatchNorm, Conv, Flatten, Linear, MaxPool
from convsmith.nets.parts import conv_chain, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Cat, Keep, Node, Seq, Use, cat, rewrite, seq

NORM = BatchNorm(eps=1e-3)


def inception_v3(*, auxiliary: bool = True, classes: int = 1000, channels: int = 3, size: int = 299) -> Network:
    """Inception-v3 (table 1, as its authors released it): three kinds of modules of factorized convolutions.

    A 5x5 becomes two 3x3 (figure 5). An n x n becomes a 1xn and an nx1, which see the same n x n positions with 2/n of
    the weights (figure 6, n = 7): a 1x5 and a 5x1 replace a 5x5, not a 3x3. 1x3 and 3x1 side by side (figure 7)
    factorize nothing: they widen the output.

    The auxiliary head needs an image of 299 pixels; `auxiliary` False removes it.
    """
    stage1 = seq(mixed5b=_module5(32), mixed5c=_module5(64), mixed5d=_module5(64))
    stage2 = seq(
        mixed6a=_reduction6(), mixed6b=_module6(128), mixed6c=_module6(160), mixed6d=_module6(160),
        mixed6e=_module6(192), keep6e=Keep("mixed6e") if auxiliary else None,
    )  # fmt: skip
    stage3 = seq(mixed7a=_reduction7(), mixed7b=_module7(), mixed7c=_module7())
    heads = [(MAIN, pooled_head(classes, 0.5))]
    if auxiliary:
        heads.append(("aux1", _auxiliary_head("mixed6e", classes)))
    return Network(
        name="inception_v3",
        family="inception_v3",
        input=Shape(channels, (size, size)),
        init="inception_v3",
        stages=(("stem", plain_stem()), ("stage1", stage1), ("stage2", stage2), ("stage3", stage3)),
        heads=tuple(heads),
    )


def plain_stem() -> Seq:
    """Five convolutions and two poolings, from 299x299 to 35x35 (table 1)."""
    return seq(
        **chain(valid(32, 3, 2), valid(32, 3), same(64, 3)), pool1=MaxPool(3, 2),
        **chain(valid(80), valid(192, 3), start=4), pool2=MaxPool(3, 2),
    )  # fmt: skip


def _module5(pooled: int) -> Cat:
    """Figure 5; as in the release, one branch keeps a 5x5 beside the branch of two 3x3."""
    return module(
        branch(same(64)),
        branch(same(48), same(64, 5)),
        branch(same(64), same(96, 3), same(96, 3)),
        average(pooled),
    )


def _reduction6() -> Cat:
    """Figure 10 with the widths of the release: half the size."""
    return module(
        branch(valid(384, 3, 2)),
        branch(same(64), same(96, 3), valid(96, 3, 2)),
        MaxPool(3, 2),
    )


def _module6(width: int) -> Cat:
    """Figure 6: 7x7 as 1x7 and 7x1, once and twice."""
    row, column = same(width, (1, 7)), same(width, (7, 1))
    return module(
        branch(same(192)),
        branch(same(width), row, same(192, (7, 1))),
        branch(same(width), column, row, column, same(192, (1, 7))),
        average(192),
    )


def _reduction7() -> Cat:
    """The second halving: 3x3, and 7x7 in factors before a 3x3."""
    return module(
        branch(same(192), valid(320, 3, 2)),
        branch(same(192), same(192, (1, 7)), same(192, (7, 1)), valid(192, 3, 2)),
        MaxPool(3, 2),
    )


def _module7() -> Cat:
    """Figure 7: branches that end in a 1x3 and a 3x1 side by side."""
    return module(
        branch(same(320)),
        split(384, same(384)),
        split(384, same(448), same(384, 3)),
        average(192),
    )


def _auxiliary_head(kept: str, classes: int) -> Seq:
    """A classifier on a kept value (figure 8)."""
    return seq(
        use=Use(kept), pool1=AvgPool(5, 3), **chain(same(128), valid(768, 5)),
        pool2=AdaptiveAvgPool(1), flatten=Flatten(), linear=Linear(classes),
    )  # fmt: skip


def same(channels: int, kernel: int | tuple[int, int] = 1) -> Conv:
    """A convolution that keeps the size (without a mark in the papers' figures)."""
    padding = kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)
    return Conv(channels, kernel, padding=padding, bias=False)


def valid(channels: int, kernel: int = 1, stride: int = 1) -> Conv:
    """A convolution without padding (marked V in the papers' figures)."""
    return Conv(channels, kernel, stride, bias=False)


def chain(*convs: Conv, start: int = 1) -> dict[str, Node | None]:
    """Convolutions one after the other, with these networks' batch normalization and ReLU."""
    return conv_chain(*convs, norm=NORM, start=start)


def branch(*convs: Conv) -> Seq:
    """A branch of convolutions."""
    return seq(**chain(*convs))


def split(width: int, *convs: Conv) -> Seq:
    """A branch of convolutions that ends in a 1x3 and a 3x1 of `width` side by side."""
    return seq(**chain(*convs), split=cat(row=branch(same(width, (1, 3))), column=branch(same(width, (3, 1)))))


def average(width: int, count_padding: bool = True) -> Seq:
    """A branch of average pooling and a 1x1 convolution."""
    return seq(pool=AvgPool(3, 1, padding=1, count_padding=count_padding), **chain(same(width)))


def module(*branches: Node) -> Cat:
    """Branches side by side: `branch1`, `branch2`, ..."""
    return cat(**{f"branch{i}": node for i, node in enumerate(branches, 1)})


def small_inception(network: Network) -> Network:
    """An inception network for images of about 32 pixels: only the last part of the stem halves the size.

    The stem's other convolutions and pools get stride 1 and padding: 32, 15, 7 and 3 positions a side. The auxiliary
    head's first pooling gives 5x5 positions, as for full-size images.
    """
    (name, stem), *stages = network.stages
    last = stem.children[-1][0] if isinstance(stem, Seq) else ""

    def keep_size(path: str, node: Node) -> Node:
        if path.startswith(f"{name}.{last}"):
            return node
        if isinstance(node, Conv) and isinstance(node.kernel, int):
            return replace(node, stride=1, padding=node.kernel // 2)
        return replace(node, stride=1, padding=1) if isinstance(node, MaxPool) else node

    heads = tuple((head, rewrite(node, _pooled_to_five, head)) for head, node in network.heads)
    return replace(network, stages=((name, rewrite(stem, keep_size, name)), *stages), heads=heads)


def _pooled_to_five(path: str, node: Node) -> Node:
    return AdaptiveAvgPool(5) if path == "aux1.pool1" else node


INCEPTION_V3 = Family("inception_v3", inception_v3, small_images=small_inception)
NETWORKS = {"inception_v3": Row(INCEPTION_V3, 2015, "factorized convolutions, 299-pixel images, an auxiliary head")}
