"""`convsmith reproduce MEASUREMENT`: an experiment that measures networks as they are drawn, without training."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from convsmith.base.errors import UsageError
from convsmith.base.files import read_json
from convsmith.cli.arguments import print_json, say
from convsmith.cli.output import show, show_text
from convsmith.experiments.drawing import PICTURE, REPORT, SUMMARY, write_findings
from convsmith.experiments.experiment import Measurement
from convsmith.experiments.folder import default_folder
from convsmith.recipes.shorthand import SHORTHAND
from convsmith.report.text import table

_OF_TRAINING = (*(name for name in SHORTHAND if name != "quick"), "cuts", "allow_drift")


def run(name: str, measurement: Measurement, values: argparse.Namespace, fields: Sequence[tuple[str, str]]) -> int:
    """Measure, print the table and write summary, picture and report."""
    given = [option for option in _OF_TRAINING if getattr(values, option, None) not in (None, False)]
    given += [path for path, _ in fields]
    if given:
        raise UsageError(
            f"reproduce: {name} trains nothing, so --{given[0].replace('_', '-')} cannot be given; "
            "it takes --seeds, --quick, --out, --dry-run, --quiet and --json"
        )
    seeds = values.seeds if values.seeds is not None else 2 if values.quick else measurement.seeds
    if seeds < 1:
        raise UsageError(f"reproduce: --seeds must be at least 1, received {seeds}")
    folder = Path(values.out) if values.out else default_folder(name, bool(values.quick))
    _check_folder(folder, name)
    if values.dry_run:
        show(f"{name}: nothing is trained; {seeds} seeds are measured in seconds, into {folder}")
        return 0
    if not values.quiet:
        for line in (f"{name}: {measurement.title}", measurement.question, f"after {measurement.source}"):
            say(line)
    found = measurement.measure(seeds, bool(values.quick))
    summary = write_findings(folder, name, measurement, found)
    if values.json:
        print_json({"folder": str(folder), **summary})
        return 0
    show_text(table(found.header, found.rows, align="<<" + ">" * (len(found.header) - 2)))
    for line in found.checks:
        show(line)
    for what, file in (("summary", SUMMARY), ("picture", PICTURE), ("report", REPORT)):
        show(f"{what:<8} {folder / file}")
    return 0


def _check_folder(folder: Path, name: str) -> None:
    """Refuse a folder that holds anything but an earlier measurement of this kind, which is written anew."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    found = read_json(folder / SUMMARY) if (folder / SUMMARY).is_file() else None
    if not isinstance(found, dict) or found.get("experiment") != name:
        raise UsageError(f"{folder}: holds something else than the experiment {name}; choose another folder with --out")
