"""How this machine runs a step: device, number format, memory layout, threads. Resolved once, kept for a run's life."""

import contextlib
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import PIL
import torch
from torch import nn

from convsmith.base.compiler import missing_compiler
from convsmith.base.errors import UsageError
from convsmith.base.logs import hushed
from convsmith.base.processes import local_part, part
from convsmith.nets.modules.in_place import work_in_place
from convsmith.report.text import many
from convsmith.training.options import EngineOptions


@dataclass(frozen=True)
class Engine:
    """The choices made for one machine; the processor and versions say which, so that a resume can tell another."""

    device: str
    precision: Literal["fp32", "bf16", "fp16"]
    channels_last: bool
    deterministic: bool
    threads: int
    cpu: str
    torch_version: str
    pillow_version: str
    processes: int = 1
    compile: bool = False

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout of images and filters."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def place(self, module: nn.Module, in_place: bool = True) -> nn.Module:
        """The module on the device, its filters in the layout. Unless `in_place` is false, ReLUs write over values."""
        work_in_place(module, in_place)
        return module.to(device=self.device, memory_format=self.memory_format)  # pyright: ignore[reportCallIssue]

    def accelerate(self, module: nn.Module) -> None:
        """Have the module compiled when training calls it, where the engine says so; `uncompiled` calls it as it is."""
        if self.compile:
            with hushed("torch.utils.cpp_extension"):  # says, when it is loaded, that a processor has no CUDA
                import_module("torch.utils.cpp_extension")
            # One graph for each size of the images: sizes that may vary make slower ones.
            module.compile(dynamic=False)

    def uncompiled(self) -> contextlib.AbstractContextManager[Any]:
        """A context in which compiled modules run as they are: evaluation is exact and not worth another graph."""
        return torch.compiler.set_stance("force_eager") if self.compile else contextlib.nullcontext()

    def generator_kept(self) -> contextlib.AbstractContextManager[None]:
        """A context after which torch's generators, of the processor and of the device, stand where they stood."""
        return torch.random.fork_rng(devices=[] if self.device == "cpu" else [torch.device(self.device)])

    def wait(self) -> None:
        """Wait until the device has done all that it was given: a GPU takes its work and lets the program go on."""
        if self.device != "cpu":
            torch.cuda.synchronize(self.device)

    def mark(self) -> Callable[[], bool]:
        """What says later, without waiting, whether the device has done all that it was given until now."""
        if self.device == "cpu":
            return lambda: True
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self.device))
        return event.query

    def autocast(self) -> torch.autocast:
        """The number format of a training step's forward pass."""
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(torch.device(self.device).type, dtype=dtype, enabled=self.precision != "fp32")


# Work above which compiling pays, in operations: some ten minutes of a processor, one of a GPU.
COMPILE_FLOPS = {"cpu": 2e14, "cuda": 1e16}


def resolve(options: EngineOptions, flops: float = 0.0) -> Engine:
    """The engine for this machine; an option that the machine lacks is an error, never replaced in silence.

    `flops` are the operations of the whole run, as far as they are known: long ones are compiled.
    """
    device = _device(options.device)
    precision = _best_precision(device) if options.precision == "auto" else options.precision
    if precision == "fp16" and device == "cpu":
        raise UsageError("engine.precision: fp16 training needs a GPU; use bf16 or fp32 on the processor")
    return Engine(
        device=device,
        precision=precision,
        channels_last=options.channels_last,
        deterministic=options.deterministic,
        threads=options.threads or max(1, cores() // local_part().size),
        cpu=cpu_model(),
        torch_version=torch.__version__,
        pillow_version=PIL.__version__,
        processes=part().size,
        compile=_compile(options, device, flops),
    )


@contextlib.contextmanager
def using(engine: Engine) -> Iterator[None]:
    """Set torch's threads and determinism for a run, and put them back afterwards; fp32 means fp32, not TF32."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn: Any = torch.backends.cudnn
    cuda: Any = torch.backends.cuda.matmul
    before = cudnn.benchmark, cudnn.allow_tf32, cuda.allow_tf32
    torch.set_num_threads(engine.threads)
    cudnn.benchmark, cudnn.allow_tf32, cuda.allow_tf32 = not engine.deterministic, False, False
    _set_deterministic(engine.deterministic)
    if engine.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cudnn.benchmark, cudnn.allow_tf32, cuda.allow_tf32 = before
        _set_deterministic(deterministic, warn_only)


def _set_deterministic(wanted: bool, warn_only: bool = False) -> None:
    # The call imports torch's compiler, two seconds even where it changes nothing.
    now = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if now != (wanted, warn_only):
        torch.use_deterministic_algorithms(wanted, warn_only=warn_only)


def machine_changes(engine: Engine, now: Engine) -> list[str]:
    """What differs between the machine that a run began on and this one, and would change the bits of its result."""
    names = ("device", "cpu", "torch_version", "pillow_version", "processes")
    pairs = [(name, getattr(engine, name), getattr(now, name)) for name in names]
    found = [f"{name} was {before!r}, is {after!r}" for name, before, after in pairs if before != after]
    if engine.threads > cores():
        found.append(f"threads were {engine.threads}, this machine has {many(cores(), 'core')}")
    if engine.compile and (missing := missing_compiler(suited(engine, now).device)):
        found.append(f"it was compiled: {missing}")
    return found


def suited(engine: Engine, now: Engine) -> Engine:
    """The engine of a run on this machine: what the machine lacks is taken from `now`, the rest from `engine`."""
    if engine.processes != now.processes:
        engine = replace(engine, processes=now.processes, threads=now.threads)
    if not _is_here(engine.device):
        precision = now.precision if now.device == "cpu" else engine.precision
        engine = replace(engine, device=now.device, precision=precision, threads=now.threads)
    return replace(engine, compile=engine.compile and not missing_compiler(engine.device))


def resolve_here(options: EngineOptions) -> Engine:
    """`resolve`, with what suits this machine in place of a device, format or compiler that it has not."""
    try:
        return resolve(options)
    except UsageError:
        return resolve(replace(options, device="auto", precision="auto", compile="auto"))


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """The processor's name with the vector units that decide which kernels run."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    lines = [line.partition(":") for line in info.read_text().splitlines()]
    name = next((value.strip() for key, _, value in lines if key.strip() == "model name"), platform.machine())
    units = [unit for unit in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if unit in cpu_flags()]
    return " ".join([name, *units])


def cpu_flags() -> frozenset[str]:
    """The processor's feature flags, as Linux lists them; empty elsewhere."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return frozenset()
    for line in info.read_text().splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def own_device(name: str) -> torch.device:
    """The device of one of several processes: the GPU with its number here, which becomes the current one."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    local = local_part()
    if name not in ("auto", "cuda"):
        raise UsageError(f"engine.device: each process takes a GPU of its own: expected auto, cpu or cuda, not {name}")
    if local.size > torch.cuda.device_count():
        raise UsageError(
            f"{many(local.size, 'process', 'processes')} on this machine and "
            f"{many(torch.cuda.device_count(), 'GPU')}; start one for each GPU "
            "(--nproc, --nproc-per-node), or train on processors with --device cpu"
        )
    torch.cuda.set_device(local.rank)
    return torch.device("cuda", local.rank)


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"engine.device: expected auto, cpu, cuda or cuda:N, received {name!r}") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"engine.device: expected auto, cpu, cuda or cuda:N, received {name!r}")
    if device.type == "cpu":
        return "cpu"
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"engine.device: {name} is not here; torch finds {many(torch.cuda.device_count(), 'GPU')}")
    return name


def _is_here(device: str) -> bool:
    try:
        return _device(device) == device
    except UsageError:
        return False


def _best_precision(device: str) -> Literal["fp32", "bf16", "fp16"]:
    if has_bf16(device):
        return "bf16"
    return "fp32" if device == "cpu" else "fp16"


def has_bf16(device: str) -> bool:
    """Whether the device computes in bf16 itself; emulated it is many times slower than fp32."""
    if device != "cpu":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(cpu_flags() & {"avx512_bf16", "amx_bf16"})


def may_compile(options: EngineOptions, device: str) -> bool:
    """Whether compiling is left to us and works here."""
    return options.compile == "auto" and not options.deterministic and not missing_compiler(device)


def _compile(options: EngineOptions, device: str, flops: float) -> bool:
    if options.compile == "on":
        if missing := missing_compiler(device):
            raise UsageError(f"engine.compile: {missing}")
        return True
    return may_compile(options, device) and flops > COMPILE_FLOPS[torch.device(device).type]
