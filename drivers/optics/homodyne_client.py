"""The client's end of a homodyne bench: the tapped light in phase with a shaped oscillator.

As in `client_optics` the oscillator's level in a slot is proportional to the data. What the
detector's unbalance shows of those levels lies in the band of the light and is taken off the record
(`homodyne_receiver`). The phase lock holds X in every burst of data.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import Block, ClientOpticsInfo
from drivers.block_order import BlockOrder, check_data
from drivers.errors import InstrumentError, LimitError
from drivers.instruments import Digitiser, PhaseDriver, Trace, Trigger, WaveformGenerator
from drivers.optics.block_guard import BlockGuard
from drivers.optics.burst import BurstLayout, compose_oscillator
from drivers.optics.client_optics import check_full_level, client_expectation, on_clock
from drivers.optics.homodyne_lock import PhaseLock
from drivers.optics.homodyne_receiver import HomodyneReader, HomodyneSlots
from drivers.optics.homodyne_turns import HomodyneTurns, Step, Turn, set_probe, take_probe
from drivers.optics.homodyne_values import HomodyneSettings, one_input, probe_layout
from drivers.optics.modulation import volts_from_amplitude
from drivers.optics.standing_checks import StandingInstruments

__all__ = ["HomodyneClientInstruments", "HomodyneClientOptics"]


@dataclass(frozen=True, kw_only=True)
class HomodyneClientInstruments:
    """What the client's optics drive; opened, switched on and locked by the bench.

    Args:
        generator: drives the data modulator with channel 0, on the bench's trigger line.
        digitiser: records the client's balanced detector, coupled down to 0 Hz.
        phase: turns the client's local oscillator.
        standing: looked at before every block.
    """

    generator: WaveformGenerator
    digitiser: Digitiser
    phase: PhaseDriver
    standing: StandingInstruments = field(default_factory=StandingInstruments)


@dataclass(kw_only=True)
class _Loaded:
    """A block's data: levels `(inputs, modes)`, and the record of every burst."""

    levels: NDArray[np.float32]
    traces: list[Trace] = field(default_factory=list)


class HomodyneClientOptics:
    """The client's light on instruments; implements `drivers.backend.ClientOptics`.

    Attributes:
        lock: of the client's phase.
        last: the last burst's data and pilots; None before the first.

    Args:
        instruments: of the client.
        settings: agreement and calibrated values; of the server's, nothing is used.
        order: shared with the server's end.
        turns: shared with the server's end.
        guard: what happens when a block fails; shared with the server's end.
    """

    def __init__(
        self,
        instruments: HomodyneClientInstruments,
        settings: HomodyneSettings,
        order: BlockOrder,
        turns: HomodyneTurns,
        guard: BlockGuard | None = None,
    ) -> None:
        self._instruments, self._values = instruments, settings.client
        self._tap, self._frames, self._order = settings.receiver, settings.frames, order
        self._probe = probe_layout(settings.frames.format)
        self._blocks: dict[Block, _Loaded] = {}
        check_full_level(instruments.generator, settings.client)
        self._reader = HomodyneReader(
            instruments.digitiser,
            settings.frames,
            client_expectation(settings.client, settings.frames),
        )
        self.lock = PhaseLock(
            instruments.phase,
            v_pi_v=settings.tap_phase_v_pi_v,
            amplitude_v=self._reader.expected_pilot_v,
            limits=settings.limits_for(settings.client.phase_noise_rad),
        )
        self._guard = guard or BlockGuard(order)
        self._guard.on_disarm(self._disarm)
        self.last: HomodyneSlots | None = None
        turns.join(self._prepare, self._take)

    def describe(self) -> ClientOpticsInfo:
        """See `ClientOptics.describe`."""
        values, frames = self._values, self._frames
        return ClientOpticsInfo(
            backend=frames.backend,
            simulated=frames.simulated,
            seed=frames.seed,
            receiver=self._tap,
            modes_per_frame=frames.modes_per_frame,
            symbol_rate_hz=frames.format.symbol_rate_hz,
            signal_gain=values.signal_gain,
            outcome_variance_snu=1 + values.electronic_noise_snu * frames.peak_to_average,
        )

    def load(self, block: Block, data: Tensor) -> None:
        """See `ClientOptics.load`. The oscillator is shaped burst by burst, as the light is due.

        Raises:
            LimitError: complex data, or a burst longer than the instruments' memories.
            InstrumentError: the bench does not stand as it was calibrated, or an instrument
                failed; the bench is disarmed and safe.
        """
        self._order.check_load(block)
        check_data(block, data)
        if data.is_complex():
            raise LimitError(
                f"{block.name}: the data modulator makes one quadrature of the oscillator alone; "
                "use real encoding with it"
            )
        self._frames.layout(one_input(block))
        vectors = data.detach().cpu().to(torch.float32)
        levels = vectors / vectors.abs().amax(1, keepdim=True)
        for held in [one for one in self._blocks if not self._order.is_pending(one)]:
            del self._blocks[held]
        with self._guard.guarding(block):
            self._check_standing()
        self._blocks[block] = _Loaded(levels=levels.numpy())
        self._order.loaded(block)

    def measure(self, block: Block) -> Tensor:
        """See `ClientOptics.measure`.

        Raises:
            PhaseError: a burst was not recorded in X; the block is lost.
            TraceError: a record cannot be trusted; the block is lost.
        """
        self._order.check_measure(block)
        layout = self._frames.layout(one_input(block))
        with self._guard.guarding(block):
            held = self._blocks[block]
            found = [
                self._demodulated(trace, layout, np.tile(levels, block.rows))
                for trace, levels in zip(held.traces, held.levels, strict=True)
            ]
            outcomes = self._outcomes(block, held.levels, found)
        del self._blocks[block]
        self._order.measured(block)
        return outcomes

    def _prepare(self, turn: Turn) -> None:
        """Bring phase, generator and digitiser to where they wait for a burst."""
        if turn.step is Step.DATA:
            self.lock.hold(on_p=False)
        else:
            set_probe(self.lock, turn)
        self._arm(*self._burst(turn))

    def _take(self, turn: Turn) -> None:
        """Take the record of a burst, and of a probe what it says about the phase."""
        layout, levels = self._burst(turn)
        trace = self._fetched(layout, levels)
        if turn.step is Step.DATA:
            self._blocks[turn.block].traces.append(trace)
            return
        take_probe(self.lock, turn, self._reader.probe(trace, layout))

    def _burst(self, turn: Turn) -> tuple[BurstLayout, NDArray[np.float32]]:
        """Layout of a burst and the oscillator's level in its data slots."""
        if turn.step is not Step.DATA:
            return self._probe, np.ones(self._probe.data_symbols, dtype=np.float32)
        levels = self._blocks[turn.block].levels[turn.index]
        return self._frames.layout(one_input(turn.block)), np.tile(levels, turn.block.rows)

    def _arm(self, layout: BurstLayout, levels: NDArray[np.float32]) -> None:
        values, generator = self._values, self._instruments.generator
        waveform = on_clock(compose_oscillator(layout, levels), values.clock_offset)
        generator.stop()
        generator.load(0, volts_from_amplitude(waveform, values.data_v_pi_v))
        self._reader.arm(layout)
        generator.arm(Trigger.EXTERNAL, values.forward_delay_s - values.oscillator_delay_s)

    def _fetched(self, layout: BurstLayout, levels: NDArray[np.float32]) -> Trace:
        trace = self._reader.fetch(layout, levels)
        generator = self._instruments.generator
        if generator.reports_end and generator.is_armed():
            raise InstrumentError(
                f"{generator.name}: still waits for its trigger after the burst, so that the "
                "oscillator was not shaped; check the trigger line to it"
            )
        return trace

    def _demodulated(
        self, trace: Trace, layout: BurstLayout, levels: NDArray[np.float32]
    ) -> HomodyneSlots:
        """The data of a burst; its phase is checked against the lock."""
        found = self._reader.quadrature(trace, layout, levels)
        self.lock.check(found.pilots.mean_v, found.pilots.uncertainty_v, on_p=False)
        self.last = found
        return found

    def _outcomes(
        self, block: Block, levels: NDArray[np.float32], found: list[HomodyneSlots]
    ) -> Tensor:
        """Sum of each frame over the root of the oscillator's energy in it, `(inputs, rows)`."""
        outcomes = np.empty((block.inputs, block.rows))
        for index, burst in enumerate(found):
            energy = float(np.square(levels[index], dtype=np.float64).sum())
            scale = self._reader.scale.factor(burst.shot_noise) / burst.shot_noise.shot**0.5
            sums = burst.data_v.reshape(block.rows, block.modes).sum(axis=1)
            outcomes[index] = sums * scale / np.sqrt(energy)
        return torch.from_numpy(outcomes.astype(np.float32))

    def _disarm(self) -> None:
        """Drop what was sent; the phase is searched for again."""
        self._reader.scale.forget()
        self.lock.forget()
        try:
            self._instruments.generator.stop()
        finally:
            self._instruments.digitiser.abort()

    def _check_standing(self) -> None:
        """The bench must stand as it was calibrated."""
        standing, generator = self._instruments.standing, self._instruments.generator
        standing.check_locks()
        if standing.oscillator_meter is not None:
            generator.set_idle(0, self._values.data_v_pi_v)
            standing.check_oscillator(self._values.oscillator_power_w)
            generator.set_idle(0, 0.0)
