"""The phases of a homodyne bench in the hands of one routine: held for every burst.

Owns the probes of the routines. Nothing is assumed of the phase between two bursts: it is searched
for and probed once more before each, and the burst's own pilots are looked at afterwards.
"""

from collections.abc import Callable, Collection
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibration.routine import Context
from calibration.routines._roles import PHASE_SHIFTERS, PHASES, Party
from drivers.errors import SynchronisationError
from drivers.instruments import PhaseDriver, Trace
from drivers.optics.bench_frames import search_range
from drivers.optics.burst import BurstLayout
from drivers.optics.homodyne_lock import SEARCHES, PhaseLock
from drivers.optics.homodyne_receiver import (
    Pilots,
    around_zero,
    homodyne_slots,
    measure_pilots,
    take_echo,
    vacuum_noise,
)
from drivers.optics.phase import PhaseTrack
from drivers.optics.receiver import Demodulated
from drivers.optics.slot_filter import SlotTiming
from drivers.optics.synchronisation import SearchSettings, Synchronisation, synchronise

__all__ = ["HeldPhases", "Player"]

Player = Callable[[Collection[Party], float], dict[Party, Trace]]
"""Plays a probe and records it for the given parties, so many seconds beyond its length."""

_MARGIN_S: Final = 2e-6
# A clock beyond the engine's limit is measured all the same, so that it can be named.
_SEARCH: Final = SearchSettings(clock_limit=200e-6)


class HeldPhases:
    """Both phase locks of a homodyne bench.

    Attributes:
        locks: of the parties that were held.
        timings: where a burst's slots lie in their records, by the last search.

    Args:
        context: of the routine, which needs "phase_shifters" and has the phase shifters' roles.
        probe: layout of the bursts that probe the phase.
    """

    def __init__(self, context: Context, probe: BurstLayout) -> None:
        self._context, self._probe = context, probe
        self.locks: dict[Party, PhaseLock] = {}
        self.timings: dict[Party, SlotTiming] = {}

    def hold(
        self,
        parties: Collection[Party],
        play: Player,
        *,
        longest_delay_s: float,
        on_p: bool = False,
    ) -> None:
        """Find the phases, and set the quadrature for the burst that follows.

        Args:
            parties: whose.
            play: plays and records a probe.
            longest_delay_s: after which the light of a probe must have come.
            on_p: P in place of X.

        Raises:
            PhaseError: a phase is not known or moves too fast.
            SynchronisationError: no probe is found in the records.
        """
        for party in parties:
            if party not in self.locks:
                self.locks[party] = self._lock(party)
        # Where a probe was found once, another is looked for there.
        known = [self._place_s(party) for party in parties if party in self.timings]
        reach_s = max(known) + _MARGIN_S if len(known) == len(parties) else longest_delay_s
        reach_s = min(reach_s, longest_delay_s)
        probes = [self._searched(parties, play, index, reach_s) for index in range(SEARCHES)]
        for party in parties:
            records = [np.asarray(traces[party].volts[0]) for traces in probes]
            self.timings[party] = self._timing(party, records)
            for index, volts in enumerate(records):
                found = self._pilots(party, volts)
                self.locks[party].take(index, found.mean_v, found.uncertainty_v)
            self.locks[party].hold(on_p=True)
        traces = play(parties, reach_s)
        for party in parties:
            found = self._pilots(party, np.asarray(traces[party].volts[0]))
            self.locks[party].track(found.mean_v, found.uncertainty_v)
            self.locks[party].hold(on_p=on_p)

    def read(
        self,
        party: Party,
        volts: NDArray[np.float32],
        layout: BurstLayout,
        *,
        electronic_v2: float,
        search: tuple[int, int] | None,
        instrument: str,
    ) -> Demodulated:
        """X of a burst that was held there, in the form of a heterodyne record's; P is left 0.

        Args:
            party: whose record.
            volts: the record.
            layout: of the burst.
            electronic_v2: variance of a matched-filter output without light.
            search: samples between which the preamble may begin; None for the whole record.
            instrument: name for messages.

        Raises:
            TraceError: the record cannot be trusted.
        """
        found = _place(volts, layout, search, instrument)
        slots = homodyne_slots(volts, layout, found.timing)
        pilots = measure_pilots(slots, layout)
        lock = self.locks[party]
        lock.check(pilots.mean_v, pilots.uncertainty_v, on_p=False)
        guard = layout.format.guard_slots
        slots -= float(slots[layout.vacuum - guard].mean())
        echo = take_echo(slots, layout)
        noise = vacuum_noise(slots[layout.vacuum - guard], electronic_v2, instrument)
        scaled = (slots / np.sqrt(noise.shot)).astype(np.complex64)
        data = scaled[layout.data - guard]
        return Demodulated(
            data=data,
            data_noise=np.full(data.size, 1 + noise.electronic_snu, dtype=np.float32),
            vacuum=scaled[layout.vacuum - guard],
            shot_noise=noise,
            electronic_snu=noise.electronic_snu,
            pilot_amplitude=float(pilots.mean_v / np.sqrt(noise.shot)),
            phase=_standing(layout, lock, pilots),
            synchronisation=found,
            echo=echo,
            data_phase_variance=np.full(data.size, lock.residual_rad**2, dtype=np.float32),
        )

    def _searched(
        self, parties: Collection[Party], play: Player, index: int, reach_s: float
    ) -> dict[Party, Trace]:
        for party in parties:
            self.locks[party].search(index)
        return play(parties, reach_s)

    def _place_s(self, party: Party) -> float:
        """When a burst began in a party's record."""
        return self.timings[party].start / self._probe.format.sample_rate_hz

    def _lock(self, party: Party) -> PhaseLock:
        v_pi = self._context.results[PHASE_SHIFTERS][f"{party}_phase_v_pi_v"].value
        driver = self._context.instrument(PHASES[party], PhaseDriver)  # type: ignore[type-abstract]
        return PhaseLock(driver, v_pi_v=v_pi, amplitude_v=None)

    def _timing(self, party: Party, records: list[NDArray[np.float32]]) -> SlotTiming:
        """Where the slots lie, by the clearest of the probes: in some the pilots vanish."""
        search = None
        if party in self.timings:
            search = search_range(self._probe, self._place_s(party))
        best: Synchronisation | None = None
        failure: SynchronisationError | None = None
        for volts in records:
            try:
                found = _place(volts, self._probe, search, self.locks[party].name)
            except SynchronisationError as error:
                failure = error
                continue
            if best is None or found.statistic > best.statistic:
                best = found
        if best is None:
            assert failure is not None
            raise failure
        return best.timing

    def _pilots(self, party: Party, volts: NDArray[np.float32]) -> Pilots:
        return measure_pilots(homodyne_slots(volts, self._probe, self.timings[party]), self._probe)


def _place(
    volts: NDArray[np.float32],
    layout: BurstLayout,
    search: tuple[int, int] | None,
    instrument: str,
) -> Synchronisation:
    # Signs of preamble and pilots are balanced: the mean of the record is its level.
    level = float(np.mean(volts, dtype=np.float64))
    return synchronise(
        around_zero(volts, level), layout, search=search, settings=_SEARCH, instrument=instrument
    )


def _standing(layout: BurstLayout, lock: PhaseLock, pilots: Pilots) -> PhaseTrack:
    """A phase that stands still, with the variance that the lock has found."""
    variance = lock.residual_rad**2
    return PhaseTrack(
        phase_rad=np.zeros(layout.body_slots),
        variance_rad2=np.full(layout.body_slots, variance, dtype=np.float32),
        linewidth_hz=0.0,
        frequency_hz=0.0,
        pilot_amplitude=pilots.mean_v,
        pilot_variance_rad2=pilots.noise_v2 / lock.amplitude_v**2,
        mean_variance_rad2=variance,
    )
