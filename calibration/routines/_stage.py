"""The bench where a routine measures: levels at rest, records, and bursts.

Light is switched by `calibration.routines._light`; this adds what is played and recorded.
"""

from collections.abc import Collection
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.routines._light import BenchLight
from calibration.routines._phases import HeldPhases
from calibration.routines._roles import (
    OWN_OSCILLATORS,
    PARTIES,
    PHASE_SHIFTERS,
    PHASES,
    STAGE_SETTINGS,
    Modulator,
    Party,
    StagedRoutine,
)
from calibration.routines._slot_noise import SlotNoise, slot_noise
from drivers.errors import CalibrationError, LimitError
from drivers.instruments import Trace, Trigger
from drivers.optics.bench_frames import record_samples
from drivers.optics.burst import BurstFormat, BurstLayout, compose_oscillator, compose_weights
from drivers.optics.homodyne_values import probe_layout
from drivers.optics.modulation import volts_from_amplitude

__all__ = [
    "OWN_OSCILLATORS",
    "PARTIES",
    "PHASES",
    "STAGE_SETTINGS",
    "Modulator",
    "Party",
    "Stage",
    "StagedRoutine",
    "level_of_photons",
    "photons_of_level",
]


class Stage(BenchLight):
    """The bench in the hands of one routine: light, levels, records and bursts."""

    def v_pi_v(self, modulator: Modulator) -> float:
        """V_pi of a modulator's drive: from the routine "modulators", or from a setting.

        Raises:
            CalibrationError: the routine neither needs "modulators" nor has the setting.
        """
        name = f"{modulator}_v_pi_v"
        if "modulators" in self._context.results:
            return self._context.results["modulators"][name].value
        if name in self._context.settings:
            return self.number(name)
        raise CalibrationError(
            f"routine {self._context.routine.name} needs V_pi of the {modulator} modulator; "
            'let it need "modulators", or give it the setting ' + name
        )

    def phase_v_pi_v(self, party: Party) -> float:
        """V_pi of the phase shifter in a party's oscillator, by the routine "phase_shifters"."""
        return self._context.results[PHASE_SHIFTERS][f"{party}_phase_v_pi_v"].value

    def oscillator(self, level: float) -> None:
        """Set the resting level of the client's oscillator.

        Args:
            level: relative field amplitude behind the data modulator, -1 to 1.

        Raises:
            LimitError: beyond +-1, or beyond the generator's volts.
        """
        self.rest("data", level)

    def rest(self, modulator: Modulator, level: float) -> None:
        """Set the relative field amplitude, -1 to 1, that a modulator passes at rest.

        Raises:
            LimitError: beyond +-1, or beyond the generator's volts.
        """
        wanted = np.array([level], dtype=np.float32)
        volts = volts_from_amplitude(wanted, self.v_pi_v(modulator))
        self.generator(modulator).set_idle(0, float(volts[0]))

    def record(self, party: Party, samples: int, *, range_v: float | None = None) -> Trace:
        """A record of a party's detector, now, generators at rest.

        Args:
            party: whose digitiser.
            samples: length of the record; where the digitiser holds fewer, as many as it holds.
            range_v: of the digitiser; None for the setting.

        Raises:
            CalibrationError: the record is clipped.
        """
        digitiser = self.digitiser(party)
        self._configure(party, min(samples, digitiser.limits.samples), range_v)
        digitiser.arm(Trigger.IMMEDIATE)
        return self._fetched(party)

    def slot_noise(self, party: Party, samples: int, *, range_v: float | None = None) -> SlotNoise:
        """Noise of a party's matched-filter outputs in a record without signal; see `record`."""
        trace = self.record(party, samples, range_v=range_v)
        return slot_noise(trace.volts[0], self.format)

    def burst(
        self,
        layout: BurstLayout,
        *,
        means: ArrayLike | None = None,
        levels: ArrayLike | None = None,
        pilot_level: float = 0.9,
        oscillator_delay_s: float = 0.0,
        longest_delay_s: float = 60e-6,
        parties: Collection[Party] = PARTIES,
        on_p: bool = False,
    ) -> dict[Party, Trace]:
        """Play one burst and record it; with homodyne detection the phases are found before.

        Args:
            layout: of the burst.
            means: relative field amplitude at the peak of the pulse of each data slot, in [-1, 1],
                shape (data_symbols,); None for dark data slots.
            levels: relative level of the client's oscillator in each data slot, in [-1, 1], shape
                (data_symbols,); None leaves the oscillator at its resting level (`oscillator`).
            pilot_level: as `means`, of preamble and pilots; see `level_of_photons`.
            oscillator_delay_s: from the trigger to the first sample of the oscillator's drive.
            longest_delay_s: the records go on this long after the burst's own length.
            parties: who records.
            on_p: with homodyne detection, record P in place of X.

        Returns:
            One trace per party.

        Raises:
            LimitError: an amplitude beyond +-1.
            CalibrationError: a record is clipped.
            PhaseError: with homodyne detection, a phase cannot be held.
        """
        if self.is_homodyne:
            probe = self.phases_probe

            def play(who: Collection[Party], reach_s: float) -> dict[Party, Trace]:
                drive = self._weight_volts(probe, None, pilot_level)
                return self._play(probe, drive, who, reach_s)

            self.phases.hold(parties, play, longest_delay_s=longest_delay_s, on_p=on_p)
        data = self.generator("data")
        if levels is not None:
            wanted = compose_oscillator(layout, levels)
            data.load(0, volts_from_amplitude(wanted, self.v_pi_v("data")))
            data.arm(Trigger.EXTERNAL, oscillator_delay_s)
        drive = self._weight_volts(layout, means, pilot_level)
        return self._play(layout, drive, parties, longest_delay_s)

    @property
    def is_homodyne(self) -> bool:
        """Whether the bench's records lie around 0 Hz and hold one quadrature."""
        return self.format.if_cycles_per_symbol == 0

    @property
    def recorded_share(self) -> float:
        """Share of the light that a recorded quadrature holds: half where both are recorded."""
        return 1.0 if self.is_homodyne else 0.5

    @cached_property
    def phases_probe(self) -> BurstLayout:
        """Layout of the bursts that probe the phases of a homodyne bench."""
        return probe_layout(self.format)

    @cached_property
    def phases(self) -> HeldPhases:
        """The phase locks of a homodyne bench."""
        return HeldPhases(self._context, self.phases_probe)

    def _play(
        self,
        layout: BurstLayout,
        drive: NDArray[np.float32],
        parties: Collection[Party],
        longest_delay_s: float,
    ) -> dict[Party, Trace]:
        """Play a drive of the weight modulator and record it."""
        weight = self.generator("weight")
        samples = record_samples(layout, longest_delay_s)
        weight.load(0, drive)
        for party in parties:
            self._configure(party, samples, None)
            self.digitiser(party).arm(Trigger.EXTERNAL)
        weight.arm(Trigger.SOFTWARE)
        weight.trigger()
        traces = {party: self._fetched(party) for party in parties}
        for generator in (weight, self.generator("data")):
            generator.finish()
        return traces

    def _weight_volts(
        self, layout: BurstLayout, means: ArrayLike | None, pilot_level: float
    ) -> NDArray[np.float32]:
        given = np.zeros(layout.data_symbols) if means is None else means
        amplitudes = np.asarray(given, dtype=np.float32) / np.float32(layout.format.pulse.peak)
        samples = compose_weights(layout, amplitudes, pilot_level / layout.format.pulse.peak)
        return volts_from_amplitude(samples, self.v_pi_v("weight"))

    def _configure(self, party: Party, samples: int, range_v: float | None) -> None:
        wanted = self.number(f"{party}_range_v") if range_v is None else range_v
        self.digitiser(party).configure(self.format.sample_rate_hz, samples, wanted)

    def _fetched(self, party: Party) -> Trace:
        digitiser = self.digitiser(party)
        digitiser.wait(self.number("timeout_s"))
        trace = digitiser.fetch()
        if trace.clipped:
            raise CalibrationError(
                f"{digitiser.name}: {trace.clipped} of {trace.volts.size} samples are at the ends "
                f"of the range of +-{trace.range_v:g} V; raise {party}_range_v or lower the light"
            )
        return trace


def level_of_photons(photons: float, full_photons: float, burst: BurstFormat) -> float:
    """Relative field amplitude at the peak of a pulse of so many photons.

    Args:
        photons: mean photons of the pulse, at least 0.
        full_photons: mean photons per slot with the modulator fully open.
        burst: the format.

    Raises:
        LimitError: more than the modulator can pass.
    """
    share = photons / photons_of_level(1.0, full_photons, burst)
    if not 0 <= share <= 1:
        raise LimitError(
            f"pulses of {photons:.4g} photons are not between 0 and the "
            f"{photons_of_level(1.0, full_photons, burst):.4g} of the open modulator; lower the "
            "attenuation"
        )
    return float(share**0.5)


def photons_of_level(level: float, full_photons: float, burst: BurstFormat) -> float:
    """Mean photons of a pulse whose peak has the relative field amplitude `level`."""
    return level**2 * full_photons / (burst.samples_per_symbol * burst.pulse.peak**2)
