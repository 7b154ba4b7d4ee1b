"""Waveforms and settings of the Keysight 33500 and 33600 series.

Source: see `drivers.modulators.keysight_33600a`.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError

__all__ = ["FULL_CODE", "LEAST_POINTS", "Keysight33600ASettings", "is_named", "one_play"]

FULL_CODE = 32767
"""Code of half of the amplitude above the offset."""
LEAST_POINTS = 32
"""Fewest points of a waveform in any model."""
_CHUNK = 1 << 15
"""Samples that are converted at a time, so that they stay in the processor's cache."""
_FILTERS = ("NORM", "STEP", "OFF")
_TRIGGER_OUTPUTS = ("TRIG", "SYNC")


@dataclass(frozen=True, kw_only=True)
class Keysight33600ASettings:
    """How an output is used.

    Args:
        load_ohm: resistance that the output really drives, 1 to 10000 ohm, or `inf`. The voltages
            are right only for this load: see the module.
        filter: of the converter: `NORM` (widest flat band), `STEP` (no overshoot) or `OFF` (lower
            highest rate).
        trigger_output: where the pulse of the bench's trigger line comes from: `TRIG` (rear
            trigger socket) or `SYNC` (front Sync socket).
    """

    load_ohm: float = 50.0
    filter: str = "NORM"
    trigger_output: str = "TRIG"

    def __post_init__(self) -> None:
        if not (1 <= self.load_ohm <= 10e3 or self.load_ohm == math.inf):
            raise ConfigurationError(
                f"load_ohm is {self.load_ohm}; it must be 1 to 10000 ohm, or inf"
            )
        if self.filter not in _FILTERS:
            raise ConfigurationError(
                f"filter is {self.filter!r}; it must be one of {', '.join(_FILTERS)}"
            )
        if self.trigger_output not in _TRIGGER_OUTPUTS:
            raise ConfigurationError(
                f"trigger_output is {self.trigger_output!r}; it must be one of "
                f"{', '.join(_TRIGGER_OUTPUTS)}"
            )


def one_play(volts: NDArray[np.float32], *, full_v: float, idle_code: int) -> NDArray[np.int16]:
    """The points of one play: the idle level, the waveform, the idle level.

    Args:
        volts: V, shape (samples,), magnitudes up to `full_v`; used up.
        full_v: voltage of `FULL_CODE`.
        idle_code: code of the idle level.

    Returns:
        Codes with the least significant byte first, shape (at least samples + 2,).
    """
    samples = len(volts)
    points = np.empty(max(samples + 2, LEAST_POINTS), dtype="<i2")
    scale = np.float32(FULL_CODE / full_v)
    for begin in range(0, samples, _CHUNK):
        part = volts[begin : begin + _CHUNK]
        np.multiply(part, scale, out=part)
        np.rint(part, out=part)
        points[1 + begin : 1 + begin + len(part)] = part
    points[0] = points[1 + samples :] = idle_code
    return points


def is_named(answer: str, name: str) -> bool:
    """Whether a quoted name, or the path of a file of that name, is this name.

    Args:
        answer: of the instrument, in any case.
        name: in small letters.
    """
    stem = answer.strip().strip('"').replace("/", "\\").rpartition("\\")[2]
    return stem.lower().removesuffix(".arb") == name
