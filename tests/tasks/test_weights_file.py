"""What each class counts, read from a file, and where it enters a run."""

import pytest

from convsmith.base.errors import BadFile, MissingPath, UsageError
from convsmith.tasks.options import Loss
from convsmith.tasks.weights_file import read_class_weights
from convsmith.work.task_choice import weights_of


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w.json", '{"owl": 4, "cat": 0.5}'),
        ("w.csv", "class,weight\ncat,0.5\nowl,4\n"),
        ("w.csv", '\ufeffClass, Weight\r\n"owl",4\r\n\r\ncat,5e-1\r\n'),
    ],
)
def test_weights_by_the_classes_names(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert read_class_weights(path, ("cat", "owl")) == (0.5, 4.0)
    assert weights_of(Loss(class_weights=str(path)), ("owl", "cat"), (1, 1)) == (4.0, 0.5)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("w.json", '{"cat": 1}', "expected a weight for every class, found none for owl"),
        ("w.json", '{"cat": 1, "owl": 1, "owll": 1}', "names 'owll', which is not a class of the data; nearest: owl"),
        ("w.json", '{"cat": 1, "owl": -1}', "owl: expected a weight from 0 to 1,000,000, received -1"),
        ("w.json", '{"cat": 1, "owl": true}', "owl: expected a weight"),
        ("w.json", '{"cat": 1, "owl": NaN}', "owl: expected a weight"),
        ("w.json", '{"cat": 0, "owl": 0}', "every weight is 0"),
        ("w.json", "[1, 2]", "expected an object such as"),
        ("w.json", "{", "expected JSON"),
        ("w.csv", "class,weight\ncat,1\nowl,many\n", "owl: expected a weight from 0 to 1,000,000, received 'many'"),
        ("w.csv", "class,weight\ncat,1\ncat,2\n", "each class once, found 'cat,2'"),
        ("w.csv", "name,weight\ncat,1\n", "expected the header class,weight, found name,weight"),
        ("w.csv", "", "expected the header class,weight, found nothing"),
    ],
)
def test_what_is_refused(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadFile, match=says):
        read_class_weights(tmp_path / name, ("cat", "owl"))


def test_no_such_file(tmp_path):
    with pytest.raises(MissingPath, match=r"loss.class_weights: no such file: .*w\.json"):
        read_class_weights(tmp_path / "w.json", ("cat", "owl"))


def test_what_is_no_file_is_no_rule_either():
    with pytest.raises(
        UsageError, match=r"expected balanced or effective, or a file \.csv or \.json, received 'balancd'"
    ):
        Loss(class_weights="balancd")
