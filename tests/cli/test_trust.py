"""Files name no code that is run: bundles, runs and recipes of a stranger, on every verb, under an audit hook."""

import json
import os
import py_compile
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

import convsmith as cs
from convsmith.base import user_code
from convsmith.base.errors import NotTrusted
from convsmith.base.user_code import TRUST, fingerprint
from convsmith.cli import VERBS, main
from convsmith.cli.trust import TRUSTING
from convsmith.nets.modules.build import build
from convsmith.nets.zoo import network
from convsmith.runs.directory import open_run
from convsmith.runs.weights import save_bundle

MARKER = "ran.txt"
# A stranger's file: it says that it ran, and does what a run wants of it.
EVIL = """
__import__("pathlib").Path({marker!r}).write_text("ran")
from torch import nn
from convsmith.nets.zoo import network
from convsmith.tasks.classify import Classify

def make(classes=10, channels=3):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))

def tree(classes=10, channels=3):
    return network("lenet5", classes=classes, channels=channels)

def task(classes):
    return Classify(classes)
"""
STDLIB = str(Path(subprocess.__file__).resolve())


class Planted:
    """Hostile files in a folder: `subjects` by name, each with the file that it would run and whether it states it."""

    def __init__(self, folder: Path):
        self.folder, self.marker = folder, folder / MARKER
        self.subjects: dict[str, Path] = {}
        self.code: dict[str, Path] = {}

    def add(self, name: str, subject: Path, code: Path | str) -> None:
        """A subject that names `code`."""
        self.subjects[name], self.code[name] = subject, Path(code)


def _edit(run: Path, change: Callable[[dict], None]) -> None:
    """Change the record `network` of a run, and its hash with it, as a stranger does who can write every file."""
    data = open_run(run).record("network")
    change(data)
    open_run(run).write_record("network", data)


def _bundle(path: Path, source: str, arguments: dict, stated: str | None) -> Path:
    tree = network("lenet5", classes=10)
    card = {
        "name": "digits", "kind": "digits", "classes": [str(n) for n in range(10)], "channels": 1, "size": [8, 8],
        "counts": {"train": 1}, "class_counts": {}, "license": "", "source": "", "fingerprint": "", "notes": [],
        "multilabel": False,
    }  # fmt: skip
    fields = {
        "network": {"kind": "module", "source": source, "arguments": arguments, "fingerprint": stated},
        "preprocess": {"mode": "L", "size": [32, 32], "mean": [0.5], "std": [0.5]},
        "card": card, "temperature": 1.0, "channels_last": False, "run": "run", "step": 1,
    }  # fmt: skip
    save_bundle(path, build(tree, seed=0).state_dict(), fields)
    return path


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Runs as a stranger would make them, honestly, and then less so."""
    made = Planted(tmp_path_factory.mktemp("planted"))
    folder, marker = made.folder, made.marker
    evil = folder / "evil_code.py"
    evil.write_text(EVIL.format(marker=str(marker)))
    digits = ["--data", "digits", "--quick", "--quiet", "--augment", ""]
    for name, words in (
        ("run of a module", ["train", f"{evil}:make"]),
        ("run of a task", ["train", "lenet5", "--task", f"{evil}:task"]),
        ("run of a tree by a file", ["train", f"{evil}:tree", "--size", "32"]),
    ):
        run = folder / name.replace(" ", "_")
        assert main([*words, *digits, "--out", str(run)]) == 0
        made.add(name, run, evil)
    assert marker.exists()
    marker.unlink()
    for name, change in (
        ("unstated", lambda n: n.update(fingerprint=None)),
        ("short", lambda n: n.update(fingerprint=n["fingerprint"][:12])),
        ("library", lambda n: n.update(source=f"{STDLIB}:getoutput", fingerprint=fingerprint(Path(STDLIB)),
                                       arguments={"cmd": f"touch {marker}"})),
        ("library unstated", lambda n: n.update(source=f"{STDLIB}:getoutput", fingerprint=None, arguments={})),
        ("torchvision", lambda n: n.update(source="torchvision:resnet18", fingerprint=None,
                                           arguments={"weights": "DEFAULT"})),
    ):  # fmt: skip
        run = folder / f"changed_{name.replace(' ', '_')}"
        shutil.copytree(made.subjects["run of a module"], run)
        _edit(run, change)
        made.add(f"changed run: {name}", run, evil if name in ("unstated", "short") else STDLIB)
    for name, source, arguments, stated in (
        ("library", f"{STDLIB}:getoutput", {"cmd": f"touch {marker}"}, None),
        ("library stated", f"{STDLIB}:getoutput", {"cmd": f"touch {marker}"}, fingerprint(Path(STDLIB))),
        ("file", f"{evil}:make", {}, fingerprint(evil)),
        ("relative file", "evil_code.py:make", {}, fingerprint(evil)),
        ("module name", "subprocess:getoutput", {"cmd": f"touch {marker}"}, None),
        ("torchvision", "torchvision:resnet18", {"weights": "DEFAULT"}, None),
    ):
        path = _bundle(folder / f"{name.replace(' ', '_')}.safetensors", source, arguments, stated)
        made.add(f"bundle: {name}", path, source.rpartition(":")[0])
    recipe = json.loads((made.subjects["run of a module"] / "recipe.json").read_text())["recipe"]
    for name, change in (("network", {}), ("task", {"network": "lenet5", "task": f"{evil}:task"})):
        path = folder / f"recipe_{name}.json"
        path.write_text(json.dumps(recipe | change))
        made.add(f"recipe: {name}", path, evil)
    # What a recipe names may name code in its turn.
    path = folder / "recipe_weights.json"
    path.write_text(json.dumps(recipe | {"network": "lenet5", "weights": str(made.subjects["run of a module"])}))
    made.add("recipe: weights", path, evil)
    path = folder / "recipe_run.json"
    path.write_text(json.dumps(recipe | {"network": str(made.subjects["run of a module"])}))
    made.add("recipe: run", path, evil)
    Image.new("RGB", (8, 8)).save(folder / "image.png")
    return made


NAMES = (
    "run of a module", "run of a task", "run of a tree by a file", "changed run: unstated", "changed run: short",
    "changed run: library", "changed run: library unstated", "changed run: torchvision", "bundle: library",
    "bundle: library stated", "bundle: file", "bundle: relative file", "bundle: module name", "bundle: torchvision",
    "recipe: network", "recipe: task", "recipe: weights", "recipe: run",
)  # fmt: skip


# The ways in which a verb may be given a subject; most fit only some verbs, and what fits none is a form of new ones.
FORMS = (
    "{}", "{} IMAGE", "{} {}", "lenet5 {}", "{} --data digits", "{} --data digits --mode probe --dry-run",
    "{} --to bundle", "--resume {}", "{} --repeat 2 --quick", "lenet5 --weights {} --data digits --dry-run",
    "--network {} --data digits --dry-run", "check {}", "--data {}",
)  # fmt: skip
MORE = {
    "train": ("{} --dry-run", "{} --data digits --dry-run"),
    "bench": ("{} --engines eager --rounds 1 --batch 2", "{} --train"),
    "finetune": ("{} --data digits --mode full --dry-run", "lenet5 --data digits --weights {} --mode probe --dry-run"),
}
# A form that these verbs take and that does much besides; what stands in MORE does the same in little.
SLOW = {"bench": ("{}",), "export": ("{}", "{} --data digits"), "finetune": ("{} --data digits",)}
NO_FILES = ("reproduce", "doctor", "nets", "recipes")
# The forms in which these verbs read the subject: every subject is tried in them, and in one of STEP in the others.
READING = {
    "compare": ("lenet5 {}",), "data": ("check {}",), "predict": ("{} IMAGE",), "export": ("{} --to bundle",),
    "train": ("{} --dry-run", "--resume {}", "lenet5 --weights {} --data digits --dry-run"),
    "finetune": ("lenet5 --data digits --weights {} --mode probe --dry-run", "{} --data digits --mode full --dry-run"),
    "bench": ("{} --engines eager --rounds 1 --batch 2",),
}  # fmt: skip
STEP = 6


def commands_of(verb: str, planted: "Planted", step: int) -> list[list[str]]:
    """The hostile subjects in every form: all in those that read them, every `step`-th, another each time, in others.

    A verb has more forms than `step`, so that it meets every subject.
    """
    forms = [form for form in (*FORMS, *MORE.get(verb, ())) if form not in SLOW.get(verb, ())]
    image = str(planted.folder / "image.png")
    return [
        [verb, *(image if word == "IMAGE" else word.format(subject) for word in form.split())]
        for turn, form in enumerate(FORMS[:1] if verb in NO_FILES else forms)
        for number, subject in enumerate(planted.subjects.values())
        if form in READING.get(verb, FORMS[:1]) or (number + turn) % step == 0
    ]


@pytest.fixture(scope="module")
def answers(
    planted: Planted, tmp_path_factory: pytest.TempPathFactory, many: Callable[[int, int], int]
) -> dict[str, list]:
    """What every verb says to every hostile subject, with `--all` in every form, by the words as one text."""
    here = tmp_path_factory.mktemp("here")
    commands = [words for verb in VERBS for words in commands_of(verb, planted, 1 if many(0, 1) else STEP)]
    assert list(planted.subjects) == list(NAMES)
    for verb in VERBS:
        said = " ".join(word for words in commands if words[0] == verb for word in words)
        assert all(str(subject) in said for subject in planted.subjects.values()), verb
    environment = os.environ | {"CONVSMITH_CACHE": str(here / "cache"), "TMPDIR": str(here / "work")}
    (here / "work").mkdir()
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parents[1] / "watched.py")],
        input=json.dumps([str(planted.folder), commands]), capture_output=True, text=True, env=environment,
        cwd=here / "work", timeout=many(540, 2400),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {" ".join(w): a for w, a in zip(commands, json.loads(done.stdout), strict=True)}


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_runs_what_a_file_names(verb: str, planted: Planted, answers: dict[str, list]) -> None:
    assert not planted.marker.exists()
    own = {words: answer for words, answer in answers.items() if words.split()[0] == verb}
    assert own
    for words, (code, said, events) in own.items():
        assert code in (0, 1, 2), f"{words}\n{code}\n{said}"
        assert not events, f"{words}\n{said}\n{events}"
        assert code == 0 or said.strip(), words


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("show {}", ["run of a module"]),
        ("compare lenet5 {}", ["run of a module"]),
        ("compare {} OTHER", ["run of a module"]),
        ("predict {} IMAGE", ["run of a module"]),
        ("eval {}", ["run of a module", "run of a task"]),
        ("export {} --to bundle", ["run of a module"]),
        ("bench {}", ["run of a module"]),
        ("bench {} --train", ["run of a task", "recipe: network", "recipe: task"]),
        ("train --resume {}", ["run of a task"]),
        ("train {} --dry-run", [*NAMES[:3], *NAMES[-4:]]),
        ("train {} --repeat 2 --quick", [*NAMES[:3], *NAMES[-4:]]),
        ("train lenet5 --weights {} --data digits --dry-run", ["run of a module"]),
        ("finetune {} --data digits", ["run of a module"]),
        ("finetune lenet5 --data digits --weights {} --mode probe --dry-run", ["run of a module"]),
    ],
)
def test_a_refusal_names_file_hash_and_command(form: str, names: list[str], planted: Planted, command) -> None:
    for name in names:
        evil, subject = planted.code[name], str(planted.subjects[name])
        words = form.format(subject).replace("IMAGE", str(planted.folder / "image.png"))
        words = words.replace("OTHER", str(planted.subjects["run of a task"])).split()
        answer = command(*words)
        assert (answer.code, answer.err.count("convsmith: ")) == (2, 1), answer.err
        line = answer.err[answer.err.index("convsmith: ") :]
        assert line.startswith(f"convsmith: {evil}:")
        assert f" makes a {'task' if ':task' in line.split()[1] else 'network'}, and its code is not run" in line
        assert f"(SHA-256 {fingerprint(evil)})" in line
        assert f"if you trust it: {shlex.join(['convsmith', *words])} {TRUST}" in line
        assert line.count("\n") == 1
        assert not planted.marker.exists()


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("bundle", "changed"))])
def test_what_states_no_hash_or_a_librarys_file_is_refused_even_with_consent(
    name: str, planted: Planted, command
) -> None:
    image = planted.folder / "image.png"
    answer = command("predict", planted.subjects[name], image, TRUST)
    assert (answer.code in (1, 2), answer.out) == (True, ""), answer.err
    assert answer.err.count("\n") == 1
    if name.startswith("bundle"):
        texts = (
            "the code that a bundle names is never run",
            "unknown argument of a module",
            "expected torchvision:NAME or file",
        )
        assert any(text in answer.err for text in texts)
    else:
        texts = {
            "library": "unknown argument of a module 'cmd'",
            "library unstated": "without a valid SHA-256 (None)",
            "unstated": "without a valid SHA-256 (None)",
            "short": "without a valid SHA-256 ('",
            "torchvision": "unknown argument of a module 'weights'",
        }
        assert texts[name.removeprefix("changed run: ")] in answer.err
    assert not planted.marker.exists()


@pytest.fixture
def harmless(planted: Planted) -> Iterator[Path]:
    """The stranger's file, which a test lets run; its mark is taken away again."""
    yield planted.code["run of a module"]
    planted.marker.unlink(missing_ok=True)


def test_with_consent_it_runs(harmless: Path, planted: Planted, command, tmp_path: Path) -> None:
    run, image = planted.subjects["run of a module"], planted.folder / "image.png"
    answer = command("predict", run, image, TRUST)
    assert answer.code == 0, answer.err
    assert answer.err == f"runs {harmless}:make (SHA-256 {fingerprint(harmless)}), as {TRUST} says\n"
    assert planted.marker.exists()
    again = shutil.copy(harmless, tmp_path / "own.py")
    assert command("predict", run, image, TRUST, f"{again}:make").out == answer.out
    assert command("predict", f"{TRUST}={again}:make", run, image).out == answer.out
    other = tmp_path / "other.py"
    other.write_text(harmless.read_text() + "\n")
    for value in (f"{other}:make", f"{again}:tree", f"{tmp_path / 'none.py'}:make", ""):
        refused = command("predict", run, image, f"{TRUST}={value}")
        assert (refused.code, refused.out) == (2, ""), value
    assert command("predict", run, image).code == 2, "consent ends with its command"


def test_consent_is_for_what_the_command_names(harmless: Path, planted: Planted, command) -> None:
    """A recipe that starts from a run of somebody else does not bring that run's code along."""
    for name in ("recipe: weights", "recipe: run"):
        answer = command("train", planted.subjects[name], "--dry-run", TRUST)
        assert answer.code == 2
        assert answer.err.rstrip().endswith(f"{TRUST} {TRUST} {harmless}:make")
        assert not planted.marker.exists()
    answer = command("train", planted.subjects["recipe: weights"], "--dry-run", f"{TRUST}={harmless}:make")
    assert "is not run without" not in answer.err
    for name in ("recipe: network", "recipe: task", "run of a tree by a file"):
        planted.marker.unlink(missing_ok=True)
        answer = command("train", planted.subjects[name], "--dry-run", TRUST)
        assert answer.code == 0, answer.err
        assert planted.marker.exists()


def test_a_refusal_names_all_that_consent_would_run(planted: Planted, command, tmp_path: Path) -> None:
    second = tmp_path / "second.py"
    second.write_text("def make(classes): pass\n")
    run, recipe = planted.subjects["run of a module"], tmp_path / "recipe.json"
    data = json.loads((run / "recipe.json").read_text())["recipe"] | {"task": f"{second}:make"}
    recipe.write_text(json.dumps(data))
    answer = command("train", recipe, "--dry-run")
    assert f"That would also run {second}:make (SHA-256 {fingerprint(second)})" in answer.err


def test_a_compiled_file_beside_it_is_not_taken(tmp_path: Path, command, shared_pictures: Path) -> None:
    """Python's loader would take it by time and size, and the hash is that of the source."""
    source, marker = tmp_path / "mine.py", tmp_path / MARKER
    text = (
        "from torch import nn\n\ndef make(classes, channels, size):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, classes))\n"
    )
    planted = f"open({str(marker)!r}, 'w').close()\n{text}"
    source.write_text(planted)
    compiled = Path(py_compile.compile(str(source), doraise=True) or "")
    stamp = source.stat()
    source.write_text(text + "#" * (len(planted) - len(text)))
    os.utime(source, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert source.stat().st_size == stamp.st_size
    assert compiled.exists()
    assert command("train", f"{source}:make", "--data", shared_pictures, "--dry-run").code == 0
    assert not marker.exists()


def test_python_calls_ask_too(harmless: Path, planted: Planted) -> None:
    run, image = planted.subjects["run of a module"], planted.folder / "image.png"
    with pytest.raises(NotTrusted, match=rf"{harmless}:make makes a network.* trust_code=True$"):
        cs.load(run).predict(image)
    with pytest.raises(NotTrusted):
        cs.finetune(run, data="digits", mode="probe", quiet=True)
    with pytest.raises(NotTrusted):
        cs.train(str(planted.subjects["recipe: network"]), quiet=True)
    with pytest.raises(NotTrusted):
        cs.resume(planted.subjects["run of a task"], quiet=True)
    assert not planted.marker.exists()
    before = dict(user_code._given.files)
    try:
        assert cs.load(run, trust_code=True).predict(image)[0].top
    finally:
        user_code._given.files.clear()
        user_code._given.files.update(before)


def test_ones_own_file_asks_nothing_in_the_command_that_names_it(here: Path, command) -> None:
    """Training, its evaluation at the end, repetitions that go on, and an interrupted run of the same command."""
    (here / "mine.py").write_text(EVIL.format(marker=str(here / MARKER)))
    words = ["mine.py:make", "--data", "digits", "--quick", "--quiet", "--augment", "", "--task", "mine.py:task"]
    for _ in range(2):
        answer = command("train", *words, "--repeat", "2", "--out", "set")
        assert answer.code == 0, answer.err
    answer = command("show", "mine.py:make")
    assert answer.code == 0, answer.err


def test_the_verbs_with_the_option_say_so_in_their_help(command, capfd: pytest.CaptureFixture[str]) -> None:
    for verb in TRUSTING:
        with pytest.raises(SystemExit):
            command(verb, "--help")
        assert f"{TRUST} [FILE.py:FUNCTION]" in capfd.readouterr().out
    assert set(TRUSTING) <= set(VERBS)
    assert "unknown option --trust-code" in command("doctor", TRUST).err
