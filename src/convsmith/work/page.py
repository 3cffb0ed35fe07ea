"""A run's report.html: collects the numbers of the page that `report` renders."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from convsmith.base.files import write_files
from convsmith.base.result import Result
from convsmith.data.decoding import decode_one
from convsmith.data.examples import Examples
from convsmith.nets.views.drawing import draw
from convsmith.report import text
from convsmith.report.page import Mistake, RunReport, render_report
from convsmith.report.pictures import png
from convsmith.runs.directory import RunDirectory
from convsmith.work.prepare import Plan

WORST = 24


def write_report(run: RunDirectory, plan: Plan, evaluations: Mapping[str, Result | None], state: str) -> None:
    """Write `report.html` into the run: the test split's numbers if there are any, else the validation split's."""
    split = "test" if evaluations["test"] is not None else "val"
    result = evaluations[split]
    examples = plan.dataset.test if split == "test" else plan.dataset.val
    network = plan.network
    report = RunReport(
        title=f"{plan.recipe.name}: {network.name} on {plan.dataset.card.name}",
        state=state,
        summary=_summary(run, plan),
        network_svg=draw(network.tree) if network.tree else None,
        metrics=run.metrics(),
        split=split,
        recipe=run.record("recipe"),
        environment=run.environment(),
        notes=tuple(dict.fromkeys((*plan.notes, *plan.dataset.card.notes))),
    )
    if result is not None and examples is not None:
        report = replace(report, result=result, mistakes=_mistakes(plan, examples, result))
    write_files({run.path / "report.html": render_report(report).encode()})


def _summary(run: RunDirectory, plan: Plan) -> tuple[tuple[str, str], ...]:
    metrics = run.metrics()
    last = metrics[-1] if metrics else {}
    rows: list[tuple[str, Any]] = [
        ("Epochs", last.get("epoch", 0)),
        ("Time", text.duration(last.get("seconds", 0.0))),
        ("Images", ", ".join(f"{text.count(len(e))} {n}" for n, e in _splits(plan))),
        ("Image size", "x".join(map(str, plan.dataset.preprocess.size))),
    ]
    if (speed := last.get("images_per_second")) is not None:  # a regression has none
        rows.insert(2, ("Training images/s", text.count(round(speed))))
    if (numbers := plan.network.price()) is not None:
        rows += [("Parameters", text.count(numbers.params)), ("MACs", text.short(numbers.macs))]
    return tuple((name, str(value)) for name, value in rows)


def _splits(plan: Plan) -> list[tuple[str, Examples]]:
    data = plan.dataset
    return [(n, e) for n, e in (("train", data.train), ("val", data.val), ("test", data.test)) if e is not None]


def _mistakes(plan: Plan, examples: Examples, result: Result) -> tuple[Mistake, ...] | None:
    """The wrong answers with the largest loss and the images as the network saw them; None if the task has none."""
    samples = result.samples
    if samples is None or samples.said is None or samples.right is None or samples.loss is None:
        return None
    wrong = np.flatnonzero(~samples.right)
    worst = wrong[np.argsort(-samples.loss[wrong], kind="stable")][:WORST]
    return tuple(
        Mistake(
            image_png=png(decode_one(examples, int(i), plan.dataset.preprocess)),
            **samples.said(int(i))._asdict(),
            name=examples.name(int(i)),
        )
        for i in worst
    )
