"""A run's report.html: its numbers gathered for the page that `report` renders."""

from collections.abc import Mapping
from dataclasses import astuple, replace
from typing import Any

import numpy as np

from convsmith.base.files import write_files
from convsmith.data.decoding import decode_one
from convsmith.data.examples import Examples
from convsmith.nets.drawing import draw
from convsmith.recipes.page_parts import labelling_parts, own_parts
from convsmith.recipes.prepare import Plan
from convsmith.recipes.task_choice import numbers
from convsmith.report import text
from convsmith.report.page import Mistake, RunReport, render_report
from convsmith.report.pictures import png
from convsmith.report.reliability import Reliability
from convsmith.runs.directory import RunDirectory
from convsmith.tasks.classify import Classification
from convsmith.tasks.multilabel import Labelling
from convsmith.training.job import Evaluation

WORST = 24


def write_report(run: RunDirectory, plan: Plan, evaluations: Mapping[str, Evaluation | None], state: str) -> None:
    """Write `report.html` into the run: the test split's numbers where it has one, else the validation's."""
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
        labels=plan.dataset.card.classes,
        recipe=run.record("recipe"),
        environment=run.environment(),
        notes=tuple(dict.fromkeys((*plan.notes, *plan.dataset.card.notes))),
    )
    if result is not None and examples is not None:
        report = replace(report, **_evaluated(plan, examples, result))
    write_files({run.path / "report.html": render_report(report).encode()})


def _evaluated(plan: Plan, examples: Examples, result: Evaluation) -> dict[str, Any]:
    """What a page shows of an evaluation, by its kind."""
    if isinstance(result, Classification):
        return {
            "accuracy": result.accuracy,
            "interval": result.interval,
            "count": result.count,
            "confusion": result.confusion,
            "per_class": [(c.label, c.precision, c.recall, c.f1, c.support) for c in result.per_class],
            "reliability": _reliability(result),
            "mistakes": _mistakes(plan, examples, result),
        }
    if isinstance(result, Labelling):
        return labelling_parts(plan, examples, result)
    return own_parts(numbers(result), result.summary())


def _summary(run: RunDirectory, plan: Plan) -> tuple[tuple[str, str], ...]:
    metrics = run.metrics()
    last = metrics[-1] if metrics else {}
    rows: list[tuple[str, Any]] = [
        ("Epochs", last.get("epoch", 0)),
        ("Time", text.duration(last.get("seconds", 0.0))),
        ("Training images/s", text.count(round(last.get("images_per_second") or 0))),
        ("Images", ", ".join(f"{text.count(len(e))} {n}" for n, e in _splits(plan))),
        ("Image size", "x".join(map(str, plan.dataset.preprocess.size))),
    ]
    if (numbers := plan.network.price()) is not None:
        rows += [("Parameters", text.count(numbers.params)), ("MACs", text.short(numbers.macs))]
    return tuple((name, str(value)) for name, value in rows)


def _splits(plan: Plan) -> list[tuple[str, Examples]]:
    data = plan.dataset
    return [(n, e) for n, e in (("train", data.train), ("val", data.val), ("test", data.test)) if e is not None]


def _reliability(result: Classification) -> Reliability:
    return Reliability("Confidence and accuracy", [astuple(b) for b in result.reliability()], result.ece())


def _mistakes(plan: Plan, examples: Examples, result: Classification) -> tuple[Mistake, ...]:
    """The wrong answers of largest loss, with their images as the network got them."""
    labels, classes = examples.labels, plan.dataset.card.classes
    wrong = np.flatnonzero(np.asarray(result.predicted) != labels)
    worst = wrong[np.argsort(-np.asarray(result.sample_loss)[wrong], kind="stable")][:WORST]
    return tuple(
        Mistake(
            image_png=png(decode_one(examples, int(i), plan.dataset.preprocess)),
            true=classes[labels[i]],
            predicted=classes[result.predicted[i]],
            probability=result.probability[i],
            true_probability=result.true_probability[i],
            name=examples.name(int(i)),
        )
        for i in worst
    )
