"""`convsmith runs [FOLDER]`."""

import time
from collections.abc import Sequence
from pathlib import Path

from convsmith.base.errors import MissingPath
from convsmith.cli.arguments import Parser, add_output, print_json
from convsmith.report.text import duration, percent, table
from convsmith.runs.listing import list_runs


def run(words: Sequence[str]) -> int:
    """List the runs of a folder."""
    parser = Parser("runs", "List the runs of a folder with their state, accuracy and time.")
    parser.add_argument("folder", nargs="?", default="runs", help="where to look; none: runs")
    add_output(parser)
    values = parser.read(words)
    folder = Path(values.folder)
    if not folder.exists() and values.folder != "runs":
        raise MissingPath(f"{folder}: no such folder")
    found = list_runs(folder)
    if values.json:
        keys = ("name", "state", "created", "epoch", "seconds", "reason")
        print_json([{"run": str(r.path), "accuracy": r.accuracy, **{k: getattr(r, k) for k in keys}} for r in found])
        return 0
    if not found:
        print(f"no runs in {folder}/; make one with: convsmith train")
        return 0
    rows = [
        (
            str(r.path),
            r.state,
            "-" if r.accuracy is None else percent(r.accuracy),
            r.epoch,
            duration(r.seconds),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(r.created)),
        )
        for r in found
    ]
    print(table(("run", "state", "accuracy", "epoch", "time", "began"), rows, align="<<>>><"))
    for r in found:
        if r.reason:
            print(f"unreadable: {r.reason}")
    return 0
