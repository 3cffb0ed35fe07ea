"""A benchmark's row: beside its numbers the machine, the versions, the time and the command, as a line of JSON."""

import argparse
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from convsmith.training.engine import Engine, cores, cpu_model
from convsmith.work.prepare import environment

RESULTS = Path(__file__).parent / "results"
# Of the minute before: a benchmark's own work is not in it.
LOAD = round(os.getloadavg()[0], 1)


def make_parser(documentation: str | None, *, rounds: int | None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks share; `rounds` is the default, None for those without."""
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help=f"turns of each side ({rounds})")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the files of JSON lines that grow")
    return parser


def add_row(
    results: Path, benchmark: str, row: dict[str, Any], *, engine: Engine | None = None, libraries: tuple[str, ...] = ()
) -> None:
    """Add a row to the benchmark's file; what it says itself goes before what is known of the machine."""
    line = {"benchmark": benchmark, **row}
    line |= {key: value for key, value in _surroundings(engine, libraries).items() if key not in line}
    results.mkdir(parents=True, exist_ok=True)
    with (results / f"{benchmark}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def _surroundings(engine: Engine | None, libraries: tuple[str, ...]) -> dict[str, Any]:
    """Where and with what this process computes."""
    found: dict[str, Any] = {"cpu": cpu_model(), "cores": cores()}
    if engine is not None:
        found |= {"device": engine.device, "threads": engine.threads, "precision": engine.precision}
        if engine.device != "cpu":
            found["gpu"] = torch.cuda.get_device_name(engine.device)
    found |= {"load": LOAD, **{key: value for key, value in environment().items() if key in ("time", "python")}}
    return found | {name: _version(name) for name in ("torch", "torchvision", *libraries)} | {"command": _command()}


def _version(library: str) -> str | None:
    if library == "torch":
        return torch.__version__  # with the build that it is
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _command() -> str:
    """The command line without what changes no number: where results go, and the folders above a path."""
    words = list(sys.argv[1:])
    if "--results" in words:
        place = words.index("--results")
        del words[place : place + 2]
    shown = [Path(word).name if Path(word).is_absolute() else word for word in words]
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *shown])
