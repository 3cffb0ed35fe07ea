"""`convsmith compare RUN RUN ...`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from convsmith.base.errors import UsageError
from convsmith.base.result import compared as values_of
from convsmith.cli.arguments import print_json, say
from convsmith.cli.compare_trees import trees_as_json, trees_text
from convsmith.cli.output import show_text
from convsmith.cli.pictures import picture_file, write_picture
from convsmith.nets.cost import cost
from convsmith.nets.model import Model
from convsmith.report.results import results_table, value_text
from convsmith.report.text import clean, count, many, short, table
from convsmith.runs.directory import is_run, open_run
from convsmith.runs.network import network_of
from convsmith.training.options import EngineOptions

_OF_NETWORKS = ("edit", "stem", "classes", "channels", "size", "input", "bars", "bubbles", "winners")
_OF_RUNS = ("split", "data", "plot", "device")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """The options of a comparison of runs."""
    group = parser.add_argument_group("options for runs")
    group.add_argument("--split", choices=("train", "val", "test"), help="which images; none: test, else val")
    group.add_argument("--data", metavar="NAME|PATH", help="other images than the runs' own")
    group.add_argument("--plot", type=picture_file, metavar="FILE.svg", help="the courses of training over each other")
    group.add_argument("--device", help="auto, cpu, cuda or cuda:N")


def is_comparison_of_runs(values: argparse.Namespace) -> bool:
    """Whether all names are runs. UsageError for options of the other kind of comparison."""
    names = values.networks
    runs = len(names) > 0 and all(is_run(name) for name in names)
    given = [name for name in (_OF_NETWORKS if runs else _OF_RUNS) if getattr(values, name)]
    if given:
        what, kind = ("a run", "networks") if runs else ("a network", "runs")
        named = next((name for name in names if is_run(name) == runs), "nothing")
        raise UsageError(f"compare: --{given[0]} is for {kind}, and {named} is {what}" if names else _missing(given[0]))
    return runs


def _missing(option: str) -> str:
    return f"compare: --{option} needs the runs to compare"


def compare_runs(values: argparse.Namespace) -> int:
    """Print runs side by side: numbers, paired tests against the first, differences of recipes and trees."""
    paths = list(dict.fromkeys(values.networks))
    if len(paths) < 2:
        raise UsageError("compare: expected two runs or more; for a single one there is: convsmith eval")
    for path in paths:
        open_run(path)
    from convsmith.work.compare import compare_runs

    engine = EngineOptions(device=values.device or "auto")
    compared = compare_runs(paths, split=values.split, source=values.data, engine=engine)
    for evaluated in compared.evaluated:
        for warning in evaluated.subject.warnings:
            say(f"warning: {warning}")
    names = _short_names(paths)
    write_picture(values.plot, lambda: _curves(paths, names))
    if values.json:
        print_json(_as_json(paths, compared))
        return 0
    parts = [_numbers(names, compared), _repeated(names, compared), _paired(names, compared)]
    networks = [network_of(open_run(path)) for path in paths]
    parts += [_recipes(names, compared), _networks(names, networks), trees_text(names, networks)]
    show_text("\n\n".join(part for part in parts if part))
    return 0


def _short_names(paths: Sequence[str]) -> list[str]:
    """The names of the folders; whole paths if two names are equal."""
    names = [Path(path).resolve().name for path in paths]
    return list(map(clean, names if len(set(names)) == len(names) else paths))


def _curves(paths: Sequence[str], names: Sequence[str]) -> str:
    from convsmith.report.curves import Course, run_curves_svg

    return run_curves_svg([Course(name, open_run(path).metrics()) for path, name in zip(paths, names, strict=True)])


def _numbers(names: Sequence[str], compared: Any) -> str:
    images = dict.fromkeys((e.split, len(e.examples)) for e in compared.evaluated)
    where = ", ".join(f"{split}: {many(number, 'image')}" for split, number in images)
    if any(split == "test" for split, _ in images):
        where += "  (test images tell how good; to choose between runs: --split val)"
    return f"on {where}\n" + results_table([(n, e.result) for n, e in zip(names, compared.evaluated, strict=True)])


def _repeated(names: Sequence[str], compared: Any) -> str:
    """Mean and standard deviation of runs that differ only in the seed."""
    numbers = {number.name: number for number in compared.evaluated[0].result.numbers}
    parts: list[str] = []
    for group in compared.repeats:
        members = ", ".join(name for i, name in enumerate(names) if i in group.members)
        rows = [
            (numbers[name].title, *(value_text(v, numbers[name].unit, digits=True) for v in (s.mean, s.deviation)))
            for name, s in group.numbers.items()
        ]
        heading = f"{len(group.members)} runs of one recipe with other seeds: {members}"
        parts.append(heading + "\n" + table(("", "mean", "standard deviation"), rows, align="<>>"))
    return "\n\n".join(parts)


def _paired(names: Sequence[str], compared: Any) -> str:
    if compared.unpaired:
        return f"no paired test: {compared.unpaired}"
    rows = [
        (
            name,
            f"{100 * p.difference:+.2f}",
            f"{100 * p.interval[0]:+.2f} to {100 * p.interval[1]:+.2f}",
            count(p.gained),
            count(p.lost),
            f"{p.p_value:.3g}",
        )
        for name, p in zip(names[1:], compared.pairs, strict=True)
    ]
    what = next((n.title for n in compared.evaluated[0].result.numbers if n.interval), "right images")
    header = ("run", "points", "95% interval", "right here only", f"right in {names[0]} only", "p")
    return f"{what} against {names[0]}, image by image (interval: bootstrap over images; p: McNemar, exact)\n" + table(
        header, rows, align="<>>>>>"
    )


def _recipes(names: Sequence[str], compared: Any) -> str:
    if not compared.differences:
        return "the recipes are the same"
    rows = [(field, *map(_value, values)) for field, values in compared.differences.items()]
    return "recipes differ in\n" + table(("field", *names), rows, align="<" * (len(names) + 1))


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, cast("list[Any]", value))) or "-"
    if isinstance(value, dict):  # a step of the augmentation, a view: `crop(padding=3, mode=zero)`
        fields = dict(cast("dict[str, Any]", value))
        kind = fields.pop("kind", "")
        inside = ", ".join(f"{name}={_value(field)}" for name, field in fields.items())
        return f"{kind}({inside})" if inside else str(kind)
    return "-" if value is None else str(value)


def _networks(names: Sequence[str], networks: Sequence[Model]) -> str:
    rows = []
    for name, facts in zip(names, map(_network_facts, networks), strict=True):
        params, macs = facts["params"], facts["macs"]
        rows.append((
            name,
            facts["network"],
            ", ".join(facts["edits"]) or "-",
            "-" if params is None else count(params),
            "-" if macs is None else short(macs),
        ))  # fmt: skip
    return table(("run", "network", "edits", "parameters", "MACs"), rows, align="<<<>>")


def _network_facts(network: Model) -> dict[str, Any]:
    """The name and cost of a run's network; no cost for a module that is not a tree."""
    tree = network.tree
    if tree is None:
        return {"network": network.name, "edits": [], "params": None, "macs": None}
    numbers = cost(tree)
    return {"network": tree.name, "edits": list(tree.edits), "params": numbers.params, "macs": numbers.macs}


def _as_json(paths: Sequence[str], compared: Any) -> dict[str, Any]:
    networks = [network_of(open_run(path)) for path in paths]
    runs = [
        {"run": path, "split": e.split, "count": len(e.examples), "step": e.subject.step}
        | values_of(e.result.numbers)
        | _network_facts(network)
        for path, network, e in zip(paths, networks, compared.evaluated, strict=True)
    ]
    repeats = [
        {"runs": [paths[i] for i in group.members], **{name: vars(s) for name, s in group.numbers.items()}}
        for group in compared.repeats
    ]
    pairs = [{"run": path, **vars(p)} for path, p in zip(paths[1:], compared.pairs, strict=False)]
    return {
        "runs": runs,
        "repeats": repeats,
        "paired": {"against": paths[0], "runs": pairs} if not compared.unpaired else {"reason": compared.unpaired},
        "recipes": {field: list(values) for field, values in compared.differences.items()},
        "trees": {"against": paths[0], "runs": trees_as_json(paths, networks)},
    }
