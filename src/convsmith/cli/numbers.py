"""The numbers of an evaluation that is no classification, as text: several labels an image, or a task of one's own."""

from collections.abc import Mapping, Sequence
from typing import Any

from convsmith.cli.output import show, show_text
from convsmith.report.text import count, interval, many, percent, table

CLASSES = 40


def is_classification(result: Any) -> bool:
    """Whether an evaluation is of one label for each image."""
    return hasattr(result, "confusion")


def is_labelling(result: Any) -> bool:
    """Whether an evaluation is of several labels for each image."""
    return getattr(result, "kind", None) == "multilabel"


def other_table(rows: Sequence[tuple[str, Any]]) -> str:
    """A row for each name with its evaluation, all of one kind."""
    if all(is_labelling(result) for _, result in rows):
        header = ("run", "mAP", "all right", "95% interval", "Hamming", "F1", "F1 of all", "AUC", "loss", "Brier")
        cells = [
            (
                name,
                share(r.map),
                percent(r.accuracy),
                interval(*r.interval),
                percent(r.hamming),
                percent(r.averages.f1),
                percent(r.averages.micro_f1),
                fraction(r.auc),
                f"{r.loss:.4f}",
                f"{r.brier:.4f}",
            )
            for name, r in rows
        ]
        return table(header, cells, align="<" + ">" * (len(header) - 1))
    summaries = [(name, plain(result)) for name, result in rows]
    names = list(dict.fromkeys(key for _, summary in summaries for key in summary))
    cells = [(name, *(_number(summary.get(key)) for key in names)) for name, summary in summaries]
    return table(("run", *names), cells, align="<" + ">" * len(names))


def print_other(result: Any) -> None:
    """All numbers of one evaluation."""
    if not is_labelling(result):
        for name, value in plain(result).items():
            show(f"{name:<9} {_number(value)}")
        return
    means = result.averages
    show(f"mAP       {share(result.map)}  (mean over the classes of the average precision)")
    bounds = interval(*result.interval)
    show(f"all right {result.accuracy:.2%}  (images with exactly their labels; 95% interval {bounds})")
    show(f"Hamming   {result.hamming:.2%}  (wrong decisions)")
    show(f"means     precision {percent(means.precision)}, recall {percent(means.recall)}, F1 {percent(means.f1)}")
    show(f"F1 of all {percent(means.micro_f1)}  (every decision counts the same)")
    show(f"AUC       {fraction(result.auc)}  (mean over the classes)")
    show(f"loss      {result.loss:.4f}  (binary cross entropy, mean over images and classes)")
    show(f"Brier     {result.brier:.4f}")
    show()
    shown = result.per_class
    if len(shown) > CLASSES:
        shown = sorted(shown, key=lambda c: -1.0 if c.ap is None else c.ap)[:CLASSES]
    rows = [
        (c.label, share(c.ap), fraction(c.auc), *map(percent, (c.precision, c.recall, c.f1)), count(c.support))
        for c in shown
    ]
    show_text(table(("class", "AP", "AUC", "precision", "recall", "F1", "images"), rows, align="<>>>>>>"))
    if len(shown) < len(result.per_class):
        show(f"(the {CLASSES} of {len(result.per_class)} classes with the lowest AP; all with --json)")


def score_line(name: str, numbers: Mapping[str, Any]) -> str:
    """The number of a split that says how good a run is, as `train` ends with it; the accuracy where there is one."""
    if "map" in numbers:
        exact = f"{numbers['accuracy']:.2%} of {many(numbers['count'], 'image')} exactly right"
        return f"{name + ' mAP':<20} {share(numbers['map'])}  ({exact}; 95% interval {interval(*numbers['interval'])})"
    if "interval" in numbers:
        right = round(numbers["accuracy"] * numbers["count"])
        words = f"{count(right)} of {many(numbers['count'], 'image')}; 95% interval {interval(*numbers['interval'])}"
        return f"{name + ' accuracy':<20} {numbers['accuracy']:.2%}  ({words})"
    value = numbers.get("score", numbers.get("accuracy"))
    return f"{name + ' score':<20} {_number(value)}  (over {many(numbers['count'], 'image')})"


def plain(result: Any) -> dict[str, Any]:
    """The plain numbers of an evaluation of a user's own."""
    data = result.to_json() if hasattr(result, "to_json") else result.summary()
    return {name: value for name, value in data.items() if value is None or type(value) in (int, float)}


def share(value: float | None) -> str:
    """A share that may be absent."""
    return "-" if value is None else f"{value:.2%}"


def fraction(value: float | None) -> str:
    """A fraction that may be absent."""
    return "-" if value is None else f"{value:.4f}"


def _number(value: Any) -> str:
    return "-" if value is None else count(value) if isinstance(value, int) else f"{value:.6g}"
