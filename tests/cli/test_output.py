"""What verbs print: no raw names, consoles of any encoding, readers that have gone, disks that are full."""

import csv
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from convsmith.cli import main
from convsmith.cli.output import cell, printing, say, show, show_text

# As folders may be called: a color, a new title for the terminal, a line of its own, a turn of the reading direction,
# C1 controls, bytes that are no UTF-8, formulas.
HOSTILE = (
    "\x1b[31mred\x1b]0;pwn\x07",
    "line\nconvsmith: all is well",
    "=cmd|' !A0",
    "@SUM(1)",
    "\u202ekcab\x9b2J",
    "\udcff",
)
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, request) -> tuple[Path, Path]:
    """A run on class folders with hostile names, in a folder with one; the run and its images."""
    write = request.getfixturevalue("write_hostile")
    root = tmp_path_factory.mktemp("hostile") / "\x1b[7mruns\n"
    folder = write(root / "pictures")
    words = ["train", "--data", folder, "--epochs", "1", "--batch", "8", "--size", "32", "--engine.threads", "1"]
    assert main([*map(str, words), "--network", "lenet5", "--quiet", "--json", "--out", str(root / "run")]) == 0
    return root / "run", folder


@pytest.fixture(scope="module")
def write_hostile() -> Callable[[Path], Path]:
    from PIL import Image

    def write(root: Path) -> Path:
        for label, name in enumerate(HOSTILE):
            (root / name).mkdir(parents=True)
            for number in range(6):
                Image.new("RGB", (12, 12), (40 * label, 30 * number, 90)).save(root / name / f"=\x1b[5m{number}.png")
        return root

    return write


VERBS = {
    "predict": ["predict", "{run}", "{folder}"],
    "predict top": ["predict", "{run}", "{image}", "--top", "6"],
    "predict csv": ["predict", "{run}", "{folder}", "--csv"],
    "predict json": ["predict", "{run}", "{folder}", "--json"],
    "eval": ["eval", "{run}"],
    "eval of two": ["eval", "{run}", "{bundle}/../run2"],
    "compare": ["compare", "{run}", "{run2}"],
    "show": ["show", "{run}"],
    "show bundle": ["show", "{bundle}"],
    "runs": ["runs", "{root}"],
    "data check": ["data", "check", "{folder}"],
    "data stats": ["data", "stats", "{folder}"],
    "export": ["export", "{run}", "--to", "bundle", "--out", "{bundle}"],
    "train": ["train", "lenet5", "--data", "{folder}", "--size", "32", "--quick", "--out", "{new}"],
    "finetune": ["finetune", "{run}", "--data", "{folder}", "--quick", "--mode", "probe", "--out", "{new}"],
    "no such run": ["eval", "{root}/\x1b[31mnone"],
    "no such image": ["predict", "{run}", "\x1b[31m.png"],
    "unknown verb": ["\x1b[31mverb"],
    "unknown option": ["train", "--\x1b[31m"],
    "one argument too many": ["show", "lenet5", "\x1b[31m\nx"],
}


@pytest.fixture
def names(hostile, tmp_path) -> dict[str, str]:
    run, folder = hostile
    image = next(folder.rglob("*.png"))
    second = run.parent / "run2"
    bundle = run.parent / "bundle.safetensors"
    with suppress(FileExistsError):
        os.symlink(run, second)
    return {
        "run": str(run), "run2": str(second), "root": str(run.parent), "folder": str(folder), "image": str(image),
        "bundle": str(bundle), "new": str(tmp_path / "\x1b[8mnew"),
    }  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_names_from_files_are_never_printed_raw(verb, names, command, capfd):
    words = [word.format(**names) for word in VERBS[verb]]
    if "{bundle}" in VERBS[verb] and verb != "export":
        assert command("export", names["run"], "--to", "bundle", "--out", names["bundle"], "--quiet").code == 0
    answer = command(*words)
    text = answer.out.replace("\r\n", "\n") + answer.err  # CSV ends its lines so
    assert text
    assert not RAW.search(text), RAW.search(text)
    assert not re.search("^convsmith: all is well", text, re.MULTILINE)
    assert "Traceback" not in text


def test_the_pages_of_a_run_hold_no_raw_name(hostile, command):
    run, _ = hostile
    assert command("eval", run, "--plot", run.parent / "a.svg").code == 0
    pages = [run / "report.html", run.parent / "a.svg", run / "log.txt"]
    for page in pages:
        assert not RAW.search(page.read_text(encoding="utf-8", errors="surrogateescape")), page


def test_no_cell_of_csv_is_a_formula(hostile, command):
    run, folder = hostile
    rows = list(csv.reader(io.StringIO(command("predict", run, folder, "--csv").out)))
    cells = {value for row in rows[1:] for value in row}
    assert {"'=cmd|' !A0", "'@SUM(1)", "line\\nconvsmith: all is well"} <= cells
    assert not [value for value in cells if value.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat", "cat"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\tx", "'\\tx"),
        ("\rx", "'\\rx"),
        ("＝1", "'＝1"),
        ("a=1", "a=1"),
        ("\x1b[1m", "\\x1b[1m"),
    ],
)
def test_cells(text, expected):
    assert cell(text) == expected


def test_json_has_names_exactly(hostile, command):
    run, folder = hostile
    found = command("predict", run, folder, "--json").json
    assert {guess["label"] for p in found for guess in p["top"]} <= set(HOSTILE)
    assert {p["file"] for p in found} == {str(path) for path in folder.rglob("*.png")}


@pytest.fixture
def streams(monkeypatch) -> Iterator[Callable[[str], tuple[io.TextIOWrapper, io.TextIOWrapper]]]:
    """`streams(encoding)` sets strict standard streams of it."""
    made: list[io.TextIOWrapper] = []

    def set_streams(encoding: str) -> tuple[io.TextIOWrapper, io.TextIOWrapper]:
        pair = tuple(io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for _ in range(2))
        monkeypatch.setattr(sys, "stdout", pair[0])
        monkeypatch.setattr(sys, "stderr", pair[1])
        made.extend(pair)
        return pair[0], pair[1]

    yield set_streams
    monkeypatch.undo()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437", "utf-8"])
@pytest.mark.parametrize("verb", ["predict", "predict csv", "eval", "runs", "data stats", "data check", "no such run"])
def test_a_console_of_another_encoding_gets_escapes(verb, encoding, names, streams):
    out, err = streams(encoding)
    main([word.format(**names) for word in VERBS[verb]])
    text = b"".join(stream.buffer.getvalue() for stream in (out, err) if not stream.flush()).decode(encoding)
    assert text
    assert "Traceback" not in text
    assert (out.errors, err.errors) == ("strict", "strict")  # as they were before


def test_what_a_console_lacks_is_replaced(streams):
    out, _ = streams("ascii")
    with printing():
        show("naïve 猫")
    assert out.buffer.getvalue() == b"na\\xefve \\u732b\n"


def test_a_line_stays_a_line(capsys):
    show("a\nb")
    show_text("a\nb\x1b")
    say("a\nb")
    out, err = capsys.readouterr()
    assert out == "a\\nb\na\nb\\x1b\n"
    assert err == "a\\nb\n"


@pytest.fixture
def piped(monkeypatch) -> Iterator[Callable[[str], None]]:
    """`piped("stdout")` makes it a stream whose reader has gone."""
    made: list[io.TextIOWrapper] = []

    def set_stream(name: str) -> None:
        read, write = os.pipe()
        os.close(read)
        made.append(open(write, "w"))  # noqa: SIM115 - closed below
        monkeypatch.setattr(sys, name, made[-1])

    yield set_stream
    monkeypatch.undo()
    for stream in made:
        stream.close()


@pytest.mark.parametrize("words", [["nets"], ["nets", "--json"], ["show", "resnet50"], ["recipes"], ["--help"]])
def test_a_reader_that_has_gone_ends_the_command_without_a_word(words, piped, capfd):
    piped("stdout")
    assert main(words) == 0
    assert capfd.readouterr().err == ""


def test_a_training_whose_notes_nobody_reads_goes_on(piped, here):
    piped("stderr")
    assert main(["train", "digits", "--quick", "--json", "--out", "run"]) == 0
    assert (here / "run" / "result.json").is_file()


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_stream_that_is_closed(name, monkeypatch, capfd):
    monkeypatch.setattr(sys, name, None)
    assert main(["list", "resnet*"]) == 0
    monkeypatch.undo()


@pytest.mark.parametrize("words", [["nets"], ["nets", "--json"], ["predict", "{run}", "{folder}", "--csv"]])
def test_standard_output_on_a_full_disk(words, photo_run, monkeypatch, capfd):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main([word.format(run=photo_run[0], folder=photo_run[1]) for word in words]) == 1
        monkeypatch.undo()
    assert capfd.readouterr().err == (
        "convsmith: standard output could not be written (No space left on device); mend: free space where it goes to\n"
    )
