"""The folders of checkpoints on the disk: found, checked, put in place, pointed to and pruned.

A generation is `checkpoints/<step>/` with two tensor files and a sealed `meta.json`. Names that begin with `.tmp-` are
being written or removed; `.old-` is a generation set aside while another of the same step takes its place.
"""

import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from convsmith.base.files import read_regular, sync_folder
from convsmith.runs.directory import FORMAT
from convsmith.runs.sealed import unseal
from convsmith.runs.status import process_lives

FILES: tuple[str, ...] = ("model.safetensors", "state.safetensors")
_NAME = re.compile(r"(?:\.old-)?(\d{8,})(?:-\d+)?")


def generations(folder: Path) -> list[tuple[int, Path]]:
    """Step and path of all generations, the newest first; those set aside by a save that was cut count."""
    try:
        matches = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    except OSError:
        return []
    found = [(int(match[1]), path) for match, path in matches if match]
    return sorted(found, key=lambda pair: (-pair[0], pair[1].name.startswith(".")))


def read_meta(path: Path) -> dict[str, Any]:
    """The sealed `meta.json` of the generation at `path`; ValueError names the file and what is wrong."""
    file, match = path / "meta.json", _NAME.fullmatch(path.name)
    try:
        meta = unseal(read_regular(file))
    except FileNotFoundError:
        raise ValueError(f"{file} is missing") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} is damaged ({error})") from None
    if meta.get("format") != FORMAT:
        raise ValueError(f"{file} is of format {meta.get('format')!r}, this Convsmith reads format {FORMAT}")
    if match is None or meta.get("step") != int(match[1]):
        raise ValueError(f"{file} belongs to step {meta.get('step')!r}, not to this folder")
    if not isinstance(meta.get("files"), dict) or set(meta["files"]) != set(FILES):
        raise ValueError(f"{file} does not describe {' and '.join(FILES)}")
    return meta


def looks_whole(path: Path) -> bool:
    """Whether a generation is intact as far as can be told without reading its tensors."""
    try:
        meta = read_meta(path)
        return all((path / name).stat().st_size == meta["files"][name]["size"] for name in FILES)
    except (OSError, ValueError):
        return False


def put_in_place(temporary: Path, final: Path) -> None:
    """Rename a written folder to its name for good; one that has the name already stays readable until then."""
    aside = final.with_name(f".old-{final.name}-{os.getpid()}")
    if final.exists():
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(final, aside)  # a rename cannot replace a folder that holds something
    try:
        os.rename(temporary, final)
    except OSError:
        if aside.exists():
            os.rename(aside, final)
        raise
    sync_folder(final.parent)


def pointer_text(step: int) -> str:
    """The content of `last.json` or `best.json`."""
    return json.dumps({"step": step, "path": f"checkpoints/{step:08d}"}, indent=1) + "\n"


def read_pointer(path: Path) -> int | None:
    """The step that a pointer names, None if there is no such file; ValueError names the file and what is wrong."""
    try:
        text = read_regular(path)
        step = json.loads(text)["step"]
        if isinstance(step, int) and text == pointer_text(step).encode():
            return step
        raise ValueError("not as it was written")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error})") from None


def prune(run: Path, step: int, keep: int) -> None:
    """Remove what is neither among the newest `keep` up to `step` nor the best one; failing to remove is no error."""
    folder = run / "checkpoints"
    try:
        best = read_pointer(run / "best.json")
    except ValueError:
        best = None
    whole = [n for n, path in generations(folder) if n <= step and not _is_aside(path) and looks_whole(path)]
    for number, path in generations(folder):
        if _is_aside(path) or number not in (*whole[:keep], step, best):
            doomed = folder / f".tmp-{number}-{os.getpid()}"
            with suppress(OSError):
                os.rename(path, doomed)  # so that no half-removed generation is ever seen
            shutil.rmtree(doomed, ignore_errors=True)


def tidy(run: Path) -> None:
    """Remove what writers that died left, and give generations their name back that a cut save had set aside."""
    folder = run / "checkpoints"
    for path in folder.glob(".tmp-*"):
        if path.name.endswith(f"-{os.getpid()}") or not _writer_lives(path.name.rpartition("-")[2]):
            shutil.rmtree(path, ignore_errors=True)
    for path in run.glob(".*.tmp"):
        if not _writer_lives(path.name.split(".")[-2]):
            with suppress(OSError):
                path.unlink()
    for number, path in generations(folder):
        if _is_aside(path) and not (folder / f"{number:08d}").exists():
            os.rename(path, folder / f"{number:08d}")


def _is_aside(path: Path) -> bool:
    return path.name.startswith(".")


def _writer_lives(pid: str) -> bool:
    return pid.isdigit() and process_lives(int(pid), None) is not False
