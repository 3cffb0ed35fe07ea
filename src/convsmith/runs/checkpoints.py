"""Checkpoints of a run: written whole, verified when read, and a good one at any moment.

`checkpoints/<step>/` holds `model.safetensors`, `state.safetensors` and `meta.json`, which carries the SHA-256 of all
three. A generation is written under a temporary name, synced and renamed; the pointers `last.json` and `best.json` come
last. Nothing but safetensors and JSON is read.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from convsmith.base.errors import BadFile, ConvsmithError, UsageError, WrongType
from convsmith.base.files import read_regular, write_bytes, write_text
from convsmith.runs import generations as disk
from convsmith.runs.directory import FORMAT, RunDirectory, is_run
from convsmith.runs.sealed import seal
from convsmith.runs.seals import edited, is_accepted
from convsmith.runs.weights import decode, encode


class CheckpointError(ConvsmithError, OSError):
    """A checkpoint could not be written; the message says which good one remains."""


@dataclass(frozen=True)
class Checkpoint:
    """A generation that was read and verified; `warnings` says where another one had to stand in."""

    step: int
    model: dict[str, Tensor]
    state: dict[str, Tensor]
    meta: dict[str, Any]
    warnings: tuple[str, ...] = ()


def save_checkpoint(
    run: RunDirectory,
    step: int,
    model: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    *,
    best: bool,
    keep: int = 2,
) -> Path:
    """Write one generation, point `last.json` (and `best.json`) to it, and keep the newest `keep` and the best one.

    Generations of later steps belong to a course that a resume has cut back; they go, except the best one. Raises
    CheckpointError when the disk refuses: the generations before are then untouched.
    """
    if not is_run(run.path):
        raise CheckpointError(
            f"{run.path}: could not save the checkpoint of step {step}: run.json is gone, so the run was deleted or "
            "moved while it was in use; mend: put it back, then continue with --resume, or start anew"
        )
    if step < 0 or keep < 1:
        raise UsageError(f"expected step >= 0 and keep >= 1, received step={step} and keep={keep}")
    files = dict(zip(disk.FILES, (encode(model), encode(state)), strict=True))
    # Hashes from run.json, not of the files as they lie there now: an edit during the run must not be sealed.
    seals = {name: known[-1] for name, known in run.seals().items()}
    text = _meta_text(step, files, seals, meta)
    folder = run.path / "checkpoints"
    final, temporary = folder / f"{step:08d}", folder / f".tmp-{step}-{os.getpid()}"
    try:
        folder.mkdir(exist_ok=True)
        disk.tidy(run.path)
        temporary.mkdir()
        for name, data in files.items():
            write_bytes(temporary / name, data)
        write_text(temporary / "meta.json", text)
        disk.put_in_place(temporary, final)
        for pointer in ("last", "best") if best else ("last",):
            write_text(run.path / f"{pointer}.json", disk.pointer_text(step))
    except OSError as error:
        raise _failure(folder, step, sum(map(len, files.values())), error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    disk.prune(run.path, step, keep)
    return final


def load_checkpoint(run: RunDirectory, which: Literal["last", "best"] | int = "last") -> Checkpoint:
    """The last, the best or a numbered generation, verified by its hashes.

    Where the one that `last` or `best` means is damaged, the newest intact older one is given (a newer one where there
    is none), with `warnings` that name file and reason. Raises BadFile where none is intact, and for a numbered one
    that is absent or damaged.
    """
    folder = run.path / "checkpoints"
    candidates, problems = _numbered(folder, which) if isinstance(which, int) else _pointed(run.path, which)
    for path in candidates:
        try:
            meta = disk.read_meta(path)
            model, state = (_read_tensors(path / name, meta["files"][name]) for name in disk.FILES)
        except ValueError as error:
            problems.append(str(error))
            continue
        _check_records(run, meta)
        used = tuple(f"{problem}; used the checkpoint of step {meta['step']} instead" for problem in problems)
        return Checkpoint(meta["step"], model, state, meta, used)
    raise BadFile(folder, f"holds no intact checkpoint; tried: {'; '.join(problems)}; put a copy back, or start anew")


def _check_records(run: RunDirectory, meta: Mapping[str, Any]) -> None:
    """Raise EditedRecord if the checkpoint was made with other records than the run has; older ones state no hashes."""
    seals, path = run.seals(), run.path / "run.json"
    for name, sha256 in meta.get("records", {}).items():
        if sha256 not in seals.get(name, ()) and not is_accepted("run") and not is_accepted(name):
            raise edited(path, "run", f"the checkpoint of step {meta['step']} was made with another {name}.json")


def _numbered(folder: Path, step: int) -> tuple[list[Path], list[str]]:
    found = disk.generations(folder)
    if step not in {number for number, _ in found}:
        there = ", ".join(str(number) for number in sorted({number for number, _ in found})) or "none"
        raise BadFile(folder, f"holds no checkpoint of step {step}; steps there: {there}")
    return [path for number, path in found if number == step], []


def _pointed(run: Path, pointer: str) -> tuple[list[Path], list[str]]:
    """What to try, the pointer's target first, then older ones, then newer ones; and what is wrong with the pointer."""
    path, folder = run / f"{pointer}.json", run / "checkpoints"
    found = disk.generations(folder)
    problems: list[str] = []
    try:
        target = disk.read_pointer(path)
        problems += [f"{path} is missing"] if target is None else []
    except ValueError as error:
        target, problems = None, [str(error)]
    if not found and not path.exists():
        raise BadFile(folder, "holds no checkpoint; the run ended before its first one: start it anew")
    if target is None:
        return [path for _, path in found], problems
    exact = folder / f"{target:08d}"
    older = [path for step, path in found if step <= target and path != exact]
    return [exact, *older, *(path for step, path in found if step > target)], problems


def _read_tensors(file: Path, expected: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of a file whose size and SHA-256 are as expected; ValueError names the file and what is wrong."""
    try:
        data = read_regular(file)
    except FileNotFoundError:
        raise ValueError(f"{file} is missing") from None
    except OSError as error:
        raise ValueError(f"{file} could not be read ({error.strerror or error})") from None
    if len(data) != expected["size"]:
        raise ValueError(f"{file} is damaged (expected {expected['size']} bytes, received {len(data)})")
    if hashlib.sha256(data).hexdigest() != expected["sha256"]:
        raise ValueError(f"{file} is damaged (its SHA-256 is not the one in meta.json)")
    return decode(data)


def _meta_text(step: int, files: Mapping[str, bytes], seals: Mapping[str, str], meta: Mapping[str, Any]) -> str:
    hashes = {name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()}
    own: dict[str, Any] = {"format": FORMAT, "step": step, "files": hashes, "records": dict(seals)}
    for key in meta.keys() & own.keys():
        if meta[key] != own[key]:
            raise UsageError(
                f"meta: the key {key!r} is the checkpoint's own ({own[key]!r:.60}), received {meta[key]!r:.60}"
            )
    try:
        return seal({**own, **meta})
    except (TypeError, ValueError) as error:
        raise WrongType(f"meta of step {step}: expected data that JSON can hold ({error})") from None


def _failure(folder: Path, step: int, size: int, error: OSError) -> CheckpointError:
    whole = [path for _, path in disk.generations(folder) if disk.looks_whole(path)]
    remains = f"the last good one that remains is {whole[0]}" if whole else "there is no earlier one"
    return CheckpointError(
        f"{folder}: could not save the checkpoint of step {step} ({error.strerror or error}); {remains}; "
        f"mend: give it {max(1, round(size * 2 / 1e6))} MB of space and a writable folder, then continue with --resume"
    )
