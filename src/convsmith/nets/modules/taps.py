"""The outputs of the parts of a module, by path, as it runs: for features, explanations and measurements."""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

import sys
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils._pytree import tree_map_only

from convsmith.base.errors import UnknownName, UsageError, WrongType, unknown
from convsmith.nets.modules.build import BuiltNetwork
from convsmith.nets.modules.layers import Keeping

Parts = list[tuple[str, nn.Module]]

# The attributes in which torch.compile, FSDP and activation checkpointing hold the module that they wrap.
_INNER = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


class Seen(dict[str, Any]):
    """The output of each tapped part in the last forward pass, by path.

    A part that ran several times has its last output. The path of a part that did not run raises `UsageError`.
    """

    def __init__(self, paths: Iterable[str]):
        super().__init__()
        self.paths = tuple(paths)

    def __missing__(self, path: str) -> Any:
        if path not in self.paths:
            raise unknown("tapped path", path, self.paths)
        raise UsageError(
            f"{path} gave nothing: the model has not run inside `taps` yet, or its last forward pass left {path} out "
            "(auxiliary heads run in training, or if `at` names them)"
        )


@contextmanager
def taps(model: nn.Module, paths: Collection[str], grad: bool = False) -> Generator[Seen]:
    """Collects the outputs of the parts of `model` at `paths` in each forward pass.

    A path is the path of a node in a tree (`stage1.unit1.conv1`, as `show --layers` prints it), a stage, a head, the
    name of a kept value, or the dotted name of a part of any other module. `seen[path]` is a copy, (N, C, ...) for a
    layer, which no later layer overwrites. With `grad` the rest of the network computes on the copy: after
    `.backward()`, `seen[path].grad` is its gradient, in frozen networks too. The model's outputs stay the same, bit for
    bit. A compiled model runs uncompiled. Raises `UnknownName` for a path that the model does not have, `UsageError`
    for a model whose parts cannot be watched.
    """
    root, parts = _wanted(model, (paths,) if isinstance(paths, str) else tuple(paths))
    seen = Seen(name for name, _ in parts)

    def note(path: str, _: nn.Module, output: Any) -> Any:
        if not grad:
            if not _recomputing():
                seen[path] = tree_map_only(Tensor, lambda tensor: tensor.detach().clone(), output)
            return None
        if not torch.is_grad_enabled():
            raise UsageError(f"{path}: gradients are switched off (torch.no_grad or inference_mode); expected them on")
        # Later layers get a copy of the copy, since they may overwrite their input. Checkpointing computes a layer
        # again in the backward pass: it takes the same copies, since torch compares both passes, but is not recorded.
        copied = tree_map_only(Tensor, _with_gradient, output)
        if not _recomputing():
            seen[path] = copied
        return tree_map_only(Tensor, torch.clone, copied)

    def forget(*_: Any) -> None:
        if not _recomputing():
            seen.clear()

    with hooked([("", root)], forget, before=True), hooked(parts, note):
        yield seen


@contextmanager
def hooked(parts: Iterable[tuple[str, nn.Module]], note: Callable[..., Any], before: bool = False) -> Generator[None]:
    """Calls `note` with the name, the layer and the output of each of `parts` when it returns, without compiled code.

    With `before`, `note` is called before the part runs, with its tuple of inputs. The result of `note`, unless None,
    replaces the output (or the inputs).
    """
    with ExitStack() as stack:
        # A compiled model ignores hooks that come later. Nothing is compiled before torch._dynamo is imported.
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        # A copy of the module made inside the context keeps the hooks: `live` stops them when the context ends.
        live = [True]
        stack.callback(live.clear)

        def hook(name: str) -> Callable[..., Any]:
            return lambda layer, *values: note(name, layer, values[-1]) if live else None

        for name, part in parts:
            add = part.register_forward_pre_hook if before else part.register_forward_hook
            stack.callback(add(hook(name)).remove)
        yield


def _wanted(model: nn.Module, paths: tuple[str, ...]) -> tuple[nn.Module, Parts]:
    """The module inside its wrappers, and its parts at the paths."""
    if not isinstance(model, nn.Module):
        raise WrongType(
            f"expected a torch.nn.Module, received a {type(model).__name__}; of an engine's compiled program only the "
            "outputs are seen: take the module that it was made from"
        )
    if isinstance(model, DataParallel) and len(model.device_ids) > 1:
        raise UsageError(f"DataParallel runs copies on {len(model.device_ids)} devices; expected its .module")
    while (inner := _inner(model)) is not None:
        model = inner
    by_path = _parts(model)
    parts: Parts = []
    for path in dict.fromkeys(paths):
        if path not in by_path:
            raise _unknown(model, path, by_path)
        parts += [(path, part) for part in by_path[path]]
    scripted = [name for name, layers in by_path.items() for part in layers if isinstance(part, torch.jit.ScriptModule)]
    for path, _ in parts:
        for name in scripted:
            if path == name or not name or path.startswith(f"{name}."):
                raise UsageError(
                    f"{name or 'the model'} is TorchScript, whose parts cannot be watched; expected Python"
                )
    return model, parts


def _inner(model: nn.Module) -> nn.Module | None:
    """The module inside a wrapper (parallel, averaged, compiled); None if `model` is no wrapper."""
    if isinstance(model, (DataParallel, DistributedDataParallel, AveragedModel)):
        return model.module
    return next((part for name, part in model.named_children() if name in _INNER), None)


def _parts(model: nn.Module) -> dict[str, list[nn.Module]]:
    """The parts by dotted name, without the names of wrappers; parts that keep a value also by the value's name."""
    by_path: dict[str, list[nn.Module]] = {}
    keeping: dict[str, list[nn.Module]] = {}
    for name, part in model.named_modules(remove_duplicate=False):
        # A wrapper comes first; the module inside has the same name without wrappers and replaces it.
        by_path[".".join(word for word in name.split(".") if word not in _INNER)] = [part]
        if isinstance(part, Keeping):
            keeping.setdefault(part.name, []).append(part)
    return keeping | by_path


def _unknown(model: nn.Module, path: object, paths: Collection[str]) -> UsageError:
    if not isinstance(path, str):
        return WrongType(f"expected the path of a part as text, received {path!r:.80}")
    tree = model.tree if isinstance(model, BuiltNetwork) else None
    error = unknown(f"path in {tree.name if tree else type(model).__name__}:", path, filter(None, paths))
    edits = f"; edits made: {', '.join(tree.edits)}" if tree and tree.edits else ""
    return UnknownName(f"{error}{edits}")


def _with_gradient(tensor: Tensor) -> Tensor:
    """A copy that keeps its gradient, also if `tensor` requires none, as after frozen layers."""
    copied = tensor.clone()
    if copied.is_floating_point() or copied.is_complex():
        copied = copied if copied.requires_grad else copied.detach().requires_grad_()
        copied.retain_grad()
    return copied


def _recomputing() -> bool:
    """Whether a backward pass runs, in which activation checkpointing computes layers again."""
    return torch._C._current_graph_task_id() != -1
