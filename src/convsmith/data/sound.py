"""From a recording to what a network gets: a typed record, and its reference implementation in numpy."""

import io
import wave
from dataclasses import dataclass
from functools import cache
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np

from convsmith.base import config
from convsmith.base.errors import BadFile, MissingPath, UsageError, WrongType
from convsmith.base.record import Tagged, option
from convsmith.report.text import many

# The rates that recordings have: telephones have 8,000, the best converters 768,000.
RATES = (1_000, 768_000)
_MOST_SECONDS = 600
_MOST_VALUES = 2**26
_MOST_BYTES = 2**29
# The least power above silence: its logarithm is that of rounding errors of 16 bits.
_SILENCE = 1e-10


@dataclass(frozen=True)
class SoundInput(Tagged):
    """How a recording becomes an array: the logarithms of its power in bands of the mel scale, frame by frame.

    Channels are averaged, the rate becomes `rate`; what is longer than `seconds` loses its end, what is shorter is
    followed by silence. Windows (Hann) of `window` seconds begin every `hop` seconds. `mean` and `std` are those of the
    training recordings, over all bands.
    """

    rate: int = option(16_000, "samples for each second", least=RATES[0], most=RATES[1], log=True)
    seconds: float = option(1.0, "length of a recording", above=0, most=_MOST_SECONDS)
    bands: int = option(40, "bands of the mel scale, from 0 Hz to half the rate", least=1, most=512)
    window: float = option(0.025, "length of a window, seconds", above=0, most=1)
    hop: float = option(0.010, "seconds from one window to the next", above=0, most=1)
    mean: float = option(0.0, "mean of the logarithms, which is subtracted")
    std: float = option(1.0, "standard deviation of the logarithms, by which they are divided", above=0)

    def check(self) -> None:
        """Windows fit into a recording, and each band has a frequency of its own."""
        for name, least in (("window", 2), ("hop", 1)):
            value = getattr(self, name)
            if not least / self.rate <= value <= self.seconds:
                raise UsageError(
                    f"sound_input: expected {name} from {least / self.rate:g} ({many(least, 'sample', 'samples')}) to "
                    f"{self.seconds:g} (all of a recording), received {value:g}"
                )
        if self.shape[1] * self._window > _MOST_VALUES:
            raise UsageError(
                f"sound_input: {self.shape[1]:,} windows of {self._window:,} samples are more than can be held; take a "
                "longer hop or fewer seconds"
            )
        filters = _filters(self.rate, self._window, self.bands)
        if not (filters.sum(axis=1) > 0).all():
            most = f"a window of {self.window:g} s tells {self._window // 2 + 1} frequencies apart"
            raise UsageError(
                f"sound_input: {many(self.bands, 'band is', 'bands are')} too many: {most}, and a band has none; "
                "take fewer bands"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Bands and frames."""
        return self.bands, 1 + (self._length - self._window) // self._hop

    @property
    def _length(self) -> int:
        return round(self.seconds * self.rate)

    @property
    def _window(self) -> int:
        return round(self.window * self.rate)

    @property
    def _hop(self) -> int:
        return round(self.hop * self.rate)

    def read(self, raw: Path | str | bytes | np.ndarray, name: str | None = None) -> np.ndarray:
        """The logarithms of the power, float32 (bands, frames), of a WAV file or of samples from -1 to 1 at the rate.

        Raises BadFile, which calls the recording `name`.
        """
        if isinstance(raw, np.ndarray):
            samples = _checked(raw)
        else:
            samples = _resampled(*read_wave(raw, name, self.seconds), self.rate)
        samples = np.pad(samples[: self._length], (0, max(0, self._length - len(samples))))
        windows = np.lib.stride_tricks.sliding_window_view(samples, self._window)[:: self._hop]
        # A periodic Hann window, as for spectra.
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self._window) / self._window)
        power = np.abs(np.fft.rfft(windows * hann, axis=1)) ** 2 / (hann**2).sum()
        mel = power @ _filters(self.rate, self._window, self.bands).T
        return np.log(np.maximum(mel, _SILENCE)).T.astype(np.float32)

    def normalize(self, batch: Any) -> Any:
        """(x - mean) / std of a batch, a tensor or an array (N, bands, frames)."""
        return (batch - self.mean) / self.std

    def to_json(self) -> dict[str, Any]:
        """The record as JSON data, with its tag."""
        return config.plain(self)

    @staticmethod
    def from_json(data: Any) -> "SoundInput":
        """The record that `to_json` wrote."""
        return config.read(SoundInput, data, "sound")


def read_wave(
    raw: Path | str | bytes, name: str | None = None, seconds: float = _MOST_SECONDS
) -> tuple[np.ndarray, int]:
    """The first `seconds` of a WAV file (PCM of 8 to 32 bits), channels averaged: float64 from -1 to 1; the rate."""
    if not isinstance(raw, Path | str | bytes):
        raise WrongType(f"a recording: expected a path, bytes or an array, received {type(raw).__name__}")
    name = name or (f"a recording of {many(len(raw), 'byte')}" if isinstance(raw, bytes) else str(raw))
    if not isinstance(raw, bytes) and not Path(raw).is_file():
        raise MissingPath(f"no such file: {raw}")
    try:
        with wave.open(io.BytesIO(raw) if isinstance(raw, bytes) else str(raw), "rb") as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            if not RATES[0] <= rate <= RATES[1] or not 1 <= channels <= 64 or width not in (1, 2, 3, 4):
                raise BadFile(
                    name, f"has {many(channels, 'channel')} of {8 * width} bits and a rate of {rate}, which is not read"
                )
            wanted = int(seconds * rate) + 1
            if min(wanted, file.getnframes()) * channels * width > _MOST_BYTES:
                raise BadFile(
                    name, f"has {many(channels, 'channel')} at a rate of {rate:,}, more than {_MOST_BYTES:,} bytes"
                )
            data = file.readframes(wanted)
    except BadFile:
        raise
    # `wave` raises a RuntimeError for a chunk that ends before it begins.
    except (wave.Error, EOFError, OSError, ValueError, RuntimeError) as error:
        why = str(error) or "it is cut short or damaged"
        raise BadFile(name, f"cannot be read as a WAV file of PCM samples ({why})") from None
    whole = np.frombuffer(data, np.uint8)[: len(data) // (channels * width) * channels * width]
    if not len(whole):
        raise BadFile(name, "has no samples")
    return _samples(whole.reshape(-1, width)).reshape(-1, channels).mean(axis=1), rate


def _checked(raw: np.ndarray) -> np.ndarray:
    """Samples that are given, as float64; UsageError for what is none."""
    if raw.ndim != 1 or raw.dtype.kind != "f":
        raise UsageError(f"samples: expected floats from -1 to 1 (samples,), received {raw.dtype} {raw.shape}")
    if not np.isfinite(raw).all():
        raise UsageError("samples: expected finite numbers, received NaN or infinity")
    return raw.astype(np.float64)


def _samples(data: np.ndarray) -> np.ndarray:
    """Samples from -1 to 1 of uint8 (n, width): 8 bits are unsigned, more are signed, the lowest byte first."""
    width = data.shape[1]
    if width == 1:
        return data[:, 0].astype(np.float64) / 128 - 1
    # As the upper bytes of 32 bits, so that the sign comes along.
    wide = np.zeros((len(data), 4), np.uint8)
    wide[:, 4 - width :] = data
    return wide.view("<i4")[:, 0].astype(np.float64) / 2**31


def _resampled(samples: np.ndarray, have: int, rate: int) -> np.ndarray:
    if have == rate:
        return samples
    from scipy.signal import resample_poly  # half a second of imports, for other rates alone

    common = gcd(have, rate)
    return np.asarray(resample_poly(samples, rate // common, have // common))


@cache
def _filters(rate: int, window: int, bands: int) -> np.ndarray:
    """Weights (bands, frequencies) of triangles that rise from the middle of one band to that of the next, and fall.

    The mel scale is 2595 log10(1 + f / 700) (O'Shaughnessy 1987), and the middles are even on it.
    """
    frequencies = np.arange(window // 2 + 1) * (rate / window)
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), bands + 2) / 2595) - 1)
    low, middle, high = (edges[i : bands + i, None] for i in range(3))
    rise, fall = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return np.maximum(0, np.minimum(rise, fall))
