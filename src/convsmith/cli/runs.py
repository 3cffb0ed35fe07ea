"""`convsmith runs [FOLDER]`."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convsmith.base.errors import MissingPath
from convsmith.cli.arguments import Parser, add_output, print_json
from convsmith.cli.output import show, show_text
from convsmith.report.results import number_text
from convsmith.report.text import duration, table
from convsmith.runs.listing import RunSummary, list_runs


def run(words: Sequence[str]) -> int:
    """List the runs of a folder."""
    parser = Parser("runs", "List the runs of a folder with their state, score and time.")
    parser.add_argument("folder", nargs="?", default="runs", help="where to look; none: runs")
    add_output(parser)
    values = parser.read(words)
    folder = Path(values.folder)
    if not folder.exists() and values.folder != "runs":
        raise MissingPath(f"{folder}: no such folder")
    runs = list_runs(folder)
    if values.json:
        print_json([_row(r) for r in runs])
        return 0
    if not runs:
        show(f"no runs in {folder}/; make one with: convsmith train")
        return 0
    rows = [
        (
            str(r.path),
            r.state,
            "-" if r.score is None else f"{r.score.title} {number_text(r.score)}",
            r.epoch,
            duration(r.seconds),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(r.created)),
        )
        for r in runs
    ]
    show_text(table(("run", "state", "score", "epoch", "time", "began"), rows, align="<<>>><"))
    for r in runs:
        if r.reason:
            show(f"unreadable: {r.reason}")
    return 0


def _row(r: RunSummary) -> dict[str, Any]:
    what, value = (None, None) if r.score is None else (r.score.name, r.score.value)
    keys = ("name", "state", "created", "epoch", "seconds", "reason")
    return {"run": str(r.path), "score": value, "score_is": what, **{key: getattr(r, key) for key in keys}}
