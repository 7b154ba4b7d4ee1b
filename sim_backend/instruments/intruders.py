"""What someone on a fibre does to the light at its end: delays, adds, amplifies, resends.

Acts on fields as the scene carries them, where all vacuum noise is added at detection: noise of
mean photon number n per mode is then a classical Gaussian field of n photons/s per hertz, and
raises both quadratures by 2 n in shot-noise units (Caves, Phys. Rev. D 26, 1817 (1982)).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from drivers.optics.burst import BurstLayout, SlotKind
from sim_backend.instruments.faults import FaultFinder, FaultKind
from sim_backend.scene.light import PHOTON_ENERGY_J, ComplexArray, Light, Window
from sim_backend.scene.streaming import DelayLine

__all__ = ["Intruder", "KnownSlots"]


@dataclass(frozen=True, kw_only=True)
class KnownSlots:
    """What the public format tells somebody on a fibre about the bursts there.

    Args:
        layout: of the bursts to act on; shots too short for one are let through.
        start_s: from the trigger to the first slot at that place.
    """

    layout: BurstLayout
    start_s: float

    def lags(self, times_s: NDArray[np.float64], symbols: int) -> NDArray[np.intp]:
        """By how many slots the symbol so many before the one of each time is older; 0 elsewhere.

        Args:
            times_s: after the trigger.
            symbols: at least 0; the first ones of a burst have none before them and stay.
        """
        back = np.zeros(self.layout.total_slots, dtype=np.intp)
        back[self.layout.data[symbols:]] = self._steps(symbols)
        return np.where(self._inside(times_s), back[self._slots(times_s)], 0)

    def reach(self, symbols: int) -> int:
        """The largest of these lags."""
        return int(self._steps(symbols).max(initial=0))

    def is_vacuum(self, times_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether there is a vacuum slot at each time after the trigger."""
        vacuum = self.layout.kinds == SlotKind.VACUUM
        return np.asarray(self._inside(times_s) & vacuum[self._slots(times_s)])

    def fit(self, window: Window) -> bool:
        """Whether a whole burst lies in a shot."""
        stop_s = self.start_s + self.layout.duration_s
        return window.start_s + window.samples * window.step_s >= stop_s

    @cached_property
    def slot_s(self) -> float:
        """Duration of a slot."""
        return 1 / self.layout.format.symbol_rate_hz

    def _steps(self, symbols: int) -> NDArray[np.intp]:
        data = self.layout.data
        return data[symbols:] - data[: data.size - symbols]

    def _inside(self, times_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        place = self._places(times_s)
        return np.asarray((place >= 0) & (place < self.layout.total_slots))

    def _slots(self, times_s: NDArray[np.float64]) -> NDArray[np.intp]:
        return np.clip(self._places(times_s), 0, self.layout.total_slots - 1)

    def _places(self, times_s: NDArray[np.float64]) -> NDArray[np.intp]:
        # A sample at a slot's edge belongs to that slot, whatever the rounding.
        return np.floor((times_s - self.start_s) / self.slot_s + 1e-6).astype(np.intp)


class Intruder:
    """Someone at the end of one fibre span, who does nothing as long as the plan says nothing.

    Args:
        fault: what is done now.
        rng: source of the noise that is added.

    Attributes:
        slots: of the bursts, for what is done to some of them alone; None where nobody told.
    """

    def __init__(self, fault: FaultFinder, *, rng: np.random.Generator) -> None:
        self._fault = fault
        self._rng = rng
        self._window = Window(start_s=0.0, rate_hz=1.0, samples=0)
        self._done = 0
        self._delay: DelayLine | None = None
        self._past: ComplexArray = np.zeros(0, dtype=np.complex64)
        self.slots: KnownSlots | None = None

    def begin(self, window: Window) -> None:
        """Start a shot; whether light is delayed is settled for all of it."""
        self._window, self._done = window, 0
        self._past = np.zeros(0, dtype=np.complex64)
        delayed = self._fault(FaultKind.LIGHT_DELAYED)
        self._delay = None if delayed is None else DelayLine(round(delayed.amount * window.rate_hz))

    def block(self, light: Light) -> Light:
        """Pass a block on."""
        field = light.field if self._delay is None else self._delay.block(light.field)
        brighter = self._fault(FaultKind.LIGHT_BRIGHTENED)
        if brighter is not None:
            field = field * np.complex64(10.0 ** (brighter.amount / 20))
        shifted = self._fault(FaultKind.DATA_SHIFTED)
        if shifted is not None and self._known().fit(self._window):
            field = self._shifted(field, round(shifted.amount))
        vacuum = self._fault(FaultKind.VACUUM_BRIGHTENED)
        if vacuum is not None and self._known().fit(self._window):
            chosen = self._known().is_vacuum(self._times(field.size))
            field = field + self._noise(field.size, vacuum.amount / 2) * chosen
        photons = self._noise_photons()
        if photons > 0:
            field = field + self._noise(field.size, photons)
        added = self._fault(FaultKind.LIGHT_ADDED)
        if added is not None:
            field = field + np.complex64(math.sqrt(added.amount / PHOTON_ENERGY_J))
        self._done += field.size
        return light.with_field(field)

    def _known(self) -> KnownSlots:
        if self.slots is None:
            raise ConfigurationError(
                "an attack on some slots of the bursts needs to know them; tell it with tell_slots"
            )
        return self.slots

    def _times(self, samples: int) -> NDArray[np.float64]:
        """Of the samples of the block that passes, after the trigger."""
        window = self._window
        later = np.arange(self._done, self._done + samples, dtype=np.float64) * window.step_s
        return window.start_s + later

    def _shifted(self, field: ComplexArray, symbols: int) -> ComplexArray:
        """Give every symbol of the data the place of a later one."""
        slots = self._known()
        per_slot = round(slots.slot_s * self._window.rate_hz)
        lags = slots.lags(self._times(field.size), symbols) * per_slot
        reach = per_slot * slots.reach(symbols)
        dark = np.zeros(max(0, reach - self._past.size), dtype=np.complex64)
        joined = np.concatenate((dark, self._past, field))
        self._past = joined[joined.size - reach :].copy()
        return np.asarray(joined[reach + np.arange(field.size) - lags], dtype=np.complex64)

    def _noise_photons(self) -> float:
        """Mean photons per mode that the attacks on the light itself leave in it."""
        photons = 0.0
        taken = self._fault(FaultKind.LIGHT_REAMPLIFIED)
        if taken is not None:
            # An amplifier that makes up for a tap has gain 1/(1 - f) and adds gain - 1 photons.
            photons += taken.amount / (1 - taken.amount)
        resent = self._fault(FaultKind.LIGHT_RESENT)
        if resent is not None:
            photons += resent.amount / 2
        return photons

    def _noise(self, samples: int, photons: float) -> ComplexArray:
        noise = self._rng.standard_normal(2 * samples, dtype=np.float32)
        noise *= np.float32(math.sqrt(photons * self._window.rate_hz / 2))
        return noise.view(np.complex64)
