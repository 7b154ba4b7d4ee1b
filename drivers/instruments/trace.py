"""What a digitiser gives: one record of sampled voltages that nobody can change."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import TraceError

__all__ = ["Recording", "Trace"]


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What a vendor's driver fetches: the part of a `Trace` that only it can know.

    Attributes:
        volts: V, float32, shape (channels, samples).
        step_v: Width in V of one code.
        clipped: Number of samples at either end of the converter, all channels together.
    """

    volts: NDArray[np.float32]
    step_v: float
    clipped: int


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One record. Its array cannot be written to.

    An array that owns its memory is taken over and locked; a view of another one is copied.

    Attributes:
        volts: V, float32, shape (channels, samples), all finite.
        sample_rate_hz: Nominal sample rate in Hz.
        range_v: The converter spans -range_v to +range_v, in V.
        step_v: Width in V of one code.
        clipped: Number of samples at either end of the converter, all channels together.
        time_s: Time in s, on the digitiser's clock, at which the record was seen to be complete.
        instrument: Identity of the digitiser.
        simulated: Whether the record comes from a simulation.

    Raises:
        TraceError: Wrong type or number of axes, or a sample that is not a finite number.
    """

    volts: NDArray[np.float32]
    sample_rate_hz: float
    range_v: float
    step_v: float
    clipped: int
    time_s: float
    instrument: str
    simulated: bool

    def __post_init__(self) -> None:
        volts = self.volts
        if volts.dtype != np.dtype(np.float32) or volts.ndim != 2:
            raise TraceError(
                f"{self.instrument}: a trace has shape (channels, samples) of float32, got "
                f"{volts.shape} of {volts.dtype}; the driver must convert it"
            )
        # NaN goes through min and max, and neither needs memory as a mask would.
        if volts.size and not (math.isfinite(volts.min()) and math.isfinite(volts.max())):
            raise TraceError(
                f"{self.instrument}: the trace holds NaN or infinite samples; discard it and look "
                "at the digitiser's link"
            )
        if not volts.flags.owndata:
            volts = volts.copy()
        volts.flags.writeable = False
        object.__setattr__(self, "volts", volts)
