"""`convsmith reproduce [ENTRY...]`."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convsmith.base.errors import UsageError, unknown
from convsmith.cli.arguments import Parser, add_output, print_json
from convsmith.cli.output import show, show_text
from convsmith.cli.pictures import check_folders, picture_file, write_picture
from convsmith.report.text import table
from convsmith_textbook.cli import experiments
from convsmith_textbook.lectures.answer import Answer, answers, reasons, text
from convsmith_textbook.lectures.entries import ENTRIES, TOPICS
from convsmith_textbook.lectures.entry import Entry
from convsmith_textbook.lectures.grids import Operands, grid_lines, read_grids, read_pair
from convsmith_textbook.questions.entries import EXPERIMENTS

EXAMPLES = """examples:
  convsmith reproduce vgg16-totals
  convsmith reproduce 'inception*'
  convsmith reproduce convolution-example --input "1 2 3; 4 5 6; 7 8 9" --kernel "1 0; 0 -1" --padding 2
  convsmith reproduce kernel-gallery --plot kernels.svg
  convsmith reproduce degradation --help
"""


def run(words: Sequence[str]) -> int:
    """List the entries; compute figures and compare them with the printed ones, or train an experiment."""
    if any(word in EXPERIMENTS for word in words):
        return experiments.run(words)
    parser = Parser("reproduce", "The lectures' figures, computed: what is printed, what is right, why they differ.")
    parser.epilog = EXAMPLES
    help = "name, pattern such as 'vgg*', or all (figures only); or the name of one experiment, with options of its own"
    parser.add_argument("entries", nargs="*", metavar="ENTRY", help=help)
    _add_operands(parser)
    parser.add_argument("--image", metavar="FILE", help="your photograph for the gallery of kernels")
    parser.add_argument("--plot", type=picture_file, metavar="FILE.svg", help="draw the entry")
    add_output(parser)
    values = parser.read(words)
    names = chosen(values.entries)
    own = _operands(names, values)
    if values.plot or values.image:
        _draw(names, own, values)
    if not names:
        _list(values.json)
        return 0
    if own is not None:
        _print_own(names[0], own, values.json)
        return 0
    computed = {name: answers(ENTRIES[name]) for name in names}
    if values.json:
        print_json([_as_json(name, found) for name, found in computed.items()])
    else:
        show_text("\n\n".join(_page(name, found) for name, found in computed.items()))
        if len(computed) > 1:
            show_text("\n" + _summary(computed))
    return 0 if all(answer.right for found in computed.values() for answer in found) else 1


def chosen(words: Sequence[str]) -> list[str]:
    """The entries that match names, patterns and `all`, in the table's order."""
    entries: set[str] = set()
    for word in words:
        names = list(ENTRIES) if word == "all" else ENTRIES.matching(word)
        if not names and (trained := EXPERIMENTS.matching(word)):
            known = ", ".join(trained)
            raise UsageError(
                f"reproduce: {word!r} matches no figure; experiments train, so one is named in full: {known}"
            )
        if not names:
            raise unknown("entry", word, [*ENTRIES, *EXPERIMENTS, "all"])
        entries |= set(names)
    return [name for name in ENTRIES if name in entries]


def _add_operands(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", metavar="GRID", help="'0 1 2; 3 4 5', channels separated by |, or a .txt or .csv")
    parser.add_argument("--kernel", action="append", metavar="GRID", help="the same; again for another filter")
    parser.add_argument("--window", metavar="N", help="window of a pooling: 2 or 2,3")
    parser.add_argument("--stride", metavar="N", help="2 for both axes, 3,2 for rows and columns")
    parser.add_argument("--padding", metavar="N", help="rows and columns added in all, both sides together")


def _operands(names: Sequence[str], values: argparse.Namespace) -> Operands | None:
    """The user's operands, which replace those of the entry; None if there are none."""
    options = [name for name in ("input", "kernel", "window", "stride", "padding") if getattr(values, name) is not None]
    if not options:
        return None
    takers = [name for name, entry in ENTRIES.items() if entry.operands is not None]
    if len(names) != 1 or names[0] not in takers:
        raise UsageError(f"--{options[0]} is an option of: {', '.join(takers)}")
    own = ENTRIES[names[0]].operands or Operands(())
    unused = "window" if own.kernels else "kernel"
    if unused in options:
        raise UsageError(f"--{unused}: {names[0]} takes --{'kernel' if own.kernels else 'window'}")
    if values.input is not None:
        own = replace(own, input=read_grids(values.input, "--input"))
    if values.kernel is not None:
        own = replace(own, kernels=tuple(read_grids(kernel, "--kernel") for kernel in values.kernel))
    for name, least in (("window", 1), ("stride", 1), ("padding", 0)):
        if getattr(values, name) is not None:
            own = replace(own, **{name: read_pair(getattr(values, name), f"--{name}", least)})
    return own


def _draw(names: Sequence[str], own: Operands | None, values: argparse.Namespace) -> None:
    """Write the picture of the entry, if one entry was named."""
    entry = ENTRIES[names[0]] if len(names) == 1 else None
    if entry is None or entry.picture is None:
        with_picture = ", ".join(name for name, entry in ENTRIES.items() if entry.picture)
        raise UsageError(f"--plot and --image are options of: {with_picture}")
    if values.image and not entry.takes_image:
        raise UsageError(f"--image: {names[0]} shows no photograph; kernel-gallery does")
    if not values.plot:
        raise UsageError("--image needs --plot FILE.svg, where the picture goes")
    check_folders([values.plot])
    picture = entry.picture(Path(values.image)) if values.image else entry.given(entry.picture, own)
    write_picture(values.plot, lambda: picture)


def _list(as_json: bool) -> None:
    if as_json:
        print_json([*(_head(name) for name in ENTRIES), *experiments.heads()])
        return
    for topic, group in TOPICS.items():
        show_text(f"{topic}\n")
        show_text("\n".join(f"  {name:<26} {entry.title}" for name, entry in group.items()) + "\n")
    show_text(f"{experiments.TOPIC}\n")
    show_text("\n".join(f"  {name:<26} {experiment.title}" for name, experiment in EXPERIMENTS.items()) + "\n")
    show(f"{len(ENTRIES)} entries; convsmith reproduce NAME computes one, convsmith reproduce all every one")
    show(f"{len(EXPERIMENTS)} experiments; convsmith reproduce NAME --dry-run says what one takes")


def _head(name: str) -> dict[str, Any]:
    entry = ENTRIES[name]
    topic = next(topic for topic, group in TOPICS.items() if name in group)
    return {"entry": name, "topic": topic, "title": entry.title, "rows": entry.rows.split(), "lectures": entry.places}


def _as_json(name: str, found: Sequence[Answer]) -> dict[str, Any]:
    entry = ENTRIES[name]
    return {
        **_head(name),
        "source": entry.source or None,
        "figures": [answer.to_json() for answer in found],
        "steps": list(entry.given(entry.steps)) if entry.steps else [],
        "quoted": [list(row) for row in entry.quotes],
    }


def _page(name: str, found: Sequence[Answer]) -> str:
    entry = ENTRIES[name]
    parts = [_title(name, entry)]
    if entry.steps:
        parts.append("\n".join(entry.given(entry.steps)))
    if found:
        rows = [
            (a.figure.name, "-" if a.figure.printed is None else text(a.figure.printed), text(a.ours), a.verdict)
            for a in found
        ]
        parts.append(table(("figure", "printed", "ours", ""), rows, align="<<<<"))
    if why := reasons(found):
        parts.append("\n".join(why))
    if entry.quotes:
        parts.append("quoted, not computed:\n" + table(entry.quotes[0], entry.quotes[1:]))
    return "\n\n".join(parts)


def _title(name: str, entry: Entry) -> str:
    lines = [f"{name}: {entry.title}", f"in {'; '.join(entry.places)}"]
    return "\n".join([*lines, f"source: {entry.source}"] if entry.source else lines)


def _summary(computed: dict[str, list[Answer]]) -> str:
    figures = [answer for group in computed.values() for answer in group]
    printed = [answer for answer in figures if answer.figure.printed is not None]
    same, wrong = sum(a.verdict == "same" for a in printed), sum(not a.right for a in figures)
    ends = f"{wrong} of ours are wrong" if wrong else "all of ours are right"
    differ = len(printed) - same - sum(not a.right for a in printed)
    return (
        f"{len(computed)} entries, {len(figures)} figures, {len(printed)} of them printed: "
        f"{same} as printed, {differ} differ for the reasons given; {ends}"
    )


def _print_own(name: str, own: Operands, as_json: bool) -> None:
    """The example on the user's own numbers."""
    entry = ENTRIES[name]
    values, steps = entry.given(entry.compute, own), entry.given(entry.steps, own) if entry.steps else []
    if as_json:
        print_json({**_head(name), "values": values, "steps": list(steps)})
        return
    parts = [f"{name}, on numbers of your own", "\n".join(steps)]
    for key, value in values.items():
        grid = np.array(value) if isinstance(value, tuple) else None
        shown = "\n" + "\n".join(grid_lines(grid)) if grid is not None and grid.ndim > 1 else f" {text(value)}"
        parts.append(f"{key}:{shown}")
    show_text("\n\n".join(part for part in parts if part))
