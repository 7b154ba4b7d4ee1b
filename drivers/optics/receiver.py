"""The receiver: from a record in volts to quadratures in shot-noise units.

Owns the order of the steps: find the burst, filter every slot, take the echo of bright slots off,
follow the phase, derotate, scale.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drivers.errors import OpticsError, TraceError
from drivers.optics.burst import BurstFormat, BurstLayout
from drivers.optics.common_mode import remove_common_mode
from drivers.optics.echo import Echo, measure_echo, remove_echo
from drivers.optics.phase import PhaseTrack, track_phase
from drivers.optics.shot_noise import ShotNoise, check_shot_noise, measure_shot_noise
from drivers.optics.slot_filter import Record, filter_all_slots
from drivers.optics.synchronisation import SearchSettings, Synchronisation, synchronise

__all__ = ["Demodulated", "Receiver", "ReceiverSettings"]

_BLOCK_SLOTS: Final = 65_536
# The oscillator's step and the detector's ringing spoil the dark slots at either end.
_DARK_MARGIN: Final = 2
# Noise alone is above this multiple of its mean power in 3e-4 of the slots.
_BRIGHT: Final = 8.0


@dataclass(frozen=True, kw_only=True)
class ReceiverSettings:
    """Limits of the receiver.

    Attributes:
        search: Limits of the search for the burst.
        phase_variance_limit_rad2: Largest predicted variance of the phase error.
        shot_noise_limit: Largest relative deviation from the calibrated shot noise.
        pilot_limit: Largest relative deviation from the expected pilot amplitude.
    """

    search: SearchSettings = field(default_factory=SearchSettings)
    phase_variance_limit_rad2: float = 0.05
    shot_noise_limit: float = 0.01
    pilot_limit: float = 0.2


@dataclass(frozen=True, kw_only=True)
class Demodulated:
    """What a record holds, in shot-noise units at the oscillator's full level.

    Attributes:
        data: Value per data symbol, real part X and imaginary part P against the pilots' phase,
            complex64, shape (data_symbols,). Recorded vacuum at full level has the variance
            1 + v_el per quadrature. Not divided by the oscillator's level.
        data_noise: Variance per quadrature that vacuum would have in each data slot, level^2 +
            v_el, shape (data_symbols,).
        vacuum: Derotated values of the vacuum slots, complex64.
        shot_noise: The scale, in squared volts.
        electronic_snu: Electronic noise v_el.
        pilot_amplitude: Amplitude of the pilots.
        phase: Track of the phase over the body.
        synchronisation: Timing, clock and frequency.
        echo: What a slot leaves in the next; taken off where significant.
        data_phase_variance: Predicted phase error per data symbol, rad^2.
    """

    data: NDArray[np.complex64]
    data_noise: NDArray[np.float32]
    vacuum: NDArray[np.complex64]
    shot_noise: ShotNoise
    electronic_snu: float
    pilot_amplitude: float
    phase: PhaseTrack
    synchronisation: Synchronisation
    echo: Echo
    data_phase_variance: NDArray[np.float32]

    @property
    def clock_offset(self) -> float:
        """Relative clock offset of generator against digitiser."""
        return self.synchronisation.clock_offset

    @property
    def frequency_offset_hz(self) -> float:
        """Offset from the nominal intermediate frequency, mean over the burst."""
        return self.synchronisation.frequency_offset_hz + self.phase.frequency_hz


class Receiver:
    """Demodulates records of one detector.

    Attributes:
        format: The burst format both sides agreed on.
        instrument: Name of the detector for messages.
        settings: Limits.
    """

    def __init__(
        self,
        burst_format: BurstFormat,
        *,
        instrument: str = "receiver",
        settings: ReceiverSettings | None = None,
    ) -> None:
        self.format = burst_format
        self.instrument = instrument
        self.settings = settings or ReceiverSettings()

    def process(
        self,
        trace_volts: Record,
        layout: BurstLayout,
        *,
        electronic_noise: float | None = None,
        pilot_sign: int = 1,
        expected_pilot: float | None = None,
        calibrated_shot_noise: float | None = None,
        oscillator_levels: ArrayLike | None = None,
        search: tuple[int, int] | None = None,
    ) -> Demodulated:
        """Demodulates one burst.

        Args:
            trace_volts: Record in volts, shape (samples,): float32 of a heterodyne detector, or
                complex64 of a phase-diverse one with the format's intermediate frequency 0.
            layout: The burst that was played.
            electronic_noise: Calibrated variance per quadrature without oscillator, squared volts;
                left out, it is measured on the burst's dark slots.
            pilot_sign: +1, or -1 where the path inverts the field.
            expected_pilot: Amplitude of the pilots in shot-noise units, checked where given.
            calibrated_shot_noise: N0 in squared volts, checked where given.
            oscillator_levels: Level of the oscillator in each data slot, shape (data_symbols,).
            search: First and last sample at which the preamble may begin.

        Returns:
            Quadratures and diagnostics.

        Raises:
            OpticsError: Arguments that do not belong together.
            TraceError: Oscillator lost or changed, pilots of the wrong size, samples not finite.
            SynchronisationError: No burst, more than one, a slip, clock or frequency out of range.
            PhaseError: The phase cannot be followed.
        """
        record = self._checked_record(trace_volts, layout)
        levels = _checked_levels(oscillator_levels, layout)
        if pilot_sign not in (-1, 1):
            raise OpticsError(f"{self.instrument}: pilot_sign is {pilot_sign}; give +1 or -1")
        found = synchronise(
            record,
            layout,
            search=search,
            settings=self.settings.search,
            instrument=self.instrument,
        )
        slots = self._filter(record, layout, found)
        echo = _without_echo(slots, layout)
        if oscillator_levels is not None and not np.iscomplexobj(record):
            self._balance(slots, layout, levels, found)
        track = self._track(slots, layout, pilot_sign)
        body = slots[layout.body_start - layout.format.guard_slots :][: layout.body_slots]
        _derotate(body, track.phase_rad)
        noise = self._shot_noise(slots, layout, electronic_noise, calibrated_shot_noise)
        slots *= np.float32(1 / np.sqrt(noise.shot))
        amplitude = track.pilot_amplitude / np.sqrt(noise.shot)
        self._check_pilot(amplitude, expected_pilot)
        guard = layout.format.guard_slots
        return Demodulated(
            data=slots[layout.data - guard],
            data_noise=(levels**2 + np.float32(noise.electronic_snu)).astype(np.float32),
            vacuum=slots[layout.vacuum - guard],
            shot_noise=noise,
            electronic_snu=noise.electronic_snu,
            pilot_amplitude=float(amplitude),
            phase=track,
            synchronisation=found,
            echo=echo,
            data_phase_variance=track.variance_rad2[layout.data - layout.body_start],
        )

    def _checked_record(self, trace_volts: Record, layout: BurstLayout) -> Record:
        if layout.format != self.format:
            raise OpticsError(
                f"{self.instrument}: the layout was made with another burst format than the "
                "receiver: build both from one format"
            )
        complex_record = np.iscomplexobj(trace_volts)
        if trace_volts.ndim != 1:
            raise OpticsError(
                f"{self.instrument}: the record has the shape {trace_volts.shape}; give one "
                "channel, shape (samples,)"
            )
        if complex_record != (self.format.if_cycles_per_symbol == 0.0):
            raise OpticsError(
                f"{self.instrument}: a {'complex' if complex_record else 'real'} record and an "
                f"intermediate frequency of {self.format.if_cycles_per_symbol:g} cycles per slot; "
                "complex records need 0, real ones do not work at 0"
            )
        record: Record = np.ascontiguousarray(
            trace_volts, dtype=np.complex64 if complex_record else np.float32
        )
        # The sum is finite only if all samples are, and costs one pass without a copy.
        with np.errstate(all="ignore"):
            total = np.sum(record, dtype=np.complex128 if complex_record else np.float64)
        if not np.isfinite(total):
            raise TraceError(
                f"{self.instrument}: the record holds NaN or infinite samples; it cannot be used: "
                "record again and check the digitiser's transfer"
            )
        return record

    def _filter(
        self, record: Record, layout: BurstLayout, found: Synchronisation
    ) -> NDArray[np.complex64]:
        """Values of all slots between the guards, in volts."""
        guard = layout.format.guard_slots
        return filter_all_slots(
            record,
            found.timing,
            layout.format.pulse,
            found.cycles_per_sample,
            guard,
            layout.total_slots - guard,
        )

    def _balance(
        self,
        slots: NDArray[np.complex64],
        layout: BurstLayout,
        levels: NDArray[np.float32],
        found: Synchronisation,
    ) -> None:
        """Take off what the detector's unbalance shows of the oscillator's steps."""
        every = np.ones(layout.total_slots, dtype=np.float32)
        every[layout.data] = levels
        every[layout.dark] = 0.0
        guard = layout.format.guard_slots
        # Bright data would be noise to the fit, and would be bent by it level by level.
        noise = float(np.mean(np.abs(slots[layout.vacuum - guard]) ** 2, dtype=np.float64))
        dim = layout.data[np.abs(slots[layout.data - guard]) ** 2 < _BRIGHT * noise]
        remove_common_mode(
            slots,
            guard,
            every,
            np.concatenate((dim, layout.vacuum, layout.dark[_DARK_MARGIN:-_DARK_MARGIN])),
            found.timing,
            found.cycles_per_sample,
        )

    def _track(
        self, slots: NDArray[np.complex64], layout: BurstLayout, pilot_sign: int
    ) -> PhaseTrack:
        guard = layout.format.guard_slots
        vacuum = slots[layout.vacuum - guard]
        return track_phase(
            slots[layout.pilots - guard] * layout.pilot_signs * np.float32(pilot_sign),
            slots[layout.preamble - guard] * layout.format.preamble_signs * np.float32(pilot_sign),
            spacing=layout.format.pilot_spacing,
            noise_variance=0.5 * float(np.mean(np.abs(vacuum) ** 2, dtype=np.float64)),
            symbol_rate_hz=layout.format.symbol_rate_hz,
            variance_limit_rad2=self.settings.phase_variance_limit_rad2,
            instrument=self.instrument,
        )

    def _shot_noise(
        self,
        slots: NDArray[np.complex64],
        layout: BurstLayout,
        electronic_noise: float | None,
        calibrated: float | None,
    ) -> ShotNoise:
        guard = layout.format.guard_slots
        dark = layout.dark[_DARK_MARGIN:-_DARK_MARGIN]
        measure_dark = electronic_noise is None
        noise = measure_shot_noise(
            slots[layout.vacuum - guard],
            dark=slots[dark - guard] if measure_dark else None,
            electronic_noise=electronic_noise,
            instrument=self.instrument,
        )
        if calibrated is not None:
            check_shot_noise(
                [noise],
                calibrated,
                limit=self.settings.shot_noise_limit,
                instrument=self.instrument,
            )
        return noise

    def _check_pilot(self, amplitude: float, expected: float | None) -> None:
        if expected is None:
            return
        limit = self.settings.pilot_limit
        if not abs(amplitude / expected - 1) <= limit:
            raise TraceError(
                f"{self.instrument}: pilot amplitude {amplitude:.2f} in shot-noise units, expected "
                f"{expected:.2f}; the limit is {limit * 100:g} %: check losses, polarisation and "
                "modulator bias"
            )


def _checked_levels(levels: ArrayLike | None, layout: BurstLayout) -> NDArray[np.float32]:
    if levels is None:
        return np.ones(layout.data_symbols, dtype=np.float32)
    values = np.asarray(levels, dtype=np.float32)
    if values.shape != (layout.data_symbols,) or not np.all(np.isfinite(values)):
        raise OpticsError(
            f"receiver: oscillator_levels have the shape {values.shape} or values that are not "
            f"finite; give {layout.data_symbols} finite levels"
        )
    return values


def _without_echo(slots: NDArray[np.complex64], layout: BurstLayout) -> Echo:
    """Measures the echo and takes it off the slots between the guards, in place."""
    guard = layout.format.guard_slots
    pilots = layout.pilots[:-1] - guard
    echo = measure_echo(
        slots[layout.preamble - guard],
        layout.format.preamble_signs,
        slots[pilots],
        slots[pilots + 1],
    )
    remove_echo(slots, echo)
    return echo


def _derotate(values: NDArray[np.complex64], phase: NDArray[np.float64]) -> None:
    """Turns values back by their phase, in place and blockwise."""
    for first in range(0, values.size, _BLOCK_SLOTS):
        part = slice(first, first + _BLOCK_SLOTS)
        # Whole turns are dropped in double precision, the sine and cosine need no more than single.
        turned = np.remainder(phase[part], 2 * np.pi).astype(np.float32)
        rotor = np.empty(turned.size, dtype=np.complex64)
        np.cos(turned, out=rotor.real)
        np.sin(-turned, out=rotor.imag)
        values[part] *= rotor
