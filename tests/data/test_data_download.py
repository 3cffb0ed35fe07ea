"""Downloads from a server on this machine: checked, cached, and unpacked without trusting the archive."""

import functools
import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from convsmith.base.errors import BadFile
from convsmith.data.options import DataOptions
from convsmith.data.sources import download as downloads
from convsmith.data.sources.download import Download, unpack
from convsmith.data.sources.opening import open_source

Writer = Callable[..., Path]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    served = tmp_path / "served"
    served.mkdir()
    monkeypatch.setenv("CONVSMITH_CACHE", str(tmp_path / "cache"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    handler = functools.partial(_Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield served, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def _rows(served: Path, url: str, *first: str) -> tuple[Download, ...]:
    return tuple(
        Download(file.name, hashlib.sha256(file.read_bytes()).hexdigest(), (*first, url + file.name))
        for file in sorted(served.iterdir())
    )


def test_a_known_set_is_fetched_once(
    server: tuple[Path, str], idx_folder: Writer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served, url = server
    idx_folder(served, ".gz")
    # The first address is dead; the second has the file.
    monkeypatch.setitem(downloads.DOWNLOADS, "mnist", _rows(served, url, url + "gone/"))
    source = open_source(DataOptions(source="mnist"))
    assert source.card.name == "mnist"
    assert source.card.license == "CC BY-SA 3.0"
    assert source.card.counts == {"train": 40, "test": 20}
    for file in list(served.iterdir()):
        file.unlink()
    assert open_source(DataOptions(source="mnist")).card == source.card
    assert len(list((tmp_path / "cache" / "data" / "mnist").iterdir())) == 4


def test_a_wrong_sum_is_refused(server: tuple[Path, str], idx_folder: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    served, url = server
    idx_folder(served, ".gz")
    rows = tuple(Download(row.file, "0" * 64, row.urls) for row in _rows(served, url))
    monkeypatch.setitem(downloads.DOWNLOADS, "mnist", rows)
    with pytest.raises(
        BadFile, match=r"could not be downloaded from http://127\.0\.0\.1.*hash.*put it there"
    ) as caught:
        open_source(DataOptions(source="mnist"))
    assert not Path(caught.value.path).exists()


def test_cifar_is_unpacked(
    server: tuple[Path, str], write_cifar: Writer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served, url = server
    folder = write_cifar(tmp_path / "cifar-10-batches-bin")
    with tarfile.open(served / "cifar-10-binary.tar.gz", "w:gz") as tar:
        tar.add(folder, "cifar-10-batches-bin")
    monkeypatch.setitem(downloads.DOWNLOADS, "cifar10", _rows(served, url))
    source = open_source(DataOptions(source="cifar10"))
    assert source.card.counts == {"train": 50, "test": 10}
    assert source.card.name == "cifar10"


def _tar(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("top/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return path


def test_only_expected_members_leave_an_archive(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    archive = _tar(tmp_path / "a.tar.gz", ("top/a.bin", b"abc"), ("../evil", b"x"), ("top/b.bin", b"x"))
    unpack(archive, out, {"top/a.bin": 3})
    assert [file.name for file in out.iterdir()] == ["a.bin"]
    assert (out / "a.bin").read_bytes() == b"abc"
    assert not (tmp_path / "evil").exists()
    with pytest.raises(BadFile, match=r"top/a.bin has 3 bytes; expected at most 2"):
        unpack(archive, out, {"top/a.bin": 2})
    with pytest.raises(BadFile, match="expected it to hold top/link, top/none"):
        unpack(archive, out, {"top/link": 9, "top/none": 9})
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(BadFile, match="the archive is damaged"):
        unpack(archive, out, {"top/none": 9})


def test_every_row_has_a_sum() -> None:
    rows = [row for rows in downloads.DOWNLOADS.values() for row in rows]
    assert {len(row.sha256) for row in rows} == {64}
    assert len({row.sha256 for row in rows}) == len(rows) == 10
