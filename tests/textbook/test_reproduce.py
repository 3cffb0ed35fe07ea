"""reproduce: the list, the entries, the user's own numbers and pictures, and what it refuses."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convsmith
from convsmith_textbook.lectures.entries import ENTRIES, TOPICS
from convsmith_textbook.lectures.entry import Figure
from convsmith_textbook.questions.entries import EXPERIMENTS

GRID = "1 2 3; 4 5 6; 7 8 9"


def test_the_list(command):
    text = command("reproduce").out
    assert all(topic in text for topic in TOPICS)
    assert all(f"  {name} " in text for name in ENTRIES)
    rows = command("reproduce", "--json").json
    assert [row["entry"] for row in rows] == [*ENTRIES, *EXPERIMENTS]
    assert rows[0].keys() == {"entry", "topic", "title", "rows", "lectures"}


FREE = """
import contextlib, io, sys
from convsmith.cli import main
from convsmith_textbook.lectures.entries import TOPICS
computed_by_torch = {"how layers behave", "how networks learn, in NumPy"}
names = [name for topic, group in TOPICS.items() if topic not in computed_by_torch for name in group]
for words in [[], ["--json"], names, ["vgg-layout", "--nonsense"]]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        main(["reproduce", *words])
print({"torch", "torchvision", "sklearn"} & set(sys.modules))
"""


def test_the_list_and_whatever_needs_no_layer_never_load_torch():
    environment = os.environ | {"PYTHONPATH": str(Path(convsmith.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", FREE], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_one_entry(command):
    answer = command("reproduce", "vgg16-totals")
    assert answer.code == 0
    assert "VGG-16: MACs                   13.6G    15,470,264,320  differs" in answer.out
    assert "stage 3 with two convolutions" in answer.out
    assert "as drawn: MACs = 13,620,576,256, printed as 13.6G" in answer.out
    (row,) = command("reproduce", "inception-reduced-cost", "--json").json
    figure = next(f for f in row["figures"] if f["figure"] == "MACs, reduced")
    assert (figure["printed"], figure["ours"], figure["verdict"]) == ("358M", 271_351_808, "differs")
    assert figure["mistake"] == {"MACs, reduced, the 3x3 counted twice": 358_055_936}


def test_patterns_and_all(command):
    names = [row["entry"] for row in command("reproduce", "inception*", "vgg-layout", "--json").json]
    assert names == [name for name in ENTRIES if name.startswith("inception") or name == "vgg-layout"]
    answer = command("reproduce", "all")
    assert answer.code == 0
    assert answer.out.splitlines()[-1].endswith("all of ours are right")


def test_steps_are_written_out(command):
    out = command("reproduce", "convolution-example").out
    assert "y[0,0] = 0*0 + 1*1 + 3*2 + 4*3 = 19\n" in out
    assert "output                            [19 25] [37 43]  [19 25] [37 43]  same" in out


def test_quotes_are_called_quotes(command):
    assert "quoted, not computed:\nnetwork" in command("reproduce", "squeeze-excite-results").out
    assert "source: Russakovsky et al. 2015 and the papers; quoted, not computed" in command("reproduce", "ilsvrc").out


def test_a_wrong_value_fails(command, monkeypatch):
    wrong = replace(ENTRIES["dense-on-pixels"], figures=(Figure("weights", "3.6G", 5),))
    monkeypatch.setitem(ENTRIES._rows, "dense-on-pixels", wrong)
    answer = command("reproduce", "dense-on-pixels")
    assert answer.code == 1
    assert "WRONG, expected 5" in answer.out


def test_own_numbers(command, here):
    words = ("--input", GRID, "--kernel", "1 0; 0 -1", "--padding", 1, "--stride", "1,2")
    out = command("reproduce", "convolution-example", *words).out
    assert "y[0,0] = 0*1 + 0*0 + 0*0 + 1*(-1) = -1\n" in out
    values = command("reproduce", "convolution-example", *words, "--json").json["values"]
    # An odd padding adds its row above and its column to the left.
    assert values["output"] == [[-1, -3], [-4, -4], [-7, -4]]
    (here / "grid.csv").write_text("1,2,3\n4,5,6\n7,8,9\n")
    pooled = command("reproduce", "max-pool-example", "--input", "grid.csv", "--window", 3, "--json").json
    assert pooled["values"]["output"] == [[9]]
    two = command("reproduce", "filters-example", "--input", f"{GRID}|{GRID}", "--kernel", "1|1", "--kernel", "2|0")
    assert two.code == 0
    assert "filter 2, y[2,2] = (9*2) + (9*0) = 18" in two.out


def test_pictures_are_written(command, here):
    answer = command("reproduce", "padding-example", "--plot", "padding.svg")
    assert (answer.code, answer.err) == (0, "drawn into padding.svg\n")
    assert (here / "padding.svg").read_text().startswith("<svg")
    words = ("--input", "5 6; 7 8", "--kernel", "1", "--plot", "own.svg")
    assert command("reproduce", "convolution-example", *words).code == 0
    assert ">8<" in (here / "own.svg").read_text()


def test_the_gallery_of_an_own_photograph(command, here):
    Image.fromarray(np.full((30, 60, 3), 200, np.uint8)).save(here / "photo.png")
    answer = command("reproduce", "kernel-gallery", "--image", "photo.png", "--plot", "kernels.svg")
    assert answer.code == 0
    svg = (here / "kernels.svg").read_text()
    assert svg.count("data:image/png;base64,") == 4
    assert "vultilion" not in svg


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vgg17-totals"], "unknown entry 'vgg17-totals'; nearest: vgg16-totals"),
        (["nothing*"], "unknown entry 'nothing*'"),
        (["vgg-layout", "--input", GRID], "--input is an option of: convolution-example, "),
        (["--stride", "2"], "--stride is an option of: "),
        (["vgg-layout", "--plot", "a.svg"], "--plot and --image are options of: convolution-example, "),
        (["search-log", "--image", "a.png"], "--image: search-log shows no photograph; kernel-gallery does"),
        (["padding-example", "--plot", "a.png"], "expected a name that ends in .svg, received 'a.png'"),
        (["padding-example", "--plot", "no/a.svg"], "no/a.svg: there is no folder no"),
        (["kernel-gallery", "--image", "a.png"], "--image needs --plot FILE.svg"),
        (["kernel-gallery", "--image", "a.png", "--plot", "b.svg"], "a.png: no such image"),
        (["max-pool-example", "--kernel", "1 2"], "--kernel: max-pool-example takes --window"),
        (["stride-example", "--window", "2"], "--window: stride-example takes --kernel"),
        (["stride-example", "--stride", "0"], "--stride: expected a whole number from 1 to 1000, or two as in 3,2"),
        (["stride-example", "--padding", "1,2,3"], "--padding: expected a whole number from 0 to 1000"),
        (["convolution-example", "--kernel", "1 2 3 4"], "a window of 1x4 does not fit into 3x3, padding included"),
        (["one-by-one-example", "--kernel", "1 2|3 4"], "this example needs kernels of 1x1, received 1x2"),
        (["transposed-example", "--input", f"{GRID}|{GRID}"], "this example takes one channel and one kernel"),
    ],
)
def test_refusals(words, message, refused, here):
    assert message in refused("reproduce", *words)


def test_an_image_that_is_none(refused, here):
    (here / "a.png").write_text("no image")
    words = ("kernel-gallery", "--image", "a.png", "--plot", "b.svg")
    assert "a.png: could not be read as an image" in refused("reproduce", *words, code=1)
