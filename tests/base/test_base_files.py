"""Files that are whole or absent."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from convsmith.base import files
from convsmith.base.errors import BadFile
from convsmith.base.files import cache_folder, read_json, sha256, write_bytes, write_json, write_text


def test_writing_and_reading(tmp_path):
    write_bytes(tmp_path / "b", b"\x00\xff")
    write_text(tmp_path / "t", "chièn\n")
    write_json(tmp_path / "j", {"a": [1, 2.5, None, "é"]})
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"
    assert (tmp_path / "t").read_bytes() == "chièn\n".encode()
    assert read_json(tmp_path / "j") == {"a": [1, 2.5, None, "é"]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "j", "t"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_content_and_nothing_else(step, tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_text(path, "old")

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(files.os, step, fail)
        with pytest.raises(OSError, match=r"disk full"):
            write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_synced_before_the_name_and_the_folder_after(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        files.os,
        "fsync",
        lambda d: (done.append("folder" if os.path.isdir(f"/proc/self/fd/{d}") else "file"), fsync(d)),
    )
    monkeypatch.setattr(files.os, "replace", lambda a, b: (done.append("rename"), replace(a, b)))
    write_text(tmp_path / "file", "text")
    assert done == ["file", "rename", "folder"]


@pytest.mark.parametrize("data", [float("nan"), {"a": float("inf")}])
def test_what_is_not_json_is_not_written(data, tmp_path):
    with pytest.raises(ValueError, match=r"not JSON compliant"):
        write_json(tmp_path / "j", data)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1', b"\xff\xfe", b"[" * 200_000, b"{'a': 1}"])
def test_a_file_that_is_no_json_is_named(content, tmp_path):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(BadFile) as error:
        read_json(path)
    assert str(error.value).startswith(f"{path}: expected JSON, could not read it (")
    assert error.value.path == str(path)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")


def test_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc" * 100_000)
    assert sha256(tmp_path / "f") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_the_cache_is_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("CONVSMITH_CACHE", "~/elsewhere")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path.home() / "elsewhere"
    monkeypatch.delenv("CONVSMITH_CACHE")
    assert cache_folder() == Path("/xdg/convsmith")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == Path.home() / ".cache" / "convsmith"


def test_written_json_is_indented_for_people(tmp_path):
    write_json(tmp_path / "j", {"a": 1})
    text = (tmp_path / "j").read_text()
    assert text == '{\n "a": 1\n}\n'
    assert json.loads(text) == {"a": 1}


def test_only_a_regular_file_is_read_as_json(tmp_path):
    """Reading a named pipe would wait for a writer without end."""
    path = tmp_path / "pipe.json"
    os.mkfifo(path)
    with pytest.raises(
        BadFile, match=r"pipe.json: could not be read \(it is not a regular file\); expected a JSON file"
    ):
        read_json(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(BadFile, match=r"pipe.json: could not be read \(Is a directory\)"):
        read_json(path)
