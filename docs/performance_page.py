"""Writes `docs/performance.md`, the results of the benchmarks: `python docs/performance_page.py`."""

import json
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE, PICTURE = ROOT / "benchmarks/results", ROOT / "docs/performance.md", ROOT / "docs/images/growth.svg"

HEAD = """# Performance

<!-- written by docs/performance_page.py -->

The results of the scripts in `benchmarks/`, the newest row of each machine. Every number is in `benchmarks/results/`
and can be measured again with the command beside it, if it was recorded. Convsmith and the other side take turns,
unless a table says otherwise, so that other work of the machine slows both. A ratio is the median of the
rounds' ratios, with the lowest and the highest. `load` is the load of the machine, if it was recorded and other
programs ran; `"` means as above.
"""
DRAWN = "\n![How time and memory of a training step grow along each axis](images/growth.svg)\n"
# Versions that a cell names if the row has them.
LIBRARIES = ("torch", "torchvision", "timm", "keras", "onnxruntime", "openvino", "pillow")
BUSY = 1.0  # a load from here on means that other programs ran too
LEAST_PART = 0.01  # the least share of a step's time that is listed

Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A line of a table: what was measured, and up to three cells of numbers."""

    what: str
    ours: str
    peer: str = ""
    ratio: str = ""


@dataclass(frozen=True)
class Section:
    """A table: its file, what it measures in a sentence, and the lines of a row; none for a row of another table.

    The name of a line holds no measured numbers, since a newer line replaces the older one of the same name.
    """

    benchmark: str
    title: str
    sentence: str
    lines: Callable[[Row], Iterable[Line]]
    columns: tuple[str, str, str] = ("ours", "other", "ratio")


def page(results: Path = RESULTS) -> str:
    """The whole page as Markdown; benchmarks without a file are left out."""
    parts = [HEAD]
    for section in SECTIONS:
        table = _table(section, _rows(results / f"{section.benchmark}.jsonl"))
        if table:
            parts.append(f"\n## {section.title}\n\n{textwrap.fill(section.sentence, 118)}\n\n{table}")
            parts.append(DRAWN if section.lines is _slopes and PICTURE.exists() else "")
    return "".join(parts)


def _rows(file: Path) -> list[Row]:
    if not file.exists():
        return []
    rows = [json.loads(line) for line in file.read_text().splitlines() if line.strip()]
    return sorted(rows, key=lambda row: row["time"])


def _table(section: Section, rows: list[Row]) -> str:
    newest: dict[tuple[str, str], tuple[Line, Row]] = {}
    for row in rows:
        for line in section.lines(row):
            # Moved to the end, so that lines of one measurement stand together.
            newest.pop((_hardware(row), line.what), None)
            newest[_hardware(row), line.what] = line, row
    if not newest:
        return ""
    head = ("what", *section.columns, "hardware", "versions", "date", "command")
    parts = [_cells(head), "|---" * len(head) + "|\n"]
    before: tuple[str, ...] = ()
    for line, row in newest.values():
        place = (_machine(row), _versions(row), row["time"][:10], _command(row))
        shown = ('"',) * len(place) if place == before else place
        parts.append(_cells((line.what, line.ours, line.peer, line.ratio, *shown)))
        before = place
    return "".join(parts)


def _cells(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _hardware(row: Row) -> str:
    """The hardware of a row; a newer row replaces an older one of the same hardware."""
    return f"{row.get('gpu') or row['cpu']}, {row.get('threads') or row.get('cores') or '?'}"


def _machine(row: Row) -> str:
    name = (row.get("gpu") or row["cpu"]).replace("(R)", "")
    processor = "" if row.get("gpu") else next((f", {row[k]} {k}" for k in ("threads", "cores") if row.get(k)), "")
    load = row.get("load", 0)
    return name + processor + (f", load {load:g}" if load >= BUSY else "")


def _versions(row: Row) -> str:
    return ", ".join([*(f"{n} {row[n]}" for n in LIBRARIES if row.get(n)), f"Python {row['python']}"])


def _command(row: Row) -> str:
    return f"`{row['command']}`" if row.get("command") else "not kept"


def _ratio(row: Row) -> str:
    text = f"{row['ratio']:.2f}"
    return f"{text} ({row['lowest']:.2f} to {row['highest']:.2f})" if "lowest" in row else text


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _percent(share: float) -> str:
    return f"{share:.2%}"


def _training(what: str) -> Callable[[Row], Iterable[Line]]:
    """The lines of one comparison of `train.py`."""

    def lines(row: Row) -> Iterable[Line]:
        if row["what"] != what:
            return
        details = [f"batch {row['batch']}" if "batch" in row else "", row.get("precision", "")]
        details += ["compiled" if row.get("compiled") else "", f"images of {row['data']}"]
        name = ", ".join([row["network"], *filter(None, details)])
        yield Line(f"{name}: images/s", _number(row["ours"]), _number(row["peer"]), _ratio(row))
        if "share" in row:
            limits = row["product_gflops"]
            pairs = ((row["share"], limits[row["precision"]]), (row["peer_share"], limits[row["peer_precision"]]))
            cells = [f"{share:.0%} of {limit:,.0f}" for share, limit in pairs]
            yield Line(f"{name}: share of what a matrix product reaches, GFLOP/s", *cells)
        if "loss" in row:
            spread = [f" ± {one:.3f}" for one in row["loss_spread"] or ()] or ["", ""]
            ours, other = (f"{row[k]:.3f}{s}" for k, s in zip(("loss", "peer_loss"), spread, strict=True))
            seeds = f"each of {row['seeds']} seeds" if row["seeds"] > 1 else "one seed"
            verdict = f"{'' if row['loss_equal'] else 'not '}equal within 2% for {seeds}"
            yield Line(f"{name}: training loss after the same steps", ours, other, verdict)

    return lines


def _profile(row: Row) -> Iterable[Line]:
    details = [f"batch {row['batch']} of {row['size']} pixels", row["precision"]]
    name = ", ".join([row["network"], *details, *(["compiled"] if row["compiled"] else [])])
    limit = row["product_gflops"]
    cells = (f"{row[key]:.0%} of {limit:,.0f}" for key in ("share", "convolution_share"))
    parts = ", ".join(f"{kind} {share:.0%}" for kind, share in row["parts"].items() if share >= LEAST_PART)
    yield Line(name, *cells, parts)


def _budget(row: Row) -> Iterable[Line]:
    def cell(side: str, name: str) -> str:
        return f"{row[side][name]:.2%} in {row[side]['seconds']:.0f} s" if side in row and name in row[side] else ""

    alone = "" if {"ours", "peer"} <= row.keys() else ", one side alone"
    difference = "" if alone else f"{100 * (row['ours']['accuracy'] - row['peer']['accuracy']):+.1f} points"
    name = f"{row['recipe']} on {row['data']}{alone}"
    yield Line(name, cell("ours", "accuracy"), cell("peer", "accuracy"), difference)
    if "ours" in row and row["ours"].get("one_view", row["ours"]["accuracy"]) != row["ours"]["accuracy"]:
        yield Line(f"{row['recipe']}, one view of each test image{alone}", cell("ours", "one_view"))


def _inference(row: Row) -> Iterable[Line]:
    name = f"{row['network']}, batch {row['batch']}, {row['engine']}, {row['precision']}"
    note = f"refused: {row['refused']}" if row.get("refused") else _ratio(row)
    yield Line(name, _number(row["ours"]), _number(row["peer"]), note)


def _processes(row: Row) -> Iterable[Line]:
    name = f"{row['network']}, {row['processes']} processes"
    yield Line(name, _number(row["ours"]), _number(row["peer"]), _ratio(row))


def _data(row: Row) -> Iterable[Line]:
    for name, what in (("first", "first epoch, which decodes"), ("second", "later epochs, which read what was kept")):
        yield Line(what, _number(row[f"{name}_epoch"]), _number(row["peer"]), f"{row[f'{name}_times_peer']:.2f}")
    for name, share in row["waiting"].items():
        yield Line(f"time that steps of {name} wait for it", _percent(share))
    yield Line("draft decoding of large photographs, to exact decoding", f"{row['draft']['times_exact']:.2f} times")


def _augment(row: Row) -> Iterable[Line]:
    share = f"{_percent(row['share_of_step'])} of a step"
    if "times_torchvision" not in row:
        yield Line(f"`{row['text']}`", share)
        return
    rates = [_number(row[name]) for name in ("images_per_second", "torchvision_images_per_second")]
    yield Line(f"`{row['text']}`", f"{share}, {rates[0]}", rates[1], f"{row['times_torchvision']:.1f}")


def _start_up(row: Row) -> Iterable[Line]:
    empty = row["seconds"]["python"]
    for name, taken in row["seconds"].items():
        if name != "python":
            yield Line(f"`{name}`", f"{taken:.2f} s", f"{empty:.2f} s")


def _slopes(row: Row) -> Iterable[Line]:
    pairs = (("time for an image", "time_slope", "macs_slope"), ("memory", "memory_slope", "activations_slope"))
    for what, slope, wanted in pairs if "time_slope" in row else ():
        over = row[slope] - row[wanted]
        ends = f"{row['values'][0]:g} to {row['values'][-1]:g}"
        yield Line(f"{row['what']} from {ends}: {what}", f"{row[slope]:.2f}", f"{row[wanted]:.2f}", f"{over:+.2f}")


def _recomputed(row: Row) -> Iterable[Line]:
    if row["axis"] != "recompute":
        return
    name = f"{row['network']}, batch {row['batch']}, activations {'computed again' if row['edits'] else 'kept'}"
    if "failed" in row:
        yield Line(name, row["failed"])
    else:
        yield Line(name, f"{row['milliseconds']:.3g} ms", f"{row['mebibytes']:,.0f} MiB")


SECTIONS = (
    Section(
        "train",
        "Training: ResNet-20 against a plain loop",
        "Images of training each second: our loop with its loader, against an eager fp32 loop with a `DataLoader`"
        " of 2 workers and torchvision's transforms, its images decoded into memory before the measurement.",
        _training("resnet20"),
    ),
    Section(
        "train",
        "Training: ResNet-20 against a plain loop that decodes",
        "Images of training each second: our loop, which decodes once before the first step (not in the time), "
        "against an eager fp32 loop whose `DataLoader` of 2 workers decodes each image whenever it reads it.",
        _training("resnet20_files"),
    ),
    Section(
        "train",
        "Training: ResNet-50 against torchvision",
        "Images of 224 pixels each second: our loop with its loader, against torchvision's network in eager fp32,"
        " channels first, on one batch in memory.",
        _training("resnet50"),
    ),
    Section(
        "train",
        "Training: ResNet-50 against Keras",
        "The same against Keras's ResNet-50 on torch, by `train_on_batch`, fp32.",
        _training("resnet50_keras"),
    ),
    Section(
        "train",
        "Training: resnet18 from JPEG files against timm",
        "Images each second of an epoch of 32 pixels, timm's default augmentation, optimizer and loss on both "
        "sides (timm's put together from its package as its train.py does, workers as many as cores): both decode"
        " every file in the epoch.",
        _training("timm_files"),
    ),
    Section(
        "train",
        "Training: resnet18 from memory against timm",
        "Images each second of 32 pixels with timm's default augmentation, optimizer and loss on both sides, from"
        " decoded images in memory.",
        _training("timm_arrays"),
    ),
    Section(
        "profile",
        "Where the time of a training step goes",
        "The GFLOP/s of the step, and of its convolutions alone, as shares of those of a matrix product in the same "
        "number format: no step is faster than its convolutions. And the share of time of each kind of operator, by "
        "torch's profiler. One batch, without loader and augmentation.",
        _profile,
        ("step", "convolutions alone", "time"),
    ),
    Section(
        "budget",
        "Accuracy for equal time",
        "Test accuracy after about the same time of training on the same files: a recipe of ours, compiling "
        "included and seen through its views, against torchvision's ResNet-18 by its reference recipe.",
        _budget,
        ("ours", "torchvision", "difference"),
    ),
    Section(
        "infer",
        "Running a network",
        "Images each second in evaluation, by engine, against torchvision's module in eager fp32, channels first,"
        " with the same weights.",
        _inference,
        ("ours", "torchvision", "ratio"),
    ),
    Section(
        "processes",
        "Training in several processes",
        "Images of training each second on one machine: several processes that share its cores, against one with all.",
        _processes,
        ("several", "one", "ratio"),
    ),
    Section(
        "data",
        "Reading photographs",
        "Images that reach training for each second of a core, cut to 224 pixels from JPEGs of 480x360, against "
        "torchvision's `ImageFolder` in a `DataLoader`.",
        _data,
        ("ours", "torchvision", "ratio"),
    ),
    Section(
        "augment",
        "Augmentation",
        "The time of each augmentation as a share of a ResNet-20 step on the same batch of 128, and images each "
        "second against torchvision's transform of the same strength in a `DataLoader` of 2 workers.",
        _augment,
        ("ours, images/s", "torchvision, images/s", "ratio"),
    ),
    Section(
        "start_up",
        "Starting",
        "Seconds from the start of the process until the command has answered, or has taken its first training step.",
        _start_up,
        ("ours", "`python -c pass`", ""),
    ),
    Section(
        "growth",
        "Growth",
        "The slope of a straight line through the logarithms of a training step's time and memory, beside that of"
        " the expected cause (MACs of an image, activations of a batch): 1 is in proportion, a larger slope grows "
        "faster.",
        _slopes,
        ("slope", "slope of MACs or activations", "above"),
    ),
    Section(
        "growth",
        "Activations computed again",
        "A training step of the deepest ResNet with its activations kept, and computed again for the gradient by "
        "the edit `recompute`.",
        _recomputed,
        ("time for an image", "memory", ""),
    ),
)


if __name__ == "__main__":
    PAGE.write_text(page())
