"""The engines by name, and what each needs; torch is not imported here."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from convsmith.base.compiler import missing_compiler
from convsmith.base.errors import MissingExtra, UsageError
from convsmith.base.table import Table

AUTO = "auto"
EXTRA = "deploy"


@dataclass(frozen=True)
class Kind:
    """An engine: its line of help, the libraries that it needs, and where it runs.

    `worth` are seconds of work for the plain network from which starting the engine is tried: a guess of what starting
    and trying it takes, times about four.
    """

    about: str
    libraries: tuple[str, ...] = ()
    processor_only: bool = False
    compiler: bool = False
    worth: float = 60.0


ENGINES: Table[Kind] = Table(
    "engine",
    {
        "eager": Kind("torch operator by operator, in fp32"),
        "onnxruntime": Kind(
            "ONNX Runtime, in fp32", ("onnxruntime", "onnx", "onnxscript"), processor_only=True, worth=120.0
        ),
        "openvino": Kind("OpenVINO", ("openvino", "onnx", "onnxscript"), processor_only=True, worth=120.0),
        "compiled": Kind("torch.compile with the weights frozen", compiler=True, worth=300.0),
    },
)


def not_installed(name: str) -> str:
    """Which library of an engine is not installed, and the command that brings it; empty where all are."""
    absent = next((library for library in ENGINES[name].libraries if find_spec(library) is None), None)
    return "" if absent is None else str(MissingExtra(absent, EXTRA))


def problem(name: str, device: str) -> str:
    """Why a device does not have an engine, and what mends it; empty if it has it."""
    kind, absent = ENGINES[name], not_installed(name)
    if absent:
        return absent
    if kind.processor_only and device != "cpu":
        return f"it runs on the processor only, and the device is {device}; give --device cpu"
    return missing_compiler(device) if kind.compiler else ""


def check_engine(name: str, device: str | None = None) -> None:
    """Raise UsageError for a name that is not an engine's, and for an engine that is not available (on `device`)."""
    reason = not_installed(name) if device is None else problem(name, device)
    if reason:
        raise UsageError(f"engine {name}: {reason}")


def read_engines(text: str) -> tuple[str, ...]:
    """The engines that `a,b` names, each once."""
    names = tuple(word.strip() for word in text.split(",") if word.strip())
    for name in names:
        _ = ENGINES[name]
    if not names:
        raise UsageError(f"engines: expected names such as {','.join(ENGINES)}, received {text!r}")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise UsageError(f"engines: {twice} is named twice")
    return names


def available(device: str) -> Sequence[str]:
    """The engines that a device has, in the order in which they are tried: those that start fast first."""
    return [name for name in ENGINES if not problem(name, device)]
