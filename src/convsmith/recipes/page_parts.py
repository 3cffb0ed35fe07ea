"""What a report's page shows of an evaluation that is no classification."""

from typing import Any

import numpy as np

from convsmith.data.decoding import decode_one
from convsmith.data.examples import Examples
from convsmith.recipes.prepare import Plan
from convsmith.report import text
from convsmith.report.page import Mistake
from convsmith.report.pictures import png
from convsmith.tasks.multilabel import Labelling

WORST = 24
_HEADER = ("class", "average precision", "AUC", "precision", "recall", "F1", "images")


def labelling_parts(plan: Plan, examples: Examples, result: Labelling) -> dict[str, Any]:
    """The parts of a page for several labels an image: the mean average precision, the classes, the worst images."""
    rows = [
        (
            c.label,
            _share(c.ap),
            "–" if c.auc is None else f"{c.auc:.4f}",
            *map(_share, (c.precision, c.recall, c.f1)),
            text.count(c.support),
        )
        for c in result.per_class
    ]
    means = result.averages
    overall = (
        ("exactly right images", f"{text.percent(result.accuracy)} (95% interval {text.interval(*result.interval)})"),
        ("wrong decisions (Hamming loss)", text.percent(result.hamming)),
        ("F1, mean over classes", text.percent(means.f1)),
        ("F1 of all decisions", text.percent(means.micro_f1)),
        ("AUC, mean over classes", "–" if result.auc is None else f"{result.auc:.4f}"),
        ("loss", f"{result.loss:.4f}"),
        ("Brier score", f"{result.brier:.4f}"),
    )
    return {
        "score": ("mean average precision", result.map, True) if result.map is not None else None,
        "count": result.count,
        "tables": (
            ("numbers", "Numbers", ("number", "value"), overall),
            ("labels", "Per class", _HEADER, rows),
        ),
        "mistakes": _mistakes(plan, examples, result),
    }


def own_parts(data: dict[str, Any], summary: dict[str, Any]) -> dict[str, Any]:
    """The parts of a page for a task of a user's own: its score, and its other plain numbers."""
    rows = [(name, f"{value:.6g}") for name, value in data.items() if type(value) in (int, float)]
    return {
        "score": ("score", float(summary["score"]), False),
        "count": int(summary["count"]),
        "tables": (("numbers", "Numbers", ("number", "value"), rows),),
    }


def _mistakes(plan: Plan, examples: Examples, result: Labelling) -> tuple[Mistake, ...]:
    """Of the images of largest loss that are not right, each with the class that is most wrong there."""
    wrong = np.flatnonzero(~np.asarray(result.right))
    worst = wrong[np.argsort(-np.asarray(result.sample_loss)[wrong], kind="stable")][:WORST]
    return tuple(_mistake(plan, examples, result, int(i)) for i in worst)


def _mistake(plan: Plan, examples: Examples, result: Labelling, i: int) -> Mistake:
    there, shares = result.targets[i], result.probabilities[i]
    number = int(np.abs(there - shares).argmax())
    name, share = plan.dataset.card.classes[number], float(shares[number])
    said, so = (f"no {name}", name) if there[number] else (name, f"no {name}")
    sure = 1 - share if there[number] else share
    return Mistake(
        image_png=png(decode_one(examples, i, plan.dataset.preprocess)),
        true=so,
        predicted=said,
        probability=sure,
        true_probability=1 - sure,
        name=examples.name(i),
    )


def _share(value: float | None) -> str:
    return "–" if value is None else text.percent(value)
