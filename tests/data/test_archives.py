"""Archives: unpacked once, whole or not at all; what leads outside, grows without end or is not a file is refused."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from convsmith.base.errors import BadFile
from convsmith.data.sources import archives
from convsmith.data.sources.archives import clear_unpacked, list_unpacked, unpacked, unpacked_folder
from convsmith.data.sources.opening import describe, open_path

Writer = Callable[..., Path]
FILE = b"x" * 100


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that lies alone, so that what is left in it can be seen."""
    monkeypatch.setenv("CONVSMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def packed(path: Path, *members: tuple[str | zipfile.ZipInfo | tarfile.TarInfo, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members:
                assert not isinstance(name, tarfile.TarInfo)
                file.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(str(name))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def odd(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "bztar", "xztar"])
def test_an_archive_is_the_folder_in_it(tmp_path: Path, class_folders: Writer, kind: str) -> None:
    root = class_folders(tmp_path / "in" / "photos", {"cat": 3, "dog": 3})
    (root / "cat" / ".DS_Store").write_bytes(b"x")
    class_folders(tmp_path / "in" / "__MACOSX", {"cat": 1})
    path = Path(shutil.make_archive(str(tmp_path / "my photos"), kind, tmp_path / "in"))
    source, plain = open_path(path), open_path(root)
    assert (source.card.name, source.card.classes) == ("my photos", ("cat", "dog"))
    assert source.card.fingerprint == plain.card.fingerprint
    assert describe(source.card).startswith("photos/, the only folder of images in it: 2 classes (cat, dog), 6 images")
    goal = next(unpacked_folder().iterdir())
    line = f"{path.name} is unpacked into the cache (`convsmith data cache` lists it): unpacked/{goal.name}"
    assert source.card.notes[0].startswith(f"{line}: 6 files, ")
    before = {file: file.stat().st_ino for file in goal.rglob("*")}
    assert open_path(path).card.notes[0] == line
    assert {file: file.stat().st_ino for file in goal.rglob("*")} == before
    assert [name for name, _ in list_unpacked()] == [goal.name]
    held = sum(file.stat().st_size for file in goal.rglob("*") if file.is_file())
    assert clear_unpacked() == (held, [])
    assert held > sum(file.stat().st_size for file in root.rglob("*.png"))
    assert open_path(path).card.fingerprint == plain.card.fingerprint


def test_an_archive_that_another_process_reads_is_not_cleared(tmp_path: Path) -> None:
    path = packed(tmp_path / "z.zip", ("a/0.png", FILE), ("b/1.png", FILE))
    code = (
        "import sys; from pathlib import Path; from convsmith.data.sources.archives import unpacked\n"
        "print(unpacked(Path(sys.argv[1]))[0], flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        goal = Path(reader.stdout.readline().strip())
        assert clear_unpacked() == (0, [goal.name])
        assert (goal / "a" / "0.png").read_bytes() == FILE
        reader.communicate("")
    freed, used = clear_unpacked()
    assert freed > 2 * len(FILE)
    assert used == []
    assert not goal.exists()


def _two_lost(goal: Path) -> None:
    for name in ("a/0.png", "a/1.png"):
        (goal / name).unlink()


def _one_shorter_and_one_lost(goal: Path) -> None:
    (goal / "a" / "0.png").write_bytes(b"x")
    (goal / "b" / "2.png").unlink()


def _touched(goal: Path) -> None:
    (goal / "b" / "2.png").write_bytes(FILE[::-1])
    os.utime(goal / "b" / "2.png", ns=(1, 1))


def _linked(goal: Path) -> None:
    (goal / "a" / "0.png").unlink()
    (goal / "a" / "0.png").symlink_to("1.png")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (_two_lost, "files lost: 2, first a/0.png"),
        (lambda goal: shutil.rmtree(goal / "b"), "files lost: 3, first b/0.png"),
        (_one_shorter_and_one_lost, "files lost: 1, first b/2.png; changed: 1, first a/0.png"),
        (_touched, "files changed: 1, first b/2.png"),
        (_linked, "files changed: 1, first a/0.png"),
        (lambda goal: (goal / "a" / "9.png").write_bytes(FILE), "files changed: 1, first a/9.png"),
        (lambda goal: (goal / ".unpacked.json").unlink(), "the list of its files was lost"),
        (lambda goal: (goal / ".unpacked.json").write_text("[]"), "the list of its files was lost"),
        (lambda goal: (shutil.rmtree(goal), goal.write_bytes(b"")), "the list of its files was lost"),
    ],
)
def test_files_lost_or_changed_in_the_cache_are_unpacked_again(
    tmp_path: Path, harm: Callable[[Path], object], says: str
) -> None:
    path = packed(tmp_path / "z.zip", *((f"{name}/{i}.png", FILE) for name in "ab" for i in range(3)))
    goal, _ = unpacked(path)
    harm(goal)
    again, line = unpacked(path)
    assert again == goal
    assert line.endswith(f"unpacked/{goal.name}; again, as it had changed ({says}): 6 files, 600 B")
    files = {file.relative_to(goal).as_posix(): file.read_bytes() for file in goal.rglob("*.png")}
    assert files == {f"{name}/{i}.png": FILE for name in "ab" for i in range(3)}
    assert unpacked(path)[1].endswith(f"unpacked/{goal.name}")


def test_an_archive_without_classes_is_named_and_not_its_place_in_the_cache(tmp_path: Path) -> None:
    path = packed(tmp_path / "flat.zip", *((f"{i}.png", FILE) for i in range(2)))
    with pytest.raises(BadFile, match="2 images in the folder itself") as caught:
        open_path(path)
    assert str(caught.value).startswith(f"{path}: no data set recognized: ")


def test_a_changed_folder_is_not_believed_if_its_archive_is_damaged(tmp_path: Path) -> None:
    path = packed(tmp_path / "z.zip", ("a/0.png", os.urandom(200_000)), ("a/1.png", FILE))
    goal, _ = unpacked(path)
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(100_000)
        file.write(b"damaged")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert unpacked(path)[0] == goal
    (goal / "a" / "1.png").unlink()
    for _ in range(2):
        with pytest.raises(BadFile, match="damaged"):
            unpacked(path)


def test_another_archive_of_the_name_is_unpacked_anew(tmp_path: Path, class_folders: Writer) -> None:
    path = tmp_path / "a.zip"
    for count in (2, 3):
        class_folders(tmp_path / str(count), {"x": count, "y": count})
        made = shutil.make_archive(str(tmp_path / f"made{count}"), "zip", tmp_path / str(count))
        shutil.move(made, path)
        assert open_path(path).card.counts == {"train": 2 * count}


@pytest.mark.parametrize("ending", [".zip", ".tgz"])
@pytest.mark.parametrize(
    "name", ["../x.png", "a/../../x.png", "/tmp/x.png", "..\\x.png", "C:\\x.png", "a/" * 600 + "x.png"]
)
def test_what_leads_outside_is_refused(tmp_path: Path, ending: str, name: str, cache: Path) -> None:
    path = packed(tmp_path / f"a{ending}", ("a/first.png", FILE), (name, FILE))
    before = {file for file in tmp_path.rglob("*") if cache not in file.parents}
    with pytest.raises(BadFile, match=r"leads outside the archive|is longer than a path can be"):
        unpacked(path)
    assert {file for file in tmp_path.rglob("*") if cache not in file.parents} - {cache} == before
    assert list(unpacked_folder().iterdir()) == []


@pytest.mark.parametrize(
    "info",
    [
        odd("a/x.png", tarfile.SYMTYPE, "/etc/passwd"),
        odd("a/x.png", tarfile.LNKTYPE, "/etc/passwd"),
        odd("a/x.png", tarfile.FIFOTYPE),
        odd("a/x.png", tarfile.CHRTYPE),
        odd("a/x.png", tarfile.BLKTYPE),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, info: tarfile.TarInfo) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(info)
    with pytest.raises(BadFile, match=r"'a/x.png' is a link or a device, which is not unpacked"):
        unpacked(path)
    link = zipfile.ZipInfo("a/x.png")
    link.external_attr = 0o120777 << 16
    with pytest.raises(BadFile, match=r"'a/x.png' is a link or a device, which is not unpacked"):
        unpacked(packed(tmp_path / "a.zip", (link, b"/etc/passwd")))
    assert list(unpacked_folder().iterdir()) == []


@pytest.mark.parametrize("ending", [".zip", ".tgz"])
@pytest.mark.parametrize("name", ["a/{}.png", "__MACOSX/{}.png"])
def test_what_grows_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, name: str
) -> None:
    monkeypatch.setattr(archives, "HARMLESS_BYTES", 1_000_000)
    path = packed(tmp_path / f"a{ending}", *((name.format(i), bytes(600_000)) for i in range(2)))
    assert path.stat().st_size < 5000
    with pytest.raises(BadFile, match=r"would grow to more than 976.6 KiB, 200 times its size: a bomb, by the look"):
        unpacked(path)
    assert list(unpacked_folder().iterdir()) == []


def test_too_many_files_and_too_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "a.zip", ("1.png", FILE), ("2.png", FILE))
    monkeypatch.setattr(archives, "MOST_FILES", 1)
    with pytest.raises(BadFile, match="holds more than 1 files"):
        unpacked(path)
    monkeypatch.setattr(archives, "RESERVE_BYTES", 1 << 60)
    with pytest.raises(BadFile, match=r"needs .* in .*unpacked, where 0 B may be taken; name a larger disk"):
        unpacked(path)


def test_a_tar_with_an_endless_header_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 8 << 30
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(BadFile, match=r"a header of 8,589,934,592 bytes"):
        unpacked(tmp_path / "a.tar")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.7z", r"\.7z are not unpacked here; unpack it \(7z x a\.7z\), name the folder"),
        ("a.rar", "unrar x a.rar"),
        ("a.tar.zst", "tar --zstd -xf a.tar.zst"),
        ("a.zip", "damaged or of an unknown kind"),
        ("a.tar.gz", "damaged or of an unknown kind"),
    ],
)
def test_what_cannot_be_unpacked_says_how(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / name).write_bytes(b"not an archive")
    with pytest.raises(BadFile, match=says):
        open_path(tmp_path / name)


def test_damaged_and_empty_archives_leave_nothing(tmp_path: Path) -> None:
    whole = packed(tmp_path / "whole.tgz", *((f"a/{i}.png", os.urandom(1000)) for i in range(9))).read_bytes()
    (tmp_path / "cut.tgz").write_bytes(whole[: len(whole) // 2])
    damaged = bytearray(packed(tmp_path / "whole.zip", ("a/1.png", os.urandom(2000))).read_bytes())
    damaged[500] ^= 255
    (tmp_path / "bad.zip").write_bytes(bytes(damaged))
    for name, says in (("cut.tgz", "damaged"), ("bad.zip", "Bad CRC-32"), ("none.zip", "holds no files")):
        if name == "none.zip":
            packed(tmp_path / name)
        with pytest.raises(BadFile, match=says):
            unpacked(tmp_path / name)
    twice = tmp_path / "twice.tgz"
    with pytest.raises(BadFile, match=r"'a/1.png' is in it twice"):
        unpacked(packed(twice, ("a/1.png", FILE), ("a/1.png", FILE)))
    assert list(unpacked_folder().iterdir()) == []


def test_names_in_utf8_that_do_not_say_so() -> None:
    info = zipfile.ZipInfo("Café/1.png".encode().decode("cp437"))
    assert archives._zip_name(info) == "Café/1.png"
    assert archives._zip_name(zipfile.ZipInfo("Café/1.png")) == "Café/1.png"
