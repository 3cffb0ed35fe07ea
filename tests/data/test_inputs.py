"""Inputs: pictures, recordings and texts as arrays, and their records as JSON with one tag each."""

import io
import json
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convsmith.base.errors import BadFile, MissingPath, UsageError
from convsmith.data.augment import normalize
from convsmith.data.inputs import ImageInput, Input, input_from_json
from convsmith.data.preprocess import load
from convsmith.data.sound import SoundInput, read_wave
from convsmith.data.texts import PADDING, UNKNOWN, TextInput, text_input, words

PICTURE = ImageInput(size=(12, 10), resize=14, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
SOUND = SoundInput(rate=8000, seconds=0.5, bands=20, mean=-3.5, std=2.5)
TEXT = TextInput((PADDING, UNKNOWN, "is", "the", "shape", "red"), 5)
RECORDS: list[Input] = [PICTURE, SOUND, TEXT]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_are_json_and_read_again(record: Input) -> None:
    data = json.loads(json.dumps(record.to_json()))
    assert input_from_json(data) == record
    assert type(input_from_json(data)) is type(record)
    assert type(record).from_json(data) == record


def test_a_record_without_a_tag_is_a_picture_as_before() -> None:
    data = PICTURE.to_json()
    assert "kind" not in data
    assert input_from_json({"kind": "image_input", **data}) == PICTURE
    assert (SOUND.to_json()["kind"], TEXT.to_json()["kind"]) == ("sound_input", "text_input")
    with pytest.raises(UsageError, match="unknown kind of input 'sound'"):
        input_from_json({"kind": "sound"})
    with pytest.raises(UsageError, match="input: expected a record, received 3"):
        input_from_json(3)
    with pytest.raises(UsageError, match="unknown key in sound 'rates'"):
        input_from_json({**SOUND.to_json(), "rates": 3})


def test_a_picture_is_read_and_normalized_as_load_does(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    found = PICTURE.read(tmp_path / "a.png")
    assert (found.shape, found.dtype) == (PICTURE.shape, np.uint8) == ((3, 12, 10), np.uint8)
    batch = torch.from_numpy(found)[None]
    values = PICTURE.normalize(batch)
    np.testing.assert_array_equal(values[0].numpy(), load(tmp_path / "a.png", PICTURE))
    assert torch.equal(values, normalize(batch, PICTURE))
    assert torch.equal(batch[0], torch.from_numpy(found)), "the batch stays as it is"
    whole = batch.float()
    PICTURE.normalize(whole)
    assert torch.equal(whole, batch.float())
    with pytest.raises(BadFile, match="the file is empty"):
        PICTURE.read(b"", "nothing.png")


def wav(samples: np.ndarray, rate: int = 8000, width: int = 2) -> bytes:
    """Samples from -1 to 1, (n,) or (n, channels), as a WAV file."""
    samples = samples[:, None] if samples.ndim == 1 else samples
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((samples.shape[1], width, rate, 0, "NONE", ""))
        whole = np.round(samples * (2 ** (8 * width - 1) - 1)).astype("<i8")
        whole = whole + 128 if width == 1 else whole
        file.writeframes(whole.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width].tobytes())
    return out.getvalue()


def tone(frequency: float, seconds: float = 0.5, rate: int = 8000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_of_8_to_32_bits_are_read(width: int) -> None:
    samples, rate = read_wave(wav(tone(440), width=width))
    assert rate == 8000
    np.testing.assert_allclose(samples, tone(440), atol=1.1 / 2 ** (8 * width - 1))


def test_channels_are_averaged_and_the_rate_is_changed(tmp_path: Path) -> None:
    both = np.stack([tone(300), tone(500)], axis=1)
    samples, _ = read_wave(wav(both))
    np.testing.assert_allclose(samples, both.mean(axis=1), atol=1e-4)
    (tmp_path / "a.wav").write_bytes(wav(tone(700, rate=16000), rate=16000))
    found, expected = SOUND.read(tmp_path / "a.wav"), SOUND.read(tone(700))
    loud = expected > -8
    assert np.abs(found - expected)[loud].max() < 0.3
    assert (found.argmax(axis=0) == expected.argmax(axis=0)).all()
    assert (found.dtype, found.shape) == (np.float32, SOUND.shape)


def test_a_tone_is_in_the_band_of_its_frequency() -> None:
    assert SOUND.shape == (20, 1 + (4000 - 200) // 80)
    edges = np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 22)
    for band in (3, 8, 15, 19):
        middle = 700 * (10 ** (edges[band + 1] / 2595) - 1)
        found = SOUND.read(tone(middle))
        assert (found.argmax(axis=0) == band).all()


def test_one_window_by_its_formula() -> None:
    record = SoundInput(rate=1000, seconds=0.064, bands=4, window=0.064, hop=0.064)
    samples = np.random.default_rng(0).normal(0, 0.1, 64)
    hann = np.asarray([np.sin(np.pi * n / 64) ** 2 for n in range(64)])
    turns = np.exp(-2j * np.pi * np.outer(np.arange(33), np.arange(64)) / 64)
    power = np.abs(turns @ (samples * hann)) ** 2 / (hann**2).sum()
    mels = np.linspace(0, 2595 * np.log10(1 + 500 / 700), 6)
    edges = 700 * (10 ** (mels / 2595) - 1)
    expected = []
    for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False):
        at = np.arange(33) * 1000 / 64
        weights = np.interp(at, [low, middle, high], [0, 1, 0])
        expected.append(np.log((weights * power).sum()))
    assert record.shape == (4, 1)
    np.testing.assert_allclose(record.read(samples)[:, 0], expected, rtol=1e-5)


def test_what_is_short_ends_in_silence_and_what_is_long_is_cut() -> None:
    short = SOUND.read(tone(440, 0.1))
    assert np.allclose(short[:, 12:], np.log(1e-10))
    assert (short[:, :8].max(axis=0) > -3).all()
    np.testing.assert_array_equal(SOUND.read(tone(440, 2.0)), SOUND.read(tone(440, 2.0)[:4000]))
    np.testing.assert_array_equal(SOUND.read(wav(tone(440, 2.0))), SOUND.read(wav(tone(440, 2.0)[:4000])))
    values = SOUND.normalize(torch.from_numpy(short)[None])
    np.testing.assert_allclose(values[0].numpy(), (short + 3.5) / 2.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read as a WAV file"),
        (b"RIFFxxxxWAVE", "cannot be read as a WAV file"),
        (b"\x89PNG" * 100, "cannot be read as a WAV file"),
        (wav(tone(440))[:30], "cannot be read as a WAV file"),
        (wav(np.zeros(0)), "has no samples"),
        (wav(tone(440), rate=200), "has 1 channel of 16 bits and a rate of 200, which is not read"),
    ],
)
def test_what_is_no_recording_is_a_bad_file(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "odd.wav"
    path.write_bytes(content)
    with pytest.raises(BadFile) as caught:
        SOUND.read(path)
    assert str(caught.value).startswith(f"{path}: {said}")
    with pytest.raises(BadFile, match=r"^clip 3: "):
        SOUND.read(content, "clip 3")
    with pytest.raises(MissingPath, match="no such file"):
        SOUND.read(tmp_path / "gone.wav")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rate": 10}, "sound_input.rate: expected a whole number from 1000 to 768000"),
        ({"seconds": 0}, "sound_input.seconds: expected a number above 0"),
        ({"window": 0.6, "seconds": 0.5}, "sound_input: expected window from 0.000125 (2 samples) to 0.5"),
        ({"hop": 0.00001}, "sound_input: expected hop from 6.25e-05 (1 sample) to 1"),
        ({"std": 0}, "sound_input.std: expected a number above 0"),
        ({"bands": 300}, "sound_input: 300 bands are too many: a window of 0.025 s tells 201 frequencies apart"),
        ({"seconds": 600, "hop": 0.0001}, "sound_input: 4,799,801 windows of 400 samples are more than can be held"),
    ],
)
def test_records_of_sound_are_checked(fields: dict, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        SoundInput(**fields)
    assert str(caught.value).startswith(said)


def test_texts_become_tokens() -> None:
    assert words("What's the Shape, of_it? 3x") == ["what's", "the", "shape", ",", "of", "_", "it", "?", "3x"]
    assert TEXT.shape == (5,)
    found = TEXT.read("Is the BLUE shape red?")
    assert (found.tolist(), found.dtype) == ([2, 3, 1, 4, 5], np.int64)
    assert TEXT.read("red").tolist() == [5, 0, 0, 0, 0]
    assert TEXT.read("").tolist() == [0] * 5
    assert TEXT.text(found) == f"is the {UNKNOWN} shape red"
    batch = torch.from_numpy(found)[None]
    assert TEXT.normalize(batch) is batch


def test_a_vocabulary_is_made_of_training_texts() -> None:
    made = text_input(["the cat", "The dog and the cat", "a"])
    assert made == TextInput((PADDING, UNKNOWN, "the", "cat", "a", "and", "dog"), 5)
    assert text_input(["b a", "b"], length=3, most=1).vocabulary == (PADDING, UNKNOWN, "b")
    assert text_input(["b a", "b"], least=2).vocabulary == (PADDING, UNKNOWN, "b")
    assert text_input([]) == TextInput((PADDING, UNKNOWN), 1)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"vocabulary": ("a", "b")}, "text_input: expected a vocabulary that begins with '' and '?unknown', received"),
        ({"vocabulary": (PADDING, UNKNOWN, "a", "a")}, "text_input: the vocabulary has 'a' twice"),
        ({"length": 0}, "text_input.length: expected a whole number from 1 to 65536, received 0"),
    ],
)
def test_records_of_texts_are_checked(fields: dict, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        TextInput(**fields)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    "raw",
    [
        np.full(100, 30000, np.int16),
        np.zeros((100, 2)),
        np.ones(100, complex),
        np.array(["a"]),
        np.array([0.0, np.nan]),
        np.array([np.inf]),
        [0.0, 1.0],
        None,
    ],
)
def test_samples_that_are_none_are_refused(raw) -> None:
    with pytest.raises(UsageError, match=r"^samples: expected|^a recording: expected a path, bytes or an array"):
        SOUND.read(raw)


def test_a_damaged_header_is_a_bad_file() -> None:
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\1\2" * 100)
    whole, rng = held.getvalue(), np.random.default_rng(0)
    refused = 0
    for _ in range(2000):
        damaged = bytearray(whole)
        for at in rng.integers(0, 44, 3):
            damaged[at] = rng.integers(256)
        try:
            assert np.isfinite(SOUND.read(bytes(damaged))).all()
        except BadFile:
            refused += 1
    assert refused > 500
    with pytest.raises(BadFile, match=r"PCM samples \(it is cut short or damaged\)"):
        SOUND.read(whole[:3])


@pytest.mark.parametrize("raw", [None, 5, b"red", ["red"]])
def test_what_is_no_text_is_refused(raw) -> None:
    with pytest.raises(UsageError, match="a text: expected str, received"):
        TEXT.read(raw)


def test_tokens_and_vocabularies_out_of_range_are_refused() -> None:
    for token in (-1, len(TEXT.vocabulary)):
        with pytest.raises(UsageError, match=f"tokens: expected numbers from 0 to 5, received {token}"):
            TEXT.text(np.array([2, token]))
    with pytest.raises(UsageError, match="expected a list of texts, received one text"):
        text_input("one text")
    with pytest.raises(UsageError, match="0 words or more, received -1"):
        text_input(["a b"], most=-1)
    with pytest.raises(UsageError, match=r"text_input\.length"):
        text_input(["a b"], length=0)


@pytest.mark.parametrize("kind", [None, 5, [], {}, ["sound_input"]])
def test_a_tag_that_is_no_text_is_unknown(kind) -> None:
    with pytest.raises(UsageError, match="unknown kind of input"):
        input_from_json({"kind": kind})
