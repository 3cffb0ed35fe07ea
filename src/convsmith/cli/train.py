"""`convsmith train [SUBJECT]` and `convsmith train --resume RUN`."""

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.cli.arguments import (
    Parser,
    add_output,
    add_short,
    all_fields,
    edited,
    print_json,
    recipe_words,
    say,
)
from convsmith.cli.repeat import check_repeat, train_repeatedly
from convsmith.recipes.choose import choose
from convsmith.recipes.recipe import Recipe
from convsmith.recipes.shorthand import SHORTHAND, epochs
from convsmith.report.text import count, duration, interval

EXAMPLES = """examples:
  convsmith train                                    LeNet-5 on handwritten digits
  convsmith train --data photos/                     your own images, one folder for each class
  convsmith train resnet50 --data photos/ --pretrained   the same, from torchvision's weights
  convsmith train resnet20-cifar10-fast --epochs 5   a recipe, changed
  convsmith train --resume runs/2026-11-21-digits-4f2a91
"""


def run(words: Sequence[str]) -> int:
    """Train, or resume."""
    parser = _parser()
    rest, fields = recipe_words(words)
    if "--help-all" in rest:
        print(all_fields())
        return 0
    values = parser.read(rest)
    if values.resume:
        return _resume(values, fields)
    recipe = edited(choose(values.subject, values.data), values, fields)
    check_repeat(values)
    if values.repeat is not None:
        return train_repeatedly(recipe, values, _silent if values.quiet else say)
    _check_out(values.out)
    # From here on torch is needed.
    if values.dry_run:
        return _dry_run(recipe, values)
    running = import_module("convsmith.recipes.run")
    quiet = values.quiet
    outcome = running.train(
        recipe, out=Path(values.out) if values.out else None, quiet=quiet, say=_silent if quiet else say
    )
    return _finish(outcome, values.json)


def _parser() -> Parser:
    parser = Parser(
        "train", "Train a network. SUBJECT is a recipe, a network, a data set, a recipe's JSON file or a run."
    )
    parser.epilog = EXAMPLES
    parser.add_argument("subject", nargs="?", help="recipe, network, data, recipe.json or run; none: digits")
    add_short(parser, *SHORTHAND)
    parser.add_argument("--out", metavar="DIR", help="the run's directory; none: runs/<date>-<recipe>-<id>")
    help = "train with N seeds into one folder, with mean and spread; the same command goes on where it was stopped"
    parser.add_argument("--repeat", type=int, metavar="N", help=help)
    parser.add_argument("--resume", metavar="RUN", help="continue an interrupted run in place")
    parser.add_argument("--allow-drift", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--dry-run", action="store_true", help="say what it would take, and stop")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--help-all", action="store_true", help="every field of a recipe as an option")
    add_output(parser)
    return parser


def _resume(values: argparse.Namespace, fields: Sequence[tuple[str, str]]) -> int:
    short = [name for name in (*SHORTHAND, "out", "dry_run", "repeat") if name != "epochs"]
    given = [repr(values.subject)] if values.subject else []
    given += ["--" + name.replace("_", "-") for name in short if getattr(values, name) not in (None, False)]
    given += ["--" + path for path, _ in fields]
    if given:
        raise UsageError(
            f"--resume goes on as the run began, so {given[0]} cannot be given; only --epochs may be larger. "
            f"For another course: convsmith train {values.resume} --OPTIONS"
        )
    length = None if values.epochs is None else epochs(values.epochs)
    running = import_module("convsmith.recipes.run")
    outcome = running.resume(
        values.resume, length=length, allow_drift=values.allow_drift, quiet=values.quiet,
        say=_silent if values.quiet else say,
    )  # fmt: skip
    return _finish(outcome, values.json)


def _dry_run(recipe: Recipe, values: argparse.Namespace) -> int:
    preparing = import_module("convsmith.recipes.prepare")
    plan = preparing.prepare(recipe)
    card = plan.dataset.card
    for note in (f"data {card.name}: {import_module('convsmith.data.sources.opening').describe(card)}", *plan.notes):
        say(note)
    expected = import_module("convsmith.recipes.estimate").estimate(plan)
    if values.json:
        print_json({"recipe": plan.recipe.to_json(), "estimate": vars(expected)})
        return 0
    print(f"{plan.recipe.name}: {plan.network.name} on {plan.dataset.card.name}, {plan.recipe.length}")
    print(expected.text())
    return 0


def _finish(outcome: Any, as_json: bool) -> int:
    result, run = outcome.result, outcome.run
    if as_json:
        print_json({"run": str(run.path), **result})
        return 0
    for split, name in (("val", "validation"), ("test", "test")):
        numbers = result["metrics"][split]
        if numbers:
            right = round(numbers["accuracy"] * numbers["count"])
            print(
                f"{name + ' accuracy':<20} {numbers['accuracy']:.2%}  "
                f"({count(right)} of {count(numbers['count'])} images; 95% interval {interval(*numbers['interval'])})"
            )
    what = "stopped early after" if result["ended"] == "stopped early" else "trained"
    epochs = f"{result['epochs']} epoch{'' if result['epochs'] == 1 else 's'}"
    print(f"{what} {epochs} in {duration(result['seconds'])}; {_images(run)}")
    print(f"run     {run.path}")
    print(f"report  {run.path / 'report.html'}  (open it in a browser)")
    print(f"next    convsmith predict {run.path} IMAGE...")
    print(f"        convsmith eval {run.path}")
    print(f"        convsmith export {run.path} --to onnx")
    if run.record("data")["card"]["kind"] != "folder":
        print("        convsmith train --data photos/     (your own images, one folder for each class)")
    return 0


def _images(run: Any) -> str:
    """What the images were like, for a reader who wonders what was learned."""
    card, preprocess = run.record("data")["card"], run.record("preprocess")
    seen = "x".join(map(str, preprocess["size"]))
    stored = "x".join(map(str, card["size"])) if card["size"] else "different sizes"
    enlarged = "" if stored == seen else f", seen by the network at {seen}"
    return f"the images of {card['name']} are {stored} pixels{enlarged}"


def _check_out(out: str | None) -> None:
    """Refuse a taken directory before the seconds that torch takes to load."""
    if out and Path(out).exists() and (not Path(out).is_dir() or any(Path(out).iterdir())):
        raise UsageError(f"{out}: holds something already; choose another --out, or continue a run with --resume {out}")


def _silent(text: str) -> None: ...
