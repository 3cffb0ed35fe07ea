"""The run directory: one folder that holds everything about a training run.

`run.json` says the format, which records were written and their hashes; `<record>.json` are those records;
`status.json` is the state; `metrics.jsonl` and `log.txt` only grow; `result.json` holds the final metrics;
`checkpoints/` is the checkpoints'.
"""

import os
import re
import secrets
import shutil
import time
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convsmith.base.config import plain, read
from convsmith.base.errors import BadFile, MissingPath, UsageError, WrongType, unknown
from convsmith.base.files import open_regular, read_json, read_regular, sync_folder, write_json, write_text, writing
from convsmith.report.text import clean
from convsmith.runs import metrics
from convsmith.runs.sealed import SEAL, seal, unseal
from convsmith.runs.seals import DamagedRecord, digest, edited, is_accepted
from convsmith.runs.status import State, Status

FORMAT = 1
RECORDS = ("recipe", "network", "data", "split", "preprocess", "env")
# The records with a hash: RECORDS, `run`, which holds their hashes, and those that are written at the end.
SEALED = (*RECORDS, "run", "result", "calibration")
_RESERVED = ("run", "status", "last", "best")
# The prefix names the program, since old ones are removed from whatever folder the user chose for a run.
_TEMPORARY = ".tmp-convsmith-"
_LEFTOVER_AGE = 3600.0


def create_run(out: Path | None, name: str, records: Mapping[str, Any], root: Path = Path("runs")) -> "RunDirectory":
    """A new run directory: `out`, else `root/<date>-<name>-<id>`; it appears whole or not at all.

    Raises UsageError where `out` holds something or cannot be written, UnknownName for a record not in `RECORDS`.
    """
    for record in records:
        if record not in RECORDS:
            raise unknown("record of a run", record, RECORDS)
    path = Path(root) / _default_name(name) if out is None else Path(out)
    _refuse_taken(path)
    inside = path.is_dir()
    parent = path if inside else path.parent
    _sweep(parent)
    temporary = parent / f"{_TEMPORARY}{os.getpid()}-{secrets.token_hex(3)}"
    try:
        temporary.mkdir(parents=True)
        run = RunDirectory(temporary)
        for record, data in records.items():
            run.write_record(record, data)
        run.set_status("created")
        (temporary / "checkpoints").mkdir()
        head = {"format": FORMAT, "name": name, "created": time.time(), "records": list(records)}
        seals = {record: [digest(run.record(record))] for record in records}
        write_text(temporary / "run.json", seal(head | {"seals": seals}))
        if inside:
            _move_contents(temporary, path)
        else:
            os.rename(temporary, path)
            sync_folder(path.parent)
    except (OSError, BadFile) as error:
        reason = getattr(error.__cause__ or error, "strerror", None) or error
        raise UsageError(
            f"{path}: could not make a run directory there ({reason}); expected a new or empty folder "
            "that can be written; choose another with --out"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return RunDirectory(path)


def open_run(path: str | Path) -> "RunDirectory":
    """The run directory at `path`, its format and records checked.

    Raises MissingPath where nothing is there and BadFile where it is not a run, of another format or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise MissingPath(f"{path}: no such run; expected a run directory; `convsmith runs` lists those there are")
    if not path.is_dir():
        other = "; a bundle is for predict, show and finetune" if path.suffix == ".safetensors" else ""
        raise BadFile(path, f"expected a run directory, received a file{other}")
    if not is_run(path):
        inner = sorted(p.parent.name for p in path.glob("*/run.json"))
        hint = f"it holds runs, such as {path / inner[-1]}" if inner else "give a folder that `convsmith train` made"
        raise BadFile(path, f"is not a run directory: run.json is missing; {hint}")
    run = RunDirectory(path)
    for record in _checked_head(run)["records"]:
        if record == "env":
            run.environment()  # warns where it is damaged: the weights do not need it
        else:
            run.record(record)
    return run


def _checked_head(run: "RunDirectory") -> dict[str, Any]:
    path = run.path / "run.json"
    head = _read(path)
    if not isinstance(head, dict) or type(head.get("format")) is not int:
        raise BadFile(path, f"expected the field 'format' with the number {FORMAT}, received {head!r:.80}")
    if head["format"] != FORMAT:
        mend = (
            "update Convsmith" if head["format"] > FORMAT else "use the version of Convsmith that wrote it (env.json)"
        )
        raise BadFile(run.path, f"is a run of format {head['format']}, this Convsmith reads format {FORMAT}; {mend}")
    head = run.record("run")
    records = head.setdefault("records", [])
    if not isinstance(records, list) or not all(record in RECORDS for record in records):
        raise BadFile(path, f"expected 'records' with names among {', '.join(RECORDS)}, received {records!r:.80}")
    return head


def is_run(path: str | Path) -> bool:
    """Whether a run directory is at `path`; says nothing about its health."""
    return (Path(path) / "run.json").is_file()


@dataclass(frozen=True)
class RunDirectory:
    """A run on the disk; every method reads or writes at once, nothing is kept in memory."""

    path: Path

    def has(self, name: str) -> bool:
        """Whether `<name>.json` is there."""
        return (self.path / f"{name}.json").is_file()

    def record(self, name: str) -> Any:
        """The JSON data of `<name>.json`; BadFile where it is missing or damaged, EditedRecord where it was edited."""
        path = self.path / f"{name}.json"
        data = _read(path)
        if name not in RECORDS:
            return _unsealed(path, name, data, needed=name in ("result", "calibration") and bool(self.seals()))
        known = self.seals().get(name)
        if known is not None and digest(data) not in known and not is_accepted(name):
            raise edited(path, name, "its SHA-256 is not the one in run.json")
        return data

    def environment(self) -> dict[str, Any]:
        """The record `env`, which only the report needs; empty, with a warning, if it is damaged."""
        try:
            record = self.record("env")
            if isinstance(record, dict):
                return record
            problem = f"{self.path / 'env.json'}: expected an object, received {record!r:.40}"
        except BadFile as error:
            problem = str(error)
        warning = DamagedRecord(f"{problem} (goes on without it: it tells only what the run was made on)")
        warnings.warn(warning, stacklevel=2)
        return {}

    def seals(self) -> dict[str, list[str]]:
        """The hashes that each record may have, the newest last; empty for a run of a version without them."""
        path = self.path / "run.json"
        if not path.is_file():
            return {}
        head = self.record("run")
        seals = head.get("seals", {}) if isinstance(head, dict) else {}
        if not isinstance(seals, dict) or not all(isinstance(known, list) for known in seals.values()):
            raise BadFile(path, f"expected 'seals' with a list of hashes for each record, received {seals!r:.60}")
        return seals

    def write_record(self, name: str, data: Any) -> None:
        """Write `<name>.json` whole or not at all."""
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in _RESERVED:
            raise UsageError(
                f"record name: expected lower-case letters, digits and _, and none of {', '.join(_RESERVED)}; "
                f"received {name!r}"
            )
        path = self.path / f"{name}.json"
        with writing(path):
            try:
                if name in RECORDS:
                    self._reseal(name, data)
                    write_json(path, data)
                else:
                    write_text(path, seal(data))
            except (TypeError, ValueError) as error:
                if isinstance(error, BadFile):
                    raise
                raise WrongType(f"record {name}: expected data that JSON can hold ({error})") from None

    def keep_accepted(self) -> list[str]:
        """Add the hashes of the edited records that the user accepts to `run.json`; gives the names of the records."""
        accepted = [name for name in RECORDS if name in self.seals() and is_accepted(name) and self.has(name)]
        return [name for name in accepted if self._reseal(name, self.record(name))]

    def _reseal(self, name: str, data: Any) -> bool:
        """Add a hash to those of a record, before it is written: a crash in between leaves the old one valid."""
        seals, new = self.seals(), digest(data)
        if name not in seals or new in seals[name]:
            return False
        seals[name] = [*seals[name], new]
        with writing(self.path / "run.json"):
            write_text(self.path / "run.json", seal(self.record("run") | {"seals": seals}))
        return True

    def metrics(self) -> list[dict[str, Any]]:
        """The rows written so far, the oldest first; a last line that a crash cut is left out."""
        return metrics.read_rows(self.path / "metrics.jsonl")

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Add one row; it is on the disk when this returns."""
        metrics.append_row(self.path / "metrics.jsonl", row)

    def metrics_length(self) -> int:
        """The bytes of all complete rows: what a checkpoint keeps for `cut_metrics`."""
        return metrics.complete_length(self.path / "metrics.jsonl")

    def cut_metrics(self, length: int, step: int, needed: Sequence[str] = ()) -> str:
        """Drop the rows written after a checkpoint of `step` that kept `length`; says what was lost before it."""
        return metrics.cut_rows(self.path / "metrics.jsonl", length, step, needed)

    def log(self, text: str) -> None:
        """Append lines to `log.txt`, each with the time in UTC."""
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        path = self.path / "log.txt"
        with writing(path), open(path, "a", encoding="utf-8", errors="backslashreplace", opener=open_regular) as file:
            file.writelines(f"{stamp} {clean(line)}\n" for line in text.splitlines() or [""])

    def status(self, quiet: bool = False) -> Status:
        """The state as last written; see `effective_state` for a run whose process was killed.

        A file that is damaged (which is said, but for `quiet`) or missing is made up for: it holds nothing but state
        and progress.
        """
        path = self.path / "status.json"
        if not path.exists():
            return self._status_without("status.json is missing")
        try:
            return read(Status, _read(path), "status")
        except (UsageError, BadFile) as error:
            problem = error.problem if isinstance(error, BadFile) else error
            if not quiet:
                warnings.warn(
                    DamagedRecord(f"{path}: {problem} (state and progress are taken from the other files)"),
                    stacklevel=2,
                )
            return self._status_without("status.json was damaged")

    def _status_without(self, why: str) -> Status:
        try:
            step = _read(self.path / "last.json")["step"]
        except (BadFile, KeyError, TypeError):
            step = 0
        done = self.has("result")
        return Status("finished" if done else "stopped", step=step if type(step) is int else 0, message=why)

    def set_status(self, state: State, **fields: Any) -> Status:
        """Write the state and the given fields of `Status`; the other fields stay."""
        path = self.path / "status.json"
        old = self.status() if path.exists() else Status()
        return self.write_status(read(Status, plain(old) | {"state": state} | fields, "status"))

    def write_status(self, status: Status) -> Status:
        """Write all of the state, whatever was there."""
        path = self.path / "status.json"
        with writing(path):
            write_json(path, plain(status))
        return status


def _default_name(name: str) -> str:
    plain_letters = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", name))  # without their accents
    safe = re.sub(r"[^A-Za-z0-9._]+", "-", plain_letters).strip("-.") or "run"
    return f"{datetime.now().astimezone():%Y-%m-%d}-{safe}-{secrets.token_hex(3)}"


def _refuse_taken(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: expected a new or empty folder, received a file; choose another with --out")
    if is_run(path):
        raise UsageError(f"{path} is a run already; continue it with --resume {path}, or choose another with --out")
    if path.is_dir():
        found = sorted(p.name for p in path.iterdir() if not p.name.startswith(_TEMPORARY))
        if found:
            raise UsageError(
                f"{path}: expected a new or empty folder, received one that holds {', '.join(found[:3])}; "
                "choose another with --out, or continue a run with --resume"
            )


def _sweep(parent: Path) -> None:
    """Remove what killed creations left; their age tells them, since they may have been on another host."""
    for path in parent.glob(f"{_TEMPORARY}*"):
        try:
            if time.time() - path.stat().st_mtime > _LEFTOVER_AGE:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue  # another process removed it first


def _move_contents(source: Path, target: Path) -> None:
    """Fill an empty folder; as a mount or a shell's working directory it could not be replaced."""
    os.mkdir(target / "checkpoints")  # fails where another process fills the same folder
    names = sorted((p.name for p in source.iterdir() if p.is_file()), key=lambda name: name == "run.json")
    try:
        for name in names:
            os.rename(source / name, target / name)
        sync_folder(target)
    except OSError:
        for name in reversed(names):
            (target / name).unlink(missing_ok=True)
        (target / "checkpoints").rmdir()
        raise


def _unsealed(path: Path, name: str, data: Any, needed: bool) -> Any:
    """What was written later than the first records carries its own hash; runs of before have none in theirs."""
    if not needed and not (isinstance(data, dict) and SEAL in data):
        return data
    if is_accepted(name):
        return {key: value for key, value in data.items() if key != SEAL} if isinstance(data, dict) else data
    try:
        return unseal(read_regular(path))
    except OSError as error:
        raise BadFile(path, f"could not be read ({error.strerror}); expected a JSON file") from None
    except ValueError as error:
        raise edited(path, name, str(error)) from None


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except FileNotFoundError:
        there = sorted(p.stem for p in path.parent.glob("*.json"))
        raise BadFile(path, f"is missing; records there: {', '.join(there) or 'none'}") from None
    except OSError as error:
        raise BadFile(path, f"could not be read ({error.strerror or error})") from error
