"""`convsmith eval RUN`."""

from collections.abc import Sequence
from importlib import import_module

from convsmith.cli.arguments import Parser, add_edit, add_output, print_json, say
from convsmith.report.text import count, interval, percent, table
from convsmith.training.options import EngineOptions

CLASSES = 40
CONFUSED = 8


def run(words: Sequence[str]) -> int:
    """Evaluate a run exactly: each image once, in fp32."""
    parser = Parser("eval", "Accuracy, loss and per-class numbers of a run: each image counted once, in fp32.")
    parser.add_argument("run", help="a run's directory")
    parser.add_argument("--split", choices=("train", "val", "test"), help="which images; none: test, else val")
    parser.add_argument("--data", metavar="NAME|PATH", help="other images than the run's own")
    parser.add_argument("--checkpoint", choices=("selected", "last", "best"), default="selected", help="which weights")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add_edit(parser)
    parser.add_argument("--quiet", action="store_true", help="no notes")
    add_output(parser)
    values = parser.read(words)
    evaluated = import_module("convsmith.recipes.evaluate").evaluate_run(
        values.run,
        split=values.split,
        source=values.data,
        checkpoint=values.checkpoint,
        edits=values.edit,
        engine=EngineOptions(device=values.device),
    )
    for warning in evaluated.subject.warnings if not values.quiet else ():
        say(f"warning: {warning}")
    result = evaluated.result
    if values.json:
        print_json(result.to_json() | {"split": evaluated.split, "step": evaluated.subject.step})
        return 0
    right = round(result.accuracy * result.count)
    print(f"{values.run} on {evaluated.split}: {count(result.count)} images, weights of step {evaluated.subject.step}")
    print(f"accuracy  {result.accuracy:.2%}  ({count(right)} right; 95% interval {interval(*result.interval)})")
    print(f"top 5     {result.top5:.2%}")
    print(f"loss      {result.loss:.4f}")
    print()
    shown = (
        sorted(result.per_class, key=lambda c: c.f1)[:CLASSES] if len(result.per_class) > CLASSES else result.per_class
    )
    rows = [(c.label, percent(c.precision), percent(c.recall), percent(c.f1), count(c.support)) for c in shown]
    print(table(("class", "precision", "recall", "F1", "images"), rows, align="<>>>>"))
    if len(shown) < len(result.per_class):
        print(f"(the {CLASSES} of {len(result.per_class)} classes with the lowest F1; all with --json)")
    _print_confused(result)
    return 0


def _print_confused(result) -> None:
    labels = [c.label for c in result.per_class]
    pairs = [
        (n, labels[i], labels[j]) for i, row in enumerate(result.confusion) for j, n in enumerate(row) if i != j and n
    ]
    if pairs:
        print("\nmost confused")
        for n, true, called in sorted(pairs, key=lambda p: -p[0])[:CONFUSED]:
            print(f"  {n:>5} x {true} called {called}")
