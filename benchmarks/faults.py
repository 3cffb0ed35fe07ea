"""Faults on purpose: what kills, damages and attacks a run, counted; the table of docs/reliability.md.

    python benchmarks/faults.py [--gates kills,bombs] [--full] [--n 100] [--page docs/reliability.md]

Each gate tries as many cases as `--n` says, without it a few in some minutes, and with `--full` its whole number:
`kills` 200, `checkpoints` 1,003 damaged ones, `pictures` 2,000, `bombs` 50 images and 1,000,000 fuzzed ones,
`hostile-files` 60 weights, `archives` 40. Commands run in processes forked from this one, so a case costs what the
command itself does. One line of JSON for each gate is added to benchmarks/results/faults.jsonl; `--page` writes the
newest lines into the page. Exit status 1 where a case failed.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sklearn.datasets  # noqa: F401 - what the digits come from, loaded before any fork
import torch
import torch._dynamo  # which the first optimizer loads, in seconds

import convsmith.work.run
from convsmith.base.errors import BadFile, ConvsmithError
from convsmith.cli import main as convsmith
from convsmith.data.preprocess import ImageInput, load
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import is_run, open_run
from convsmith.runs.generations import FILES
from fault_files import CANARY, archives, bombs, damaged_images, encoded, hostile_weights, photo, write_all
from record import RESULTS, add_row, make_parser

COMMON = ["--precision", "fp32", "--engine.threads", "1", "--device", "cpu", "--quiet", "--json"]
# Limits of the goals: seconds of the processor, since the machine may be busy, and megabytes above the start.
IMAGE_SECONDS, IMAGE_MB, WEIGHTS_MB = 5.0, 512, 200
BEGIN, END = "<!-- written by benchmarks/faults.py -->\n", "<!-- end -->"


@dataclass(frozen=True)
class Ended:
    """What became of a command: exit status, what it said, seconds by the clock and of the processor, and memory."""

    code: int
    said: str
    seconds: float
    busy: float
    megabytes: float


@dataclass
class Found:
    """What a gate found; `failures` say which case and what was wrong."""

    tried: int = 0
    failures: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    def case(self, what: str, *problems: str) -> None:
        """Count a case; those of `problems` that are no empty text make it a failure."""
        self.tried += 1
        if wrong := "; ".join(problem for problem in problems if problem):
            self.failures.append(f"{what}: {wrong}")
            print(f"  failed: {what}: {wrong[:300]}", flush=True)


def run(words: list[str], folder: Path, limit: float = 120.0, kill: float | None = None) -> Ended:
    """Run a command in a child; SIGKILL after `kill` seconds, and after `limit` where it hangs (code -9)."""
    log = folder / "said.txt"
    base, began = _megabytes(), time.monotonic()
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        os.chdir(folder)
        for number in (1, 2):
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        try:
            code = convsmith(words)
        except BaseException as error:
            print(f"Traceback: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            code = 70
        sys.stdout.flush()
        os._exit(code)
    while True:
        pid, status, used = os.wait4(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() - began > (limit if kill is None else kill):
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    said = log.read_text(errors="replace") if log.exists() else ""
    log.unlink(missing_ok=True)
    code, busy = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
    return Ended(code, said, time.monotonic() - began, busy, used.ru_maxrss / 1024 - base)


def _megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def proper(ended: Ended, *codes: int) -> str:
    """What is wrong with the end of a command: a traceback, a signal, a hang or an unexpected status."""
    if ended.code in codes and "Traceback" not in ended.said:
        return ""
    return f"exit status {ended.code} after {ended.seconds:.0f} s: {ended.said.strip()[-200:]!r}"


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="convsmith-faults-") as folder:
        yield Path(folder).resolve()


def kills(count: int) -> Found:
    """SIGKILL at a random moment, the same command again until it ends; the result has the same bits."""
    found, dice = Found(), random.Random(1)
    with scratch() as folder:
        for name in ("cat", "dog"):
            write_all(folder / "photos" / name, ((f"{n}.png", encoded(photo(n + len(name)), "PNG")) for n in range(60)))
        straight: dict[str, tuple[str, float]] = {}
        for number in range(count):
            options = _options(dice, folder)
            path, key = folder / f"run{number}", " ".join(options)
            if key not in straight:
                ended = run(["train", *options, "--out", str(folder / f"straight{number}")], folder)
                straight[key] = _bits(folder / f"straight{number}"), ended.seconds
            expected, seconds = straight[key]
            attempts, ended = 0, None
            while ended is None or ended.code == -9:
                words = ["--resume", str(path), "--quiet", "--json"] if is_run(path) else [*options, "--out", str(path)]
                kill = dice.uniform(0, seconds) if attempts == 0 else None
                ended = run(["train", *words], folder, kill=kill)
                attempts += 1
            rest = [str(p) for p in path.rglob(".*")]
            same = "" if not ended.code and _bits(path) == expected else "other bits"
            found.case(f"kill {number} of {key}", proper(ended, 0), same, f"left {rest}" if rest else "")
            shutil.rmtree(path, ignore_errors=True)
    return found


def _options(dice: random.Random, folder: Path) -> list[str]:
    options = ["lenet5", "--data", str(folder / "photos"), "--size", "32", "--epochs", "4", "--batch", "8", *COMMON]
    options += ["--checkpoint_every", "3steps", "--workers", dice.choice(("0", "2")), "--data.loader", "streaming"]
    options += ["--optimizer.accumulate", dice.choice(("1", "2")), "--lr", "0.01", "--augment", "crop(2),flip"]
    return options + dice.choice(([], ["--optimizer.average", "ema(0.8)"]))


def _bits(path: Path) -> str:
    """One hash over all tensors of the last checkpoint and the numbers of the result."""
    run_, saved = open_run(path), load_checkpoint(open_run(path))
    sum_ = hashlib.sha256(json.dumps(run_.record("result")["metrics"], sort_keys=True).encode())
    for name, tensor in sorted({**saved.model, **{f"state.{k}": v for k, v in saved.state.items()}}.items()):
        sum_.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return sum_.hexdigest()


def torn(count: int) -> Found:
    """The newest checkpoint cut, with a flipped bit, empty, gone or of another step; the one before stands in."""
    found, dice = Found(), random.Random(6)
    with scratch() as folder:
        run(["train", "lenet5", "--data", "digits", "--length", "6steps", "--checkpoint_every", "3steps", *COMMON,
             "--out", str(folder / "run")], folder)  # fmt: skip
        path = folder / "run"
        whole = {step: load_checkpoint(open_run(path), step) for step in (3, 6)}
        newest, before = path / "checkpoints" / "00000006", path / "checkpoints" / "00000003"
        for number in range(count):
            file = newest / dice.choice((*FILES, "meta.json"))
            how, data = dice.choice(("cut", "bit")) if number >= 5 else ("empty", "gone", "other")[number % 3], None
            original = file.read_bytes()
            if how == "cut":
                data = original[: dice.randrange(len(original))]
            elif how == "bit":
                place = dice.randrange(len(original))
                data = original[:place] + bytes([original[place] ^ 1 << dice.randrange(8)]) + original[place + 1 :]
            elif how != "gone":
                data = b"" if how == "empty" else (before / file.name).read_bytes()
            file.unlink() if data is None else file.write_bytes(data)
            try:
                saved = load_checkpoint(open_run(path))
                right = saved.step == 3 and all(torch.equal(saved.model[k], v) for k, v in whole[3].model.items())
                told = any(str(file) in warning for warning in saved.warnings)
                found.case(f"{how} {file.name}", "" if right else "loaded it", "" if told else "did not name the file")
            except ConvsmithError as error:
                found.case(f"{how} {file.name}", f"refused the one before as well: {error}")
            file.write_bytes(original)
    return found


def bad_images(count: int) -> Found:
    """Check, training with --on-bad skip, and predict find the same bad images among damaged and odd ones."""
    found = Found()
    with scratch() as folder:
        photos = folder / "photos"
        for name in ("cat", "dog"):
            write_all(photos / name, ((f"good{n}.png", encoded(photo(n + len(name)), "PNG")) for n in range(20)))
        files = write_all(photos / "cat", damaged_images(count))
        checked = run(["data", "check", str(photos), "--json"], folder, limit=60 + 10.0 * count)
        report = json.loads(checked.said[checked.said.index("{") :].splitlines()[0])
        broken = {Path(f["file"]).name for f in report["findings"] if f["kind"] in ("broken", "not_an_image")}
        words = ["train", "lenet5", "--data", str(photos), "--size", "32", "--quick", "--on-bad", "skip", *COMMON]
        trained = run([*words, "--out", str(folder / "run")], folder, limit=60 + 10.0 * count)
        split = json.loads((folder / "run" / "split.json").read_text())
        skipped = {Path(s["file"]).name for s in split["skipped"]}
        again = run(["train", "--resume", str(folder / "run"), *COMMON[-2:]], folder)
        told = run(
            ["predict", str(folder / "run"), str(photos / "cat"), "--json", "--quiet"], folder, limit=60 + 10.0 * count
        )
        rows = json.loads(told.said[told.said.index("[") :].splitlines()[0])
        failed = {Path(row["file"]).name for row in rows if row.get("error")}
        for verb, ended, codes in (
            ("check", checked, (1,)),
            ("train", trained, (0,)),
            ("predict", told, (1,)),
            ("resume", again, (0,)),
        ):
            if wrong := proper(ended, *codes):
                found.failures.append(f"{verb}: {wrong}")
        same = json.loads((folder / "run" / "split.json").read_text()) == split
        found.failures += [] if same else ["resume: skipped others"]
        for file in files:
            answers = {
                verb: file.name in bad for verb, bad in (("check", broken), ("train", skipped), ("predict", failed))
            }
            found.case(
                file.name, "" if len(set(answers.values())) == 1 else f"bad for one, good for another: {answers}"
            )
        found.more = {"bad": len(broken)}
    return found


def hostile_images(count: int) -> Found:
    """Images that are small files and large or slow to decode, and other formats under an image's name."""
    found = Found()
    with scratch() as folder:
        _small_run(folder)
        for path in write_all(folder / "bombs", bombs(count)):
            ended = run(["predict", "run", str(path), "--quiet"], folder)
            slow = "" if ended.busy <= IMAGE_SECONDS else f"took {ended.busy:.1f} s"
            large = "" if ended.megabytes <= IMAGE_MB else f"took {ended.megabytes:.0f} MB"
            found.case(path.name, proper(ended, 0, 1), slow, large)
        fuzzed = 20_000 * count  # 1,000,000 for the 50 images of the goal
        found.more = {"fuzzed": fuzzed if count >= 50 else 20 * count}
        found.failures += _fuzz(found.more["fuzzed"])
    return found


def _fuzz(count: int) -> list[str]:
    """Images with some bytes overwritten, decoded here: anything but an image or BadFile is a failure."""
    dice, failures = random.Random(12), []
    record = ImageInput(mode="RGB", resize=20, size=(16, 16), mean=(0.5,) * 3, std=(0.5,) * 3)
    seeds = [encoded(photo(n), kind) for n in range(4) for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")]
    for number in range(count):
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.choice((1, 2, 8, 64))):
            data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            load(bytes(data), record)
        except BadFile:
            pass
        except Exception as error:
            failures.append(f"fuzzed image {number}: {type(error).__name__}: {error}")
    return failures


def bad_weights(count: int) -> Found:
    """Weights that run code where they are unpickled, broken safetensors, and a bundle that names a function."""
    found = Found()
    with scratch() as folder:
        (folder / "x.png").write_bytes(encoded(photo(0), "PNG"))
        for path in write_all(folder / "weights", hostile_weights(count)):
            words = ["train", "lenet5", "--data", "digits", "--quick", "--weights", str(path), *COMMON]
            verbs = [[*words, "--out", str(folder / "run")], ["show", str(path)], ["predict", str(path), "x.png"]]
            ended, *others = (run(words, folder) for words in verbs)
            wrong = [problem for other in others if (problem := proper(other, 1, 2))]
            ran = [str(p) for p in (*folder.rglob(CANARY), *Path.cwd().glob(CANARY))]
            for canary in ran:
                Path(canary).unlink()
            large = "" if ended.megabytes <= WEIGHTS_MB else f"took {ended.megabytes:.0f} MB"
            found.case(path.name, proper(ended, 1, 2), *wrong, "it ran" if ran else "", large)
            shutil.rmtree(folder / "run", ignore_errors=True)
    return found


def bad_archives(count: int) -> Found:
    """Archives that would write elsewhere, fill the disk or confuse; nothing may appear outside the cache."""
    found = Found()
    with scratch() as folder:
        os.environ["CONVSMITH_CACHE"] = str(folder / "deep" / "cache")
        for path in write_all(folder / "deep" / "archives", archives(count)):
            before, problems = _tree(folder), list[str]()
            for words in (["data", "check", str(path)], ["train", "lenet5", "--data", str(path), "--quick", *COMMON]):
                ended = run(words, folder / "deep", limit=60)
                outside = [p for p in _tree(folder) - before if not p.startswith(str(folder / "deep"))]
                outside += [str(p) for p in Path("/tmp").glob("*escaped*")]
                large = sum(p.stat().st_size for p in (folder / "deep" / "cache").rglob("*") if p.is_file()) > 1 << 28
                problems += [proper(ended, 0, 1, 2), f"wrote {outside}" if outside else ""]
                problems += ["filled the cache"] if large else []
                shutil.rmtree(folder / "deep" / "cache", ignore_errors=True)
                shutil.rmtree(folder / "deep" / "runs", ignore_errors=True)
            found.case(path.name, *problems)
    return found


def _tree(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def _small_run(folder: Path) -> None:
    for name in ("cat", "dog"):
        write_all(folder / "photos" / name, ((f"{n}.png", encoded(photo(n + len(name)), "PNG")) for n in range(10)))
    words = ["train", "lenet5", "--data", "photos", "--size", "32", "--quick", *COMMON, "--out", str(folder / "run")]
    if (ended := run(words, folder)).code:
        raise SystemExit(f"the run to try things on failed: {ended.said}")


# Of each gate: its function, the whole number, a number for some minutes, what is tried, and what must hold.
GATES: dict[str, tuple[Callable[[int], Found], int, int, str, str]] = {
    "kills": (kills, 200, 12, "SIGKILL at a random moment, then the same command again",
        "it ends with the same bits, nothing left over"),
    "checkpoints": (torn, 1003, 1003, "newest checkpoint cut, one bit flipped, empty, gone, of another step",
        "seen, named, the one before stands in"),
    "pictures": (bad_images, 2000, 400, "images cut, overwritten, mislabeled, odd",
        "check, training and predict agree on each; no traceback, no hang"),
    "bombs": (hostile_images, 50, 25, "images that decode to gigabytes, other formats under an image's name",
        f"one message or an answer, {IMAGE_SECONDS:.0f} s and {IMAGE_MB} MB at most"),
    "hostile-files": (bad_weights, 60, 60,
        "weights that run code when unpickled, broken safetensors, a bundle that names a call",
        f"nothing runs, one message, {WEIGHTS_MB} MB at most"),
    "archives": (bad_archives, 40, 15, "archives that would write elsewhere or fill the disk",
        "nothing outside the cache, one message"),
}  # fmt: skip


def write_page(page: Path, rows: list[dict[str, Any]]) -> None:
    """Put the table of the newest row of each gate between the marks of the page."""
    newest = {row["gate"]: row for row in rows}
    lines = ["| gate | what is tried | what must hold | tried | failed |", "|---|---|---|---|---|"]
    for name, (_, whole, _, tried, holds) in GATES.items():
        row = newest.get(name)
        numbers = ("not run", "-") if row is None else (f"{row['tried']:,} (goal: {whole:,})", f"{row['failed']:,}")
        lines.append(f"| {name} | {tried} | {holds} | {' | '.join(numbers)} |")
    last = max(newest.values(), key=lambda row: row["time"])
    versions = f"Python {last['python']}, torch {last['torch']}, Pillow {last['pillow']}"
    lines += ["", f"Measured on {last['time'][:10]}: {last['cpu']}, {last['cores']} cores, {versions}."]
    if "fuzzed" in newest.get("bombs", {}):
        lines[-1] += f" The gate `bombs` also decoded {newest['bombs']['fuzzed']:,} fuzzed images."
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n\n{END}{rest.partition(END)[2]}")


def main() -> int:
    parser = make_parser(__doc__, rounds=None)
    parser.add_argument("--gates", default=",".join(GATES), help="which, by commas; none: all")
    parser.add_argument("--n", type=int, help="cases of each gate")
    parser.add_argument("--full", action="store_true", help="all cases of each gate's goal")
    parser.add_argument("--page", type=Path, help="write the newest results into this page")
    values = parser.parse_args()
    torch.set_num_threads(1)  # so that forked processes find no threads that are not there
    failed = 0
    for name in values.gates.split(","):
        gate, whole, few, tried, _ = GATES[name]
        began = time.monotonic()
        print(f"{name}: {tried}", flush=True)
        found = gate(values.n or (whole if values.full else few))
        failed += len(found.failures)
        row = {"gate": name, "tried": found.tried, "goal": whole, "failed": len(found.failures), **found.more}
        row |= {"failures": [failure[:300] for failure in found.failures[:20]]}
        add_row(values.results, "faults", row | {"seconds": round(time.monotonic() - began)}, libraries=("pillow",))
        print(
            f"{name}: {found.tried} tried, {len(found.failures)} failed, {time.monotonic() - began:.0f} s", flush=True
        )
    if values.page:
        file = (values.results or RESULTS) / "faults.jsonl"
        write_page(values.page, [json.loads(line) for line in file.read_text().splitlines()])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
