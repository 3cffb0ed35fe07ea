"""TensorBoard beside the log: the same numbers, once each, and never a reason to stop."""

import sys
from importlib.machinery import ModuleSpec

import pytest

from convsmith.base.durations import Duration
from convsmith.base.errors import UsageError
from convsmith.recipes.choose import choose
from convsmith.runs.directory import open_run
from convsmith.training import fit as fitting
from convsmith.training import track
from convsmith.training.interrupt import Interrupted
from convsmith.work.run import resume, train

NUMBERS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "epoch")


@pytest.fixture
def recipe(shared_pictures, trees, given):
    base = choose(given(f"{trees}:resnet8"), str(shared_pictures)).edit(
        batch=8, engine__threads=1, engine__precision="fp32"
    )
    return base.edit(length="2ep", data__workers=0, augment="flip", track="tensorboard", schedule__kind="constant")


def read(folder):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return found


def check_curves(run):
    """Each number of each line of the log is there, once."""
    found, rows = read(run), open_run(run).metrics()
    for name in NUMBERS:
        scalars = [(s.step, s.value) for s in found.Scalars(name)]
        assert scalars == [(row["step"], pytest.approx(row[name], rel=1e-6)) for row in rows], name


def test_the_board_mirrors_the_log(recipe, tmp_path):
    pytest.importorskip("tensorboard")
    tracked = train(recipe, out=tmp_path / "run", quiet=True).result
    plain = train(recipe.edit(track="none"), out=tmp_path / "plain", quiet=True).result
    assert tracked["metrics"] == plain["metrics"]
    assert not (tmp_path / "plain" / "tensorboard").exists()
    check_curves(tmp_path / "run")
    found = read(tmp_path / "run")
    image = found.Images("first images")[0]
    assert (image.width, image.height) == (4 * 14 + 2, 2 * 14 + 2)  # eight images of 12 pixels, four in a row
    assert image.encoded_image_string.startswith(b"\x89PNG")
    text = found.Tensors("recipe/text_summary")[0].tensor_proto.string_val[0].decode()
    assert '"track": "tensorboard"' in text


def test_curves_do_not_double_after_a_resume(recipe, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    recipe = recipe.edit(length="4ep", checkpoint_every="2ep")
    append = fitting._finish_epoch

    def killed(job, state, *rest):
        found = append(job, state, *rest)
        if state.step == 18:  # after the line of epoch 3, before a checkpoint of it
            raise Interrupted("killed")
        return found

    monkeypatch.setattr(fitting, "_finish_epoch", killed)
    with pytest.raises(Interrupted):
        train(recipe.edit(select="last"), out=tmp_path / "run", quiet=True)
    monkeypatch.undo()
    resume(tmp_path / "run", quiet=True)
    resume(tmp_path / "run", length=Duration(5, "ep"), quiet=True)
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 3
    assert len(open_run(tmp_path / "run").metrics()) == 5
    check_curves(tmp_path / "run")
    assert len(read(tmp_path / "run").Images("first images")) == 1


def test_a_failure_is_one_warning_and_the_run_goes_on(recipe, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    from convsmith.training import tensorboard

    def full(board, row):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensorboard.Board, "row", full)
    said: list[str] = []
    result = train(recipe, out=tmp_path / "run", quiet=True, say=said.append).result
    assert result["epochs"] == 2
    warning = "tensorboard gets nothing more (OSError: [Errno 28] No space left on device); the run goes on"
    assert [text for text in said if text.startswith("warning")] == [f"warning: {warning}, all is in metrics.jsonl"]
    assert (tmp_path / "run" / "log.txt").read_text().count(warning) == 1
    assert len(open_run(tmp_path / "run").metrics()) == 2


def test_a_missing_library_is_said_before_training_and_only_warned_of_on_resume(recipe, tmp_path, monkeypatch):
    def nowhere(name: str) -> ModuleSpec | None:
        return None

    train(recipe.edit(length="1ep"), out=tmp_path / "run", quiet=True)
    monkeypatch.setattr(track, "find_spec", nowhere)
    message = r"track tensorboard: this needs tensorboard, which is not installed; mend with: pip install -e '\.\["
    with pytest.raises(UsageError, match=message):
        train(recipe, out=tmp_path / "other", quiet=True)
    assert not (tmp_path / "other").exists()
    monkeypatch.setitem(sys.modules, "convsmith.training.tensorboard", None)
    said: list[str] = []
    resume(tmp_path / "run", length=Duration(2, "ep"), quiet=True, say=said.append)
    assert sum("tensorboard gets nothing more (ModuleNotFoundError" in text for text in said) == 1


def test_by_the_command(refused, monkeypatch, here):
    monkeypatch.setattr(track, "find_spec", lambda name: None)
    words = ["train", "digits", "--quick", "--quiet", "--track"]
    assert "pip install -e '.[tensorboard]'" in refused(*words, "tensorboard")
    assert refused(*words, "wandb").startswith("unknown value for track: 'wandb'; known: tensorboard")
