"""Named tables, and the time that a call takes."""

import pytest

from convsmith.base.errors import UnknownName
from convsmith.base.table import Table

ROWS = {"resnet50": 1, "resnet18": 2, "vgg16": 3}


def test_a_table_is_a_mapping_in_its_own_order():
    table = Table("network", ROWS)
    assert dict(table) == ROWS
    assert list(table) == list(ROWS)
    assert len(table) == 3
    assert "vgg16" in table
    assert 3 not in table
    assert table.get("vgg17") is None


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match=r"^unknown network 'vgg17'; nearest: vgg16$"):
        Table("network", ROWS)["vgg17"]


def test_a_table_does_not_follow_its_source():
    rows = dict(ROWS)
    table = Table("network", rows)
    rows["new"] = 4
    assert "new" not in table
    with pytest.raises(TypeError):
        table["new"] = 4


@pytest.mark.parametrize(
    ("pattern", "names"), [("resnet*", ["resnet50", "resnet18"]), ("*", list(ROWS)), ("VGG*", []), ("vgg1?", ["vgg16"])]
)
def test_names_by_pattern(pattern, names):
    assert Table("network", ROWS).matching(pattern) == names
