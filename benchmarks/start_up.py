"""How long a command takes until it answers, in processes of their own.

    python benchmarks/start_up.py [--rounds 5]

`first step` is from the start of the process to the end of the first training step of `convsmith train`, the default
job on the digits; `eval` and `predict` are of the run that it makes. The rows go round in turn; a figure is the median
of the rounds, next to that of `python -c pass`. The first round fills the caches and is not counted. One line of JSON
is added to benchmarks/results/start_up.jsonl.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import add_row, make_parser

# Ends the process at the end of the first step.
FIRST_STEP = """
import os, sys
from convsmith.cli import main
from convsmith.training import step as steps
import convsmith.training.fit as fit

def first(*arguments, **named):
    steps.train_step(*arguments, **named)
    os._exit(0)

fit.train_step = first
main(["train", "--quiet", "--out", sys.argv[1]])
"""


def seconds(words: list[str], folder: Path) -> float:
    """The time of a process of Python with these arguments."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, cwd=folder, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    values = make_parser(__doc__, rounds=5).parse_args()
    command = ["-m", "convsmith"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["CONVSMITH_CACHE"] = str(folder / "cache")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # with it every command would compile what it imports
        subprocess.run(
            [sys.executable, *command, "train", "--quick", "--quiet", "--out", "run"],
            check=True, cwd=folder, capture_output=True,
        )  # fmt: skip
        subprocess.run(
            [sys.executable, "-c", "from PIL import Image; Image.new('L', (8, 8), 99).save('digit.png')"],
            check=True, cwd=folder,
        )  # fmt: skip
        rows: dict[str, list[str]] = {
            "python": ["-c", "pass"],
            "import": ["-c", "import convsmith"],
            "--help": [*command, "--help"],
            "nets": [*command, "nets"],
            "show": [*command, "show", "resnet50"],
            "compare": [*command, "compare", "resnet18", "resnet50"],
            "train --help": [*command, "train", "--help"],
            "first step": ["-c", FIRST_STEP],
            "predict": [*command, "predict", "run", "digit.png"],
            "eval": [*command, "eval", "run"],
        }
        found: dict[str, list[float]] = {row: [] for row in rows}
        for i in range(values.rounds + 1):
            for row, words in rows.items():
                took = seconds([*words, f"run-{i}"] if row == "first step" else words, folder)
                if i:
                    found[row].append(took)
    for row, times in found.items():
        print(f"{row:14}{statistics.median(times):7.3f} s   ({min(times):.3f} to {max(times):.3f})", flush=True)
    line = {
        "seconds": {row: round(statistics.median(times), 3) for row, times in found.items()},
        "least_seconds": {row: round(min(times), 3) for row, times in found.items()},
        "rounds": values.rounds,
    }
    add_row(values.results, "start_up", line)


if __name__ == "__main__":
    main()
