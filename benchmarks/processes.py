"""Training throughput of several processes against one, with the same threads in all: a run of each, interleaved.

    python benchmarks/processes.py [--processes 2] [--epochs 3] [--rounds 3]

Each run is the command `convsmith train resnet20_cifar --data digits` in fp32, in one process with all cores or in
several by `--nproc`, which share them out. What counts is the run's own figure: images per second of training steps and
the wait for their data, which leaves out the start of the processes. The figure is the median of the rounds' ratios.
One line of JSON is added to benchmarks/results/processes.jsonl.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from record import add_row, make_parser
from turns import versus

WORDS = ["train", "resnet20_cifar", "--data", "digits", "--batch", "128", "--precision", "fp32", "--device", "cpu"]


def rate(folder: Path, processes: int, epochs: int) -> float:
    """Images per second of a run."""
    words = [*WORDS, "--epochs", str(epochs), "--nproc", str(processes), "--quiet", "--json", "--out", str(folder)]
    done = subprocess.run([sys.executable, "-m", "convsmith", *words], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)["images_per_second"]


def main() -> None:
    parser = make_parser(__doc__, rounds=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    values = parser.parse_args()
    pairs: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(values.rounds):
            several = rate(Path(folder) / f"several{i}", values.processes, values.epochs)
            pairs.append((several, rate(Path(folder) / f"one{i}", 1, values.epochs)))
            print(
                f"round {i + 1}: {values.processes} processes {several:,.0f}, one {pairs[-1][1]:,.0f} images/s",
                flush=True,
            )
    row = {"network": "resnet20_cifar", "processes": values.processes, **versus(pairs), "epochs": values.epochs}
    add_row(values.results, "processes", row)
    print(f"median ratio {row['ratio']:.2f} ({values.processes} processes / one) over {values.rounds} rounds")


if __name__ == "__main__":
    main()
