"""`convsmith train [SUBJECT]` and `convsmith train --resume RUN`."""

import argparse
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.base.processes import part, restarts
from convsmith.base.result import stored_numbers
from convsmith.cli.arguments import Parser, add_output, add_short, print_json, say
from convsmith.cli.fields import all_fields, edited, given, recipe_words
from convsmith.cli.output import show, show_text
from convsmith.cli.repeat import check_repeat, train_repeatedly
from convsmith.recipes.choose import choose
from convsmith.recipes.finetune import FineTuning, tuning_of
from convsmith.recipes.recipe import Recipe
from convsmith.recipes.shorthand import SHORTHAND, epochs
from convsmith.report.results import score_line
from convsmith.report.text import duration, many, once
from convsmith.training.track import check_track
from convsmith.work.limit import Limit, read_limit

EXAMPLES = """examples:
  convsmith train                                    LeNet-5 on handwritten digits
  convsmith train --data photos/                     your own images, one folder for each class
  convsmith train resnet50 --data photos/ --pretrained   the same, from published weights
  convsmith train resnet20-cifar10-fast --epochs 5   a recipe, changed
  convsmith train --resume runs/2026-11-21-digits-4f2a91
"""


def run(words: Sequence[str]) -> int:
    """Train, or resume."""
    parser = _parser()
    rest, fields = recipe_words(words)
    if "--help-all" in rest:
        show_text(all_fields())
        return 0
    values = parser.read(rest, words)
    check_processes(values)
    if values.resume == "":
        raise UsageError(_which_run())
    if values.resume:
        return _resume(values, fields, words)
    recipe = edited(choose(values.subject, values.data), values, fields)
    check_repeat(values)
    check_track(recipe.track)
    tuning = tuning_of(values.subject, recipe, given(values, fields))
    limit = limit_of(values, fields)
    several = values.repeat is not None or values.kfold is not None
    if not several:
        check_out(values.out)
    # From here on torch is needed.
    if values.nproc is not None and values.nproc > 1:
        from convsmith.training.launch import launch

        return launch("train", words, values.nproc)
    speak = speaker(values)
    if tuning is None:
        from convsmith.work import first_start as first

        found = first.first_start(values.subject, values.data, given(values, fields), limit, speak)
        recipe, tuning, limit = (recipe, None, limit) if found is None else found
    if several:
        return train_repeatedly(recipe, values, tuning, limit, speak)
    if tuning is not None:
        return finetuned(recipe, tuning, values, limit)
    if values.dry_run:
        from convsmith.work.within import planned

        return dry_run(planned(recipe, limit), values)
    from convsmith.work.run import train

    return finish(train(recipe, limit=limit, **_how(values)), values.json)


def finetuned(recipe: Recipe, tuning: FineTuning, values: argparse.Namespace, limit: Limit | None) -> int:
    """Fine-tune a network with weights, or with `--dry-run` print the expected cost."""
    from convsmith.work import transfer

    how = _how(values)
    if values.dry_run:
        plan = transfer.prepare_finetuning(recipe, tuning, say=how["say"], quiet=values.quiet, limit=limit).plan
        return dry_run(plan, values)
    outcome, prepared = transfer.finetune(recipe, tuning, limit=limit, **how)
    return finish(outcome, values.json, finetune=prepared and prepared.to_json())


def add_within(parser: Parser) -> None:
    """Add `--within`, the limit of time."""
    help = "image size and length are chosen so that the command ends in about this time: 90s, 10min, 2h"
    parser.add_argument("--within", metavar="TIME", help=help)


def limit_of(values: argparse.Namespace, fields: Sequence[tuple[str, str]]) -> Limit | None:
    """The limit that `--within` sets, None without the option. It keeps the image size if the user sets that."""
    if values.within is None:
        return None
    return read_limit(values.within, sizes=values.size is None and not any(path == "data.size" for path, _ in fields))


def _how(values: argparse.Namespace) -> dict[str, Any]:
    out = Path(values.out) if values.out else None
    return {"out": out, "quiet": values.quiet, "say": speaker(values)}


def _parser() -> Parser:
    parser = Parser(
        "train", "Train a network. SUBJECT is a recipe, a network, a data set, a recipe's JSON file or a run."
    )
    parser.epilog = EXAMPLES
    parser.add_argument("subject", nargs="?", help="recipe, network, data, recipe.json or run; none: digits")
    add_short(parser, *SHORTHAND)
    parser.add_argument("--out", metavar="DIR", help="the run's directory; none: runs/<date>-<recipe>-<id>")
    help = (
        "train with N seeds (or with --kfold K on K folds) into one folder, with mean and spread; the same command "
        "goes on where it was stopped"
    )
    parser.add_argument("--repeat", type=int, metavar="N", help=help)
    parser.add_argument("--kfold", type=int, metavar="K", help=argparse.SUPPRESS)  # said beside --repeat
    help = "continue an interrupted run in place; --data NEW where its data has moved"
    parser.add_argument("--resume", metavar="RUN", nargs="?", const="", help=help)
    parser.add_argument("--allow-other-machine", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--nproc", type=int, metavar="N", help="train in N processes of this machine, by torchrun")
    add_within(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what it would take, and stop")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--help-all", action="store_true", help="every field of a recipe as an option")
    add_output(parser)
    return parser


def check_processes(values: argparse.Namespace) -> None:
    """Raise UsageError for an impossible number of processes, or an option that works in one process only."""
    several = values.nproc if values.nproc is not None else part().size
    if several < 1:
        raise UsageError(f"train: --nproc must be at least 1, received {values.nproc}")
    if values.nproc is not None and part().size > 1:
        raise UsageError(f"train: torchrun has started {part().size} processes already; leave out --nproc")
    given = [name for name in ("repeat", "kfold", "dry_run") if getattr(values, name) not in (None, False)]
    if several > 1 and given:
        raise UsageError(f"train: --{given[0].replace('_', '-')} works in one process, received {several}")


def _resume(values: argparse.Namespace, fields: Sequence[tuple[str, str]], words: Sequence[str]) -> int:
    unchanged = (*SHORTHAND, "out", "dry_run", "repeat", "kfold", "within")
    short = [name for name in unchanged if name not in ("epochs", "data")]
    given = [repr(values.subject)] if values.subject else []
    given += ["--" + name.replace("_", "-") for name in short if getattr(values, name) not in (None, False)]
    given += ["--" + path for path, _ in fields]
    if given:
        raise UsageError(
            f"--resume goes on as the run began, so {given[0]} cannot be given; only --epochs may be larger, "
            "and --data says where the data is now. "
            f"With other options: convsmith train {values.resume} --OPTIONS"
        )
    length = None if values.epochs is None else epochs(values.epochs)
    if values.nproc is not None and values.nproc > 1:
        from convsmith.training.launch import launch

        return launch("train", words, values.nproc)
    from convsmith.work import run as running

    outcome = running.resume(
        values.resume, length=length, data=values.data, allow_other_machine=values.allow_other_machine,
        quiet=values.quiet, say=speaker(values),
    )  # fmt: skip
    return finish(outcome, values.json)


def _which_run() -> str:
    from convsmith.recipes.meant import newest_run

    newest = newest_run(finished=False)
    hint = "no run in runs/ is unfinished; convsmith runs lists them"
    if newest is not None:
        hint = f"the newest that is not finished: convsmith train --resume {shlex.quote(newest)}"
    return f"train: --resume needs a run; {hint}"


def dry_run(plan: Any, values: argparse.Namespace) -> int:
    """Print the expected cost of a run of the plan."""
    card, recipe = plan.dataset.card, plan.recipe
    from convsmith.work.estimate import estimate
    from convsmith.work.prepare import announced

    announced(plan, speaker(values))
    steps = recipe.by_steps
    expected = estimate(plan) if steps else None
    if values.json:
        print_json({"recipe": recipe.to_json(), "estimate": expected and vars(expected)})
        return 0
    show(f"{recipe.name}: {plan.network.name} on {card.name}, {recipe.length if steps else 'logistic regression'}")
    once = f"each of {many(len(plan.dataset.train), 'image')} goes through the network once"
    show_text(expected.text() if expected else f"{once}, unless the cache has its features")
    return 0


def finish(outcome: Any, as_json: bool, **more: Any) -> int:
    """Print the result of a finished run; `more` is added to the JSON."""
    result, run = outcome.result, outcome.run
    if as_json:
        print_json({"run": str(run.path), **more, **result})
        return 0
    _print_scores(result)
    if "views" in result:
        seen = result["views"]
        views = many(seen["of_an_image"], "view")
        show(f"through {views} of an image ({seen['views']}), the mean of their probabilities")
        _print_scores(seen)
    if result["metrics"]["test"]:
        show("the test images had no part in any choice; to choose between runs, compare them on validation images")
    show(f"{_learned(run, result)} in {duration(result['seconds'])}; {_images(run)}")
    show(f"run     {run.path}")
    show(f"report  {run.path / 'report.html'}  (open it in a browser)")
    show(f"next    convsmith predict {run.path} IMAGE...")
    show(f"        convsmith eval {run.path}")
    show(f"        convsmith export {run.path} --to onnx")
    if run.record("data")["card"]["kind"] not in ("folder", "table"):
        show("        convsmith train --data photos/     (your own images, one folder for each class)")
    return 0


def _learned(run: Any, result: Any) -> str:
    """The line on what was learned: the last layer by regression, or a number of epochs."""
    if run.record("recipe")["recipe"]["solver"] == "logistic":
        return "learned the last layer by logistic regression"
    what = "stopped early after" if result["ended"] == "stopped early" else "trained"
    return f"{what} {many(result['epochs'], 'epoch')}"


def _print_scores(result: dict[str, Any]) -> None:
    for split, name in (("val", "validation"), ("test", "test")):
        if numbers := stored_numbers(result, split):
            show(score_line(name, numbers, result["metrics"][split]["count"]))


def _images(run: Any) -> str:
    """The line on the images of the run: their size and channels."""
    card, preprocess = run.record("data")["card"], run.record("preprocess")
    seen = "x".join(map(str, preprocess["size"]))
    stored = "x".join(map(str, card["size"])) if card["size"] else ""
    are = f"are {stored} pixels" if stored else "differ in size"
    return f"the images of {card['name']} {are}" + ("" if stored == seen else f", seen by the network at {seen}")


def check_out(out: str | None) -> None:
    """Raise UsageError for a directory that is taken, before torch is loaded."""
    if restarts() or part().size > 1:
        return  # it may be the run of this command, which the processes check together
    if out and Path(out).exists() and (not Path(out).is_dir() or any(Path(out).iterdir())):
        raise UsageError(f"{out}: holds something already; choose another --out, or continue a run with --resume {out}")


def speaker(values: argparse.Namespace) -> Callable[[str], None]:
    """The function that prints the notes of this command: each once, none with `--quiet`."""
    if not hasattr(values, "speak"):
        values.speak = silent if values.quiet else once(say)
    return values.speak


def silent(text: str) -> None: ...
