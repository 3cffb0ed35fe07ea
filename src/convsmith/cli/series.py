"""Prints the results or the expected cost of several runs in a folder."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convsmith.cli.arguments import print_json
from convsmith.cli.output import show, show_text
from convsmith.report.text import count, duration, size, table

if TYPE_CHECKING:
    from convsmith.series.running import Expected


def print_series(
    folder: Path, summary: Mapping[str, Any], as_json: bool, rows: Sequence[Sequence[str]], lines: Iterable[str] = (),
    then: str = "",
) -> int:  # fmt: skip
    """Print the table `rows` (header first), `lines`, the files and the next command; or the summary as JSON."""
    if as_json:
        print_json({"folder": str(folder), **summary})
        return 0
    from convsmith.series.folder import PICTURE, REPORT, SUMMARY

    header, *cells = rows
    show_text(table(header, cells, align="<" + ">" * (len(header) - 1)))
    for line in lines:
        show(line)
    for what, file in (("summary", SUMMARY), ("picture", PICTURE), ("report", REPORT)):
        show(f"{what:<8} {folder / file}")
    if then:
        show(f"next     {then}")
    return 0


def print_expected(expected: Sequence["Expected"], as_json: bool) -> int:
    """Print the expected cost of the runs of each recipe."""
    runs, total = sum(e.left for e in expected), sum(e.seconds for e in expected)
    if as_json:
        rows = [
            {
                "member": e.member.recipe.name, "group": e.member.row, "finished": e.finished, "left": e.left,
                "estimate": vars(e.each) if e.each else None, "recipe": e.member.recipe.to_json(),
            }
            for e in expected
        ]  # fmt: skip
        print_json({"members": rows, "runs": runs, "seconds": total})
        return 0
    rows = [(e.member.recipe.name, e.left, *_expected(e)) for e in expected]
    show_text(table(("recipe", "runs", "steps", "images/s", "time of one", "disk of one"), rows, align="<>>>>>"))
    from convsmith.series.running import expectation_text

    show(expectation_text(expected))
    return 0


def _expected(expected: "Expected") -> tuple[str, ...]:
    each = expected.each
    if each is None:
        return ("-",) * 4
    return count(each.steps), f"{each.images_per_second:,.0f}", duration(each.seconds), size(each.disk_bytes)
