"""Activations and gradients of deep plain networks, measured at initialization."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

import torch

from convsmith.base.spread import spread
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.nets.ops import Act, BatchNorm, Linear
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, seq
from convsmith.report.groups import DepthLine, DepthPanel, depths_svg
from convsmith.report.text import many
from convsmith.series.experiment import Findings
from convsmith_textbook.questions.initialization import (
    BATCH,
    DEPTH,
    QUICK_DEPTH,
    QUICK_WIDTH,
    SETTINGS,
    WIDTH,
    Course,
    Setting,
    expected,
)

HEADER = ("activation", "initialization", "n", "last activations", "theory", "first gradient", "theory")


def measure(seeds: int, quick: bool) -> Findings:
    """Measure every setting with each seed; the table and the picture show the closed forms too."""
    depth, width = (QUICK_DEPTH, QUICK_WIDTH) if quick else (DEPTH, WIDTH)
    by_setting = {setting: [measured(setting, depth, width, seed) for seed in range(seeds)] for setting in SETTINGS}
    rows: list[tuple[str, ...]] = []
    data: list[dict[str, Any]] = []
    for setting, courses in by_setting.items():
        theory = expected(setting, depth)
        ends = [course.forward[-1] for course in courses], [course.backward[0] for course in courses]
        cells = [text for ours, closed in zip(ends, (theory.forward[-1], theory.backward[0]), strict=True)
                for text in (_spread(ours), f"{closed:.3g}")]  # fmt: skip
        rows.append((setting.act, setting.name, str(seeds), *cells))
        data.append({
            "activation": setting.act, "initialization": setting.name, "gain": setting.gain, "batch_norm": setting.norm,
            "n": seeds, "last_activations": asdict(spread(ends[0])), "first_gradient": asdict(spread(ends[1])),
            "theory": {"last_activations": theory.forward[-1], "first_gradient": theory.backward[0]},
            "forward": _mean([c.forward for c in courses]), "backward": _mean([c.backward for c in courses]),
        })  # fmt: skip
    facts = {"layers": depth, "units": width, "batch": BATCH, "settings": data}
    return Findings(HEADER, rows, facts, _checks(by_setting, depth), _picture(by_setting, depth, width))


def measured(setting: Setting, depth: int, width: int, seed: int) -> Course:
    """The course of one random network: normal inputs go up, a normal gradient of the last activations goes down."""
    module = build(plain_network(setting, depth, width), seed=seed).train()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(BATCH, width, generator=generator)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("linear.weight"):
                parameter.mul_(math.sqrt(setting.gain / 2))  # drawn by He's rule, whose gain is 2
    ends = list(module.features(x).values())
    for end in ends:
        end.retain_grad()
    # From the last layer's activations, not from the head, which is not part of the question.
    ends[-1].backward(torch.randn(ends[-1].shape, generator=generator))
    forward = tuple(_deviation(end) for end in ends)
    gradients = [_deviation(end.grad) for end in ends if end.grad is not None]
    return Course(forward, tuple(gradient / gradients[-1] for gradient in gradients))


def plain_network(setting: Setting, depth: int, width: int) -> Network:
    """`depth` fully connected layers of `width` units, each a stage, initialized by He's rule."""
    norm = BatchNorm() if setting.norm else None
    layer = seq(linear=Linear(width, bias=False), norm=norm, act=Act(setting.act))
    return Network(
        name="plain",
        family="plain",
        input=Shape(width, ()),
        init="he_in",
        stages=tuple((f"layer{i}", layer) for i in range(1, depth + 1)),
        heads=((MAIN, seq(linear=Linear(2))),),
    )


def _deviation(values: torch.Tensor) -> float:
    """The root of the mean square; in double precision, since squares of small numbers vanish in single."""
    return float(values.detach().double().square().mean().sqrt())


def _mean(courses: Sequence[Sequence[float]]) -> list[float]:
    return [fmean(values) for values in zip(*courses, strict=True)]


def _spread(values: Sequence[float]) -> str:
    summary = spread(values)
    return f"{summary.mean:.3g}" + ("" if summary.deviation is None else f" ± {summary.deviation:.2g}")


def _checks(by_setting: dict[Setting, list[Course]], depth: int) -> list[str]:
    """Lines on the condition of He et al.: the measured factor of the variance of a layer."""
    lines: list[str] = []
    for setting, courses in by_setting.items():
        if setting.act == "relu" and not setting.norm:
            ratios = [(course.forward[-1] / course.forward[0]) ** (2 / (depth - 1)) for course in courses]
            lines.append(
                f"relu, {setting.name}: each layer multiplies the variance by {_spread(ratios)}; "
                f"fan_in * variance / 2 = {setting.gain / 2:g}"
            )
    return lines


def _picture(by_setting: dict[Setting, list[Course]], depth: int, width: int) -> str:
    panels: list[DepthPanel] = []
    for act in ("relu", "tanh"):
        for what, title in (
            ("forward", "activations"),
            ("backward", "gradients by the activations, against the last's"),
        ):
            lines = [
                DepthLine(
                    setting.name,
                    tuple(_mean([getattr(course, what) for course in courses])),
                    tuple(min(values) for values in zip(*(getattr(c, what) for c in courses), strict=True)),
                    tuple(max(values) for values in zip(*(getattr(c, what) for c in courses), strict=True)),
                    getattr(expected(setting, depth), what),
                )
                for setting, courses in by_setting.items()
                if setting.act == act
            ]
            panels.append(DepthPanel(f"{act}: {title}", lines))
    seeds = len(next(iter(by_setting.values())))
    caption = (
        f"standard deviation by layer; {many(depth, 'layer')} of {many(width, 'unit')}, {many(seeds, 'seed')} "
        "with their range, dots: theory"
    )
    return depths_svg("What initialization does through depth", caption, panels)
