"""`convsmith reproduce MEASUREMENT`: measures networks with random weights, without training."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from convsmith.base.errors import UsageError
from convsmith.cli.arguments import say
from convsmith.cli.output import show
from convsmith.cli.series import print_series
from convsmith.recipes.shorthand import SHORTHAND
from convsmith.report.text import many
from convsmith.series.drawing import write_findings
from convsmith.series.experiment import Measurement, default_folder
from convsmith.series.folder import check_folder, claimed, experiment_name

_OF_TRAINING = (*(name for name in SHORTHAND if name != "quick"), "cuts", "allow_other_machine")


def run(name: str, measurement: Measurement, values: argparse.Namespace, fields: Sequence[tuple[str, str]]) -> int:
    """Measure, print the table and write summary, picture and report."""
    odd = [option for option in _OF_TRAINING if getattr(values, option, None) not in (None, False)]
    odd += [path for path, _ in fields]
    if odd:
        raise UsageError(
            f"reproduce: {name} trains nothing, so --{odd[0].replace('_', '-')} cannot be given; "
            "it takes --seeds, --quick, --out, --dry-run, --quiet and --json"
        )
    seeds = values.seeds if values.seeds is not None else 2 if values.quick else measurement.seeds
    if seeds < 1:
        raise UsageError(f"reproduce: --seeds must be at least 1, received {seeds}")
    folder = Path(values.out) if values.out else default_folder(name, bool(values.quick))
    check_folder(folder, experiment_name(name), ())
    if values.dry_run:
        show(f"{name}: nothing is trained; {many(seeds, 'seed is', 'seeds are')} measured in seconds, into {folder}")
        return 0
    if not values.quiet:
        for line in (f"{name}: {measurement.title}", measurement.question, f"after {measurement.source}"):
            say(line)
    with claimed(folder, experiment_name(name), ()):
        findings = measurement.measure(seeds, bool(values.quick))
        summary = write_findings(folder, name, measurement, findings)
    return print_series(folder, summary, values.json, [findings.header, *findings.rows], findings.checks)
