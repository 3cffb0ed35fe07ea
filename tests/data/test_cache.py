"""The cache of decoded images: the same pixels as without it, whatever happens to its files."""

import gc
import multiprocessing
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convsmith.base.errors import BadFile
from convsmith.base.processes import WHOLE, Part
from convsmith.cli import main
from convsmith.data import cache as cache_module
from convsmith.data import loaders
from convsmith.data import slots as slots_module
from convsmith.data.cache import cache_note, crops_from_margin, open_cache
from convsmith.data.dataset import Dataset, open_data
from convsmith.data.decoding import decode_stack, find_bad
from convsmith.data.kept import Kept
from convsmith.data.loaders import Batch, evaluation_loader, training_loader
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import ImageInput
from convsmith.data.slots import Slots, clear_stored, decoded_folder, list_stored, stride


@pytest.fixture(autouse=True)
def kept_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and room for it."""
    monkeypatch.setenv("CONVSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(slots_module, "RESERVE_BYTES", 0)
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def photos(tmp_path: Path, class_folders: Callable[..., Path]) -> Dataset:
    """40 images of two sizes, 32 of them to train on, scaled to 18 and cropped to 16."""
    root = class_folders(tmp_path / "photos", {"a": 20, "b": 20}, size=(20, 25))
    class_folders(root, {"a": 1}, size=(30, 18))
    return open_data(options(root, cache="off"))


def options(root: Path, **more: object) -> DataOptions:
    return DataOptions(source=str(root), **({"size": 16, "cache": "on"} | more))  # type: ignore[arg-type]


def plain(data: Dataset, margin: bool = False) -> np.ndarray:
    return decode_stack(data.train, range(len(data.train)), data.preprocess, 1, margin)


def the_file(cache: Kept | None) -> Slots:
    """The only file of the cache."""
    assert cache is not None
    (slots,) = cache.files.values()
    return slots


def through(data: Dataset, margin: bool = False) -> tuple[Slots, np.ndarray]:
    cache, problem = open_cache(data.train, data.preprocess, margin, "on")
    assert cache is not None, problem
    return the_file(cache), decode_stack(data.train, range(len(data.train)), data.preprocess, 2, margin, cache)


def numbers(data: Dataset) -> list[int]:
    return [slot.number for i in range(len(data.train)) if (slot := data.train.images.slot(i))]


def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("an image was decoded that is kept")

    monkeypatch.setattr("convsmith.data.decoding.decode_one", refuse)


@pytest.mark.parametrize("margin", [False, True])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [16, 14])
def test_pixels_are_those_of_the_uncached_path(
    photos: Dataset, margin: bool, interpolation: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = replace(photos.preprocess, interpolation=interpolation, size=(size, size))  # type: ignore[arg-type]
    data = replace(photos, preprocess=record)
    assert crops_from_margin(record) == (size == 14), "18 - 14 is a multiple of 4"
    expected = plain(data, margin)
    cache, first = through(data, margin)
    np.testing.assert_array_equal(first, expected)
    assert cache.missing(numbers(data)) == 0
    no_decoding(monkeypatch)
    np.testing.assert_array_equal(through(data, margin)[1], expected)


def test_the_middle_of_the_margin_is_the_crop_where_it_says_so() -> None:
    for have in range(18, 60):
        for resize, side in ((18, 14), (256, 224), (16, 16)):
            straight = round((have + resize - side) / 2)
            assert straight == round(have / 2) + (resize - side) // 2
    record = ImageInput(size=(224, 224), resize=256, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert crops_from_margin(record)
    assert not crops_from_margin(replace(record, resize=257))
    assert not crops_from_margin(replace(record, resize=None))


def test_splits_of_another_seed_share_what_is_kept(photos: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    through(photos)
    other = open_data(options(Path(photos.train.name(0)).parents[1], split_seed=5), preprocess=photos.preprocess)
    assert len(list_stored()) == 1
    both = {photos.train.place(i) for i in range(32)} & {other.train.place(i) for i in range(32)}
    shared = other.train.subset([i for i in range(32) if other.train.place(i) in both])
    expected = decode_stack(shared, range(len(shared)), photos.preprocess, 1)
    cache, _ = open_cache(shared, photos.preprocess, False, "on")
    assert 20 < len(shared) < 32
    no_decoding(monkeypatch)
    np.testing.assert_array_equal(
        decode_stack(shared, range(len(shared)), photos.preprocess, 1, False, cache), expected
    )


def test_other_ways_of_decoding_have_other_files(photos: Dataset) -> None:
    record = photos.preprocess
    records = [record, replace(record, interpolation="bicubic"), replace(record, decoding="draft")]
    records += [replace(record, exif=False), replace(record, resize=20), replace(record, size=(12, 12))]
    paths = [the_file(open_cache(photos.train, each, False, "on")[0]).path for each in records]
    assert len(set(paths)) == len(records)
    # What is subtracted from the pixels afterwards does not matter.
    again, _ = open_cache(photos.train, replace(record, std=(1.0,) * 3), False, "on")
    assert the_file(again).path == paths[0]


@pytest.mark.parametrize("damage", ["truncated", "header", "empty", "longer"])
def test_a_damaged_file_is_made_again(photos: Dataset, damage: str) -> None:
    cache, expected = through(photos)
    path = cache.path
    del cache
    content = path.read_bytes()
    changed = {
        "truncated": content[:-200], "header": b"x" + content[1:], "empty": b"", "longer": content + b"more",
    }  # fmt: skip
    path.write_bytes(changed[damage])
    cache, found = through(photos)
    assert cache.damage() == f"{path} was damaged and is made again"
    assert cache.damage() == ""
    np.testing.assert_array_equal(found, expected)
    assert path.stat().st_size == len(content)
    assert cache.missing(numbers(photos)) == 0


def test_a_damaged_slot_is_decoded_again(photos: Dataset) -> None:
    cache, expected = through(photos)
    path, step = cache.path, stride(cache.shape)
    del cache
    content = bytearray(path.read_bytes())
    content[4096 + numbers(photos)[3] * step + 500] ^= 1
    content[4096 + numbers(photos)[7] * step + 6] ^= 1  # the checksum itself
    content[4096 + numbers(photos)[9] * step] ^= 1  # the mark
    content[4096 + numbers(photos)[11] * step + 8] ^= 1  # the size of the image's file
    path.write_bytes(content)
    cache, found = through(photos)
    np.testing.assert_array_equal(found, expected)
    assert path.read_bytes() != bytes(content), "put right"
    assert cache.damage() == f"{path}: 4 of its 40 slots were damaged and are filled again"
    assert cache.damage() == ""


def test_damage_is_said_before_training(photos: Dataset) -> None:
    cache, _ = through(photos, True)
    path = cache.path
    del cache
    path.write_bytes(b"")
    note = cache_note(photos.train, photos.preprocess, "on")
    assert note.startswith(f"decoded images: {path} was damaged and is made again; 32 decoded images will be kept in ")


def _put_fifo(path: Path) -> None:
    os.mkfifo(path)


def _put_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _put_link_to_nothing(path: Path) -> None:
    path.symlink_to("gone")


def _put_link_to_a_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("fifo"))
    path.symlink_to("fifo")


@pytest.mark.parametrize("put", [_put_fifo, _put_socket, _put_link_to_nothing, _put_link_to_a_fifo])
def test_what_is_no_regular_file_is_never_opened(
    photos: Dataset, put: Callable[[Path], None], kept_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening a named pipe waits for a writer without end."""
    cache, expected = through(photos)
    path = cache.path
    del cache
    path.unlink()
    monkeypatch.chdir(kept_here)  # the path of a socket is short
    put(Path(path.name))
    put(Path("other.features")) if put is not _put_link_to_a_fifo else None
    assert list_stored() == []
    assert main(["data", "cache", "list"]) == 0
    cache, found = through(photos)
    np.testing.assert_array_equal(found, expected)
    assert cache.damage() == f"{path} was damaged and is made again"
    (kept_here / "folder.features").mkdir()
    assert [entry.path for entry in list_stored()] == [path]
    assert main(["data", "cache", "clear"]) == 0
    assert [left.name for left in kept_here.iterdir()] == ["folder.features"]


def test_a_file_cut_while_it_is_read_is_not_believed(photos: Dataset) -> None:
    cache, expected = through(photos)
    os.truncate(cache.path, 4096 + numbers(photos)[5] * stride(cache.shape) + 30)
    _, found = through(photos)
    np.testing.assert_array_equal(found, expected)


def test_a_changed_image_is_decoded_again(photos: Dataset) -> None:
    _, before = through(photos)
    path = Path(photos.train.name(4))
    Image.fromarray(np.full((20, 25, 3), 9, np.uint8)).save(path)
    _, after = through(photos)
    np.testing.assert_array_equal(after, plain(photos))
    assert (after[4] == 9).all()
    assert not np.array_equal(before[4], after[4])


def test_a_removed_image_is_missed(photos: Dataset) -> None:
    through(photos)
    path = Path(photos.train.name(4))
    path.unlink()
    with pytest.raises(BadFile, match=f"{path.name}: is not there any more"):
        through(photos)


def test_processes_fill_one_file_side_by_side(photos: Dataset) -> None:
    cache, _ = open_cache(photos.train, photos.preprocess, True, "on")
    assert cache is not None
    context = multiprocessing.get_context("spawn")
    other = context.Process(target=decode_stack, args=(photos.train, range(20), photos.preprocess, 1, True, cache))
    other.start()
    found = decode_stack(photos.train, range(12, 32), photos.preprocess, 1, True, cache)
    other.join(120)
    assert other.exitcode == 0
    assert cache.missing(photos.train.images) == 0
    np.testing.assert_array_equal(found, plain(photos, margin=True)[12:])
    out = np.empty(cache.shape, np.uint8)
    for i in range(32):
        assert cache.read(photos.train.images, i, out)
        np.testing.assert_array_equal(out, plain(photos, margin=True)[i])
        number, stamp = numbers(photos)[i], photos.train.images.stamp(i)
        assert the_file(cache).read(number, stamp, out)
        assert not the_file(cache).read(number, (stamp[0], stamp[1] + 1), out), "of a file that has changed"


def test_a_full_disk_stops_writing_and_nothing_else(photos: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, _ = open_cache(photos.train, photos.preprocess, False, "on")
    assert cache is not None

    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    found = decode_stack(photos.train, range(32), photos.preprocess, 1, False, cache)
    np.testing.assert_array_equal(found, plain(photos))
    assert cache.missing(photos.train.images) == 32


def test_the_reserve_of_the_disk_is_left(photos: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, _ = open_cache(photos.train, photos.preprocess, False, "on")
    monkeypatch.setattr(slots_module, "RESERVE_BYTES", 10**18)
    decode_stack(photos.train, range(32), photos.preprocess, 1, False, cache)
    assert cache is not None
    assert cache.missing(photos.train.images) == 32


def test_a_set_that_does_not_fit_is_streamed_and_says_what_it_needs(
    photos: Dataset, kept_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 40_000})
    monkeypatch.setattr(slots_module.shutil, "disk_usage", lambda folder: usage)
    cache, problem = open_cache(photos.train, photos.preprocess, True, "on")
    assert cache is None
    assert problem == (
        f"decoded images are not kept: they need 31.1 KiB and the cache in {kept_here} may take 19.5 KiB, half of what "
        "is free; name a larger disk with CONVSMITH_CACHE"
    )
    assert cache_note(photos.train, photos.preprocess, "on") == problem
    loader = training_loader(photos.train, photos.preprocess, DataOptions(cache="on"), batch=8, seed=0)
    assert len(list(loader.epoch(0))) == 4
    assert list_stored() == []


def room_for(more: int, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk on which the cache may hold `kept` and `more` bytes."""
    taken = sum(entry.bytes for entry in list_stored())
    usage = type("Usage", (), {"free": 2 * (more + kept.stat().st_blocks * 512) - taken})
    monkeypatch.setattr(slots_module.shutil, "disk_usage", lambda folder: usage)


def test_the_longest_unused_make_room(photos: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first = through(photos)[0].path
    record = replace(photos.preprocess, interpolation="bicubic")
    second = through(replace(photos, preprocess=record))[0].path
    gc.collect()  # nobody has them open
    os.utime(first, (10, 10))
    room_for(32 * stride((3, 18, 18)), second, monkeypatch)
    third, problem = open_cache(photos.train, replace(record, resize=18, size=(18, 18)), True, "on")
    assert (problem, first.exists(), second.exists()) == ("", False, True)
    assert third is not None


def test_what_is_open_makes_no_room(photos: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = through(photos)
    record = replace(photos.preprocess, interpolation="bicubic")
    second = through(replace(photos, preprocess=record))[0].path
    gc.collect()
    os.utime(first.path, (10, 10))  # yet a run is using it
    room_for(32 * stride((3, 18, 18)), second, monkeypatch)
    third, problem = open_cache(photos.train, replace(record, resize=18, size=(18, 18)), True, "on")
    assert (problem, first.path.exists(), second.exists(), third is None) == ("", True, False, False)
    room_for(0, second if second.exists() else first.path, monkeypatch)
    none, problem = open_cache(photos.train, replace(record, resize=20, size=(20, 20)), True, "on")
    assert none is None
    assert "half of what is free less what is in use; name a larger disk" in problem
    assert first.path.exists()


def test_a_cache_that_can_only_be_read_is_read(photos: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first, expected = through(photos, margin=True)
    path, some = first.path, numbers(photos)[0]
    del first
    gc.collect()
    size, opened = path.stat().st_size, os.open

    def refuse(*arguments: object, **more: object) -> None:
        raise PermissionError(30, "Read-only file system")

    def open_to_read(file: Path, flags: int, *more: int) -> int:
        return opened(file, flags, *more) if not flags & (os.O_RDWR | os.O_WRONLY) else refuse()

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(os, "open", open_to_read)
    cache, problem = open_cache(photos.train, photos.preprocess, True, "on")
    assert cache is not None
    file = the_file(cache)
    assert (problem, file.path, file.writable, file.missing(numbers(photos))) == ("", path, False, 0)
    no_decoding(monkeypatch)
    found = decode_stack(photos.train, range(len(photos.train)), photos.preprocess, 1, True, cache)
    np.testing.assert_array_equal(found, expected)
    assert cache_note(photos.train, photos.preprocess, "on") == ""
    file.write(some, (0, 0), expected[0])  # which changes nothing
    assert (path.stat().st_size, file.missing(numbers(photos))) == (size, 0)
    monkeypatch.setattr(Slots, "missing", lambda cache, numbers: 3)
    note = f"3 images are decoded in every epoch: {path} cannot be written"
    assert cache_note(photos.train, photos.preprocess, "on") == note


def test_a_cache_that_cannot_be_written_is_said(photos: Dataset, kept_here: Path) -> None:
    for path in kept_here.glob("*"):
        path.unlink()
    if kept_here.exists():
        kept_here.rmdir()
    kept_here.parent.mkdir(exist_ok=True)
    kept_here.write_text("a file where the folder should be")
    cache, problem = open_cache(photos.train, photos.preprocess, True, "on")
    assert cache is None
    assert problem == (
        f"decoded images are not kept: {kept_here} cannot be written (File exists); "
        "name another folder with CONVSMITH_CACHE"
    )


def test_what_is_kept_is_private_and_leaves_no_temporary(photos: Dataset, kept_here: Path) -> None:
    cache, _ = through(photos)
    assert cache.path.stat().st_mode & 0o777 == 0o600
    assert {path.suffix for path in kept_here.iterdir()} == {".pixels"}


def test_auto_keeps_what_takes_long_to_decode(photos: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_cache(photos.train, photos.preprocess, True, "off") == (None, "")
    assert open_cache(photos.train, photos.preprocess, True, "auto") == (None, "")
    monkeypatch.setattr(cache_module, "WORTH_BYTES", 10_000)
    assert open_cache(photos.train, photos.preprocess, True, "auto")[0] is not None
    digits = open_data(DataOptions())
    assert open_cache(digits.train, digits.preprocess, True, "on") == (None, "")


def batches(loader: loaders.Loader, epoch: int) -> list[Batch]:
    return list(loader.epoch(epoch))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["auto", "resident", "streaming"])
def test_batches_are_the_same_with_and_without(photos: Dataset, kind: str, workers: int) -> None:
    record, train = photos.preprocess, photos.train
    with_cache = DataOptions(loader=kind, workers=workers, cache="on")  # type: ignore[arg-type]
    clear_stored()
    kept = training_loader(train, record, with_cache, batch=10, seed=1)
    direct = training_loader(train, record, DataOptions(loader="streaming", workers=0, cache="off"), batch=10, seed=1)
    for epoch in range(3):
        found, expected = batches(kept, epoch), batches(direct, epoch)
        assert len(found) == len(expected) == 3
        for one, other in zip(found, expected, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True)), (epoch, kind)
        if epoch:
            continue
        cache, _ = open_cache(train, record, True, "on")
        assert cache is not None
        assert cache.missing(photos.train.images) == (0 if kind == "resident" else 2), "30 of 32 are in an epoch"
    tail = list(kept.epoch(2, start=2))
    assert torch.equal(tail[0].images, expected[2].images)
    assert photos.test is not None
    found = torch.cat([b.images for b in evaluation_loader(photos.test, record, with_cache, batch=3).epoch(0)])
    np.testing.assert_array_equal(found.numpy(), decode_stack(photos.test, range(4), record, 1))


def test_auto_streams_first_and_is_then_in_memory(photos: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = training_loader(photos.train, photos.preprocess, DataOptions(cache="on", workers=0), batch=8, seed=0)
    kind = lambda: type(loader._loader).__name__  # type: ignore[attr-defined]  # noqa: E731
    first = batches(loader, 0)
    assert kind() == "_Streaming"
    no_decoding(monkeypatch)
    again = batches(loader, 0)
    assert kind() == "_Resident"
    assert all(torch.equal(a.images, b.images) for a, b in zip(first, again, strict=True))


def test_a_bad_file_is_named_by_the_threads_that_read(photos: Dataset) -> None:
    through(photos, margin=True)
    path = Path(photos.train.name(7))
    path.write_bytes(path.read_bytes()[:60])
    loader = training_loader(
        photos.train, photos.preprocess, DataOptions(loader="streaming", cache="on"), batch=8, seed=0
    )
    with pytest.raises(BadFile, match=path.name):
        list(loader.epoch(0))


def test_files_left_out_are_the_same_ones(tmp_path: Path, class_folders: Callable[..., Path]) -> None:
    root = class_folders(tmp_path / "some", {"a": 20, "b": 20})
    (root / "a" / "003.png").write_bytes(b"")
    cut = root / "b" / "011.png"
    cut.write_bytes(cut.read_bytes()[:80])
    without = open_data(options(root, on_bad="skip", cache="off"))
    for _ in range(2):
        data = open_data(options(root, on_bad="skip"))
        assert (data.split, data.preprocess) == (without.split, without.preprocess)
        np.testing.assert_array_equal(through(data)[1], plain(without))
    record = data.preprocess
    whole = data.train.subset(range(len(data.train)))
    assert find_bad(whole, record, 2, "on") == []
    path = Path(data.train.name(2))
    path.write_bytes(path.read_bytes()[:60])
    assert [name for _, name, _ in find_bad(whole, record, 2, "on")] == [str(path)]


def test_parquet_is_kept_too(
    tmp_path: Path, random_pixels: Callable[..., np.ndarray], png: Callable[..., bytes]
) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    images = [png(random_pixels(i, 12 + i % 2, 14, 3)) for i in range(30)]
    table = pa.table({"image": pa.array(images, pa.binary()), "label": [i % 2 for i in range(30)]})
    pq.write_table(table, tmp_path / "train.parquet")
    data = open_data(options(tmp_path / "train.parquet"))
    cache, found = through(data, margin=True)
    np.testing.assert_array_equal(found, plain(data, margin=True))
    assert cache.missing(numbers(data)) == 0
    assert next((e.source, e.split, e.images) for e in list_stored()) == ("train", "train", 30)


def test_the_command_lists_and_clears(photos: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "cache"]) == 0
    through(photos)
    path = decoded_folder()
    capsys.readouterr()
    assert main(["data", "cache", "list"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[2].split()[:4] == ["photos", "train", "40", "16x16"], out
    assert str(path) in out
    assert main(["data", "cache", "clear"]) == 0
    assert capsys.readouterr().out.startswith("freed ")
    assert list(path.iterdir()) == []
    assert main(["data", "cache", "drop"]) == 2
    assert "unknown action of data cache: 'drop'; known: clear, list" in capsys.readouterr().err
    assert main(["data", "stats"]) == 2
    assert "data stats: expected a path, or one of digits" in capsys.readouterr().err


def test_of_several_processes_none_reads_everything_at_once(photos: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def of(part: Part) -> loaders.Loader:
        with_cache = DataOptions(cache="on", workers=1)
        return training_loader(photos.train, photos.preprocess, with_cache, batch=8, seed=0, part=part)

    whole, slices = of(WHOLE), [of(Part(rank, 2)) for rank in range(2)]
    for epoch in range(2):
        expected, found = batches(whole, epoch), [batches(one, epoch) for one in slices]
        for batch, first, second in zip(expected, *found, strict=True):
            assert torch.equal(batch.images, torch.cat([first.images, second.images]))
            assert torch.equal(batch.targets, torch.cat([first.targets, second.targets]))
        no_decoding(monkeypatch)  # the second epoch reads what was kept

    def refuse(*arguments: object) -> None:
        raise AssertionError("everything is read at once")

    monkeypatch.setattr(loaders, "decode_all", refuse)
    assert len(batches(of(Part(1, 2)), 2)) == 4
    with pytest.raises(AssertionError, match="everything is read at once"):
        batches(of(WHOLE), 2)


@pytest.fixture
def halves(tmp_path: Path, class_folders: Callable[..., Path]) -> Path:
    """A folder with a stored train of 24 images and a stored val of 12."""
    class_folders(tmp_path / "halves" / "train", {"a": 12, "b": 12}, size=(20, 25))
    class_folders(tmp_path / "halves" / "val", {"a": 6, "b": 6}, size=(25, 20))
    return tmp_path / "halves"


def test_folds_over_a_stored_train_and_val_are_kept(halves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_data(options(halves, fold="1/3"))
    assert (len(data.train), len(data.val)) == (24, 12)
    assert {stored.split for stored in data.train.images.stores()} == {"train", "val"}
    assert cache_note(data.train, data.preprocess, "on").startswith("24 decoded images will be kept in ")
    cache, problem = open_cache(data.train, data.preprocess, True, "on")
    assert cache is not None, problem
    assert cache.missing(data.train.images) == 24
    expected = plain(data, margin=True)
    assert np.array_equal(decode_stack(data.train, range(24), data.preprocess, 2, True, cache), expected)
    assert cache.missing(data.train.images) == 0
    assert cache_note(data.train, data.preprocess, "on") == ""
    no_decoding(monkeypatch)
    assert np.array_equal(decode_stack(data.train, range(24), data.preprocess, 2, True, cache), expected)


def test_folds_and_the_stored_splits_share_what_is_kept(halves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = open_data(options(halves))
    for examples in (whole.train, whole.val):
        cache, _ = open_cache(examples, whole.preprocess, True, "on")
        decode_stack(examples, range(len(examples)), whole.preprocess, 1, True, cache)
    files = {entry.path for entry in list_stored()}
    no_decoding(monkeypatch)
    for fold in ("1/3", "2/3", "3/3"):
        data = open_data(options(halves, fold=fold), preprocess=whole.preprocess)
        for workers in (0, 2):
            loader = training_loader(
                data.train, data.preprocess, DataOptions(cache="on", loader="streaming", workers=workers), batch=8,
                seed=0,
            )  # fmt: skip
            assert len(batches(loader, 0)) == 3
    assert {entry.path for entry in list_stored()} == files


def test_folds_are_kept_where_that_is_worth_it(halves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_data(options(halves, fold="1/3", cache="auto"))
    assert open_cache(data.train, data.preprocess, True, "auto") == (None, "")
    monkeypatch.setattr(cache_module, "WORTH_BYTES", 10_000)
    assert open_cache(data.train, data.preprocess, True, "auto")[0] is not None


def test_folds_that_do_not_fit_say_so(halves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_data(options(halves, fold="1/3", cache="off"))
    monkeypatch.setattr(slots_module.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10_000}))
    cache, problem = open_cache(data.train, data.preprocess, True, "on")
    assert cache is None
    assert problem.startswith("decoded images are not kept: they need ")
