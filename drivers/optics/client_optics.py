"""The client's end of a bench: from data to a shaped oscillator, from the tap's record to outcomes.

The receiver is the passive tap: the oscillator's level in the slots of a frame is proportional to
the data, so that the frame's record sums to the inner product with noise of one shot-noise unit.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import Block, ClientOpticsInfo
from drivers.block_order import BlockOrder, check_data
from drivers.errors import InstrumentError, LimitError, OpticsError, TraceError
from drivers.instruments import Digitiser, Trigger, WaveformGenerator
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.block_guard import BlockGuard
from drivers.optics.burst import BurstLayout, compose_oscillator
from drivers.optics.link_values import ClientValues
from drivers.optics.modulation import largest_amplitude, volts_from_amplitude
from drivers.optics.receiver import Demodulated
from drivers.optics.record_reader import RecordExpectation, RecordReader
from drivers.optics.standing_checks import StandingInstruments
from drivers.receivers import PassiveTap

__all__ = [
    "BenchClientOptics",
    "ClientInstruments",
    "check_full_level",
    "client_expectation",
    "on_clock",
]

_MISALIGNMENT_LIMIT_SLOTS = 0.125
"""The oscillator changes its level where the Hann pulse has less than 1e-3 of its energy."""


@dataclass(frozen=True, kw_only=True)
class ClientInstruments:
    """What the client's optics drive; opened, switched on and locked by the bench.

    Args:
        generator: drives the data modulator with channel 0, on the bench's trigger line.
        digitiser: records the client's balanced detector.
        standing: looked at before every burst.
    """

    generator: WaveformGenerator
    digitiser: Digitiser
    standing: StandingInstruments = field(default_factory=StandingInstruments)


class BenchClientOptics:
    """The client's light on instruments; implements `drivers.backend.ClientOptics`.

    Args:
        instruments: of the client.
        values: of the client's calibration.
        receiver: the tap and its fraction.
        frames: what both ends agreed on.
        order: shared with the server's end.
        guard: what happens when a block fails; shared with the server's end.
    """

    def __init__(
        self,
        instruments: ClientInstruments,
        values: ClientValues,
        receiver: PassiveTap,
        frames: BenchFrames,
        order: BlockOrder,
        guard: BlockGuard | None = None,
    ) -> None:
        self._instruments, self._values, self._tap = instruments, values, receiver
        self._frames, self._order = frames, order
        self._levels: dict[Block, NDArray[np.float32]] = {}
        check_full_level(instruments.generator, values)
        self._reader = RecordReader(
            instruments.digitiser, frames, client_expectation(values, frames)
        )
        self._guard = guard or BlockGuard(order)
        self._guard.on_disarm(self._disarm)
        self.last: Demodulated | None = None
        """What the last record said about itself: shot noise, phase, timing."""

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
        """See `ClientOptics.load`.

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
        layout, values = self._frames.layout(block), self._values
        vectors = data.detach().cpu().to(torch.float32)
        levels = vectors / vectors.abs().amax(1, keepdim=True)
        self._forget()
        self._levels[block] = levels.numpy()
        oscillator = compose_oscillator(layout, self._frame_levels(block))
        volts = volts_from_amplitude(on_clock(oscillator, values.clock_offset), values.data_v_pi_v)
        with self._guard.guarding(block):
            self._arm(layout, volts)
        self._order.loaded(block)

    def measure(self, block: Block) -> Tensor:
        """See `ClientOptics.measure`.

        Raises:
            TraceError: the record cannot be trusted; the block is lost.
            InstrumentError: an instrument failed; the block is lost.
        """
        self._order.check_measure(block)
        layout = self._frames.layout(block)
        with self._guard.guarding(block):
            levels = self._frame_levels(block)
            trace = self._reader.fetch(layout, levels)
            try:
                found = self._reader.demodulate(trace, layout, levels)
            except TraceError as error:
                self._name_lost_trigger(error)
                raise
            outcomes = self._outcomes(block, found)
        self.last = found
        self._order.measured(block)
        return outcomes

    def _arm(self, layout: BurstLayout, volts: NDArray[np.float32]) -> None:
        """Bring generator and digitiser to where they wait for the trigger."""
        values, generator = self._values, self._instruments.generator
        standing = self._instruments.standing
        self._disarm()
        standing.check_locks()
        if standing.oscillator_meter is not None:
            generator.set_idle(0, values.data_v_pi_v)
            standing.check_oscillator(values.oscillator_power_w)
            generator.set_idle(0, 0.0)
        generator.load(0, volts)
        self._reader.arm(layout)
        generator.arm(Trigger.EXTERNAL, values.forward_delay_s - values.oscillator_delay_s)

    def _name_lost_trigger(self, error: TraceError) -> None:
        """A record without oscillator may be due to a generator that never played."""
        generator = self._instruments.generator
        if generator.reports_end and generator.is_armed():
            raise InstrumentError(
                f"{generator.name}: still waits for its trigger after the burst, so that the "
                "oscillator was not shaped; check the trigger line to it"
            ) from error

    def _forget(self) -> None:
        """Drop the data of blocks that can no longer be measured."""
        for held in [one for one in self._levels if not self._order.is_pending(one)]:
            del self._levels[held]

    def _frame_levels(self, block: Block) -> NDArray[np.float32]:
        """Oscillator level of every data symbol of the burst, in their order."""
        levels = self._levels[block][:, None, :]
        return np.broadcast_to(levels, (block.inputs, block.rows, block.modes)).reshape(-1)

    def _outcomes(self, block: Block, found: Demodulated) -> Tensor:
        """Sum of each frame over the root of the oscillator's energy in it, `(inputs, rows)`."""
        levels = self._levels.pop(block)
        shape = (block.inputs, block.rows, block.modes)
        sums = found.data.real.reshape(shape).sum(-1, dtype=np.float64)
        leak = self._leak(found.shot_noise.leak, levels)
        energy = np.square(levels, dtype=np.float64).sum(-1)
        factor = self._reader.scale.factor(found.shot_noise) / np.sqrt(energy)
        return torch.from_numpy(((sums - leak[:, None]) * factor[:, None]).astype(np.float32))

    def _leak(self, leak: complex, levels: NDArray[np.float32]) -> NDArray[np.float64]:
        """What the weight modulator's leak adds to the sum of a frame, by data vector.

        The leak is one field in all slots. The oscillator is u + i g sqrt(1 - u^2) at level u, with
        g the data modulator's own leak: nothing at full level, where the leak was measured.
        """
        level = levels.sum(-1, dtype=np.float64)
        rest = np.sqrt(np.maximum(0, 1 - np.square(levels))).sum(-1, dtype=np.float64)
        return np.asarray(leak.real * level - leak.imag * self._values.data_leak * rest)

    def _disarm(self) -> None:
        """Drop a burst that was loaded but never sent."""
        try:
            self._instruments.generator.stop()
        finally:
            self._instruments.digitiser.abort()


def client_expectation(values: ClientValues, frames: BenchFrames) -> RecordExpectation:
    """What the client's records must show.

    Args:
        values: of the client's calibration.
        frames: what both ends agreed on.
    """
    return RecordExpectation(
        delay_s=values.forward_delay_s,
        clock_offset=values.clock_offset,
        alignment_slots=_MISALIGNMENT_LIMIT_SLOTS,
        range_v=frames.client_range_v,
        electronic_noise_v2=values.electronic_noise_v2,
        shot_noise_v2=values.shot_noise_v2,
        phase_noise_rad=values.phase_noise_rad,
        pilot_amplitude_snu=2 * values.signal_gain * frames.pilot_photons**0.5,
    )


def check_full_level(generator: WaveformGenerator, values: ClientValues) -> None:
    """Refuse a generator that cannot open the data modulator.

    Args:
        generator: drives the data modulator.
        values: of the client's calibration.

    Raises:
        OpticsError: it does not reach V_pi.
    """
    highest = generator.limits.volts.highest
    if largest_amplitude(highest, values.data_v_pi_v) < 1:
        raise OpticsError(
            f"{generator.name}: reaches {highest:g} V, the data modulator needs V_pi = "
            f"{values.data_v_pi_v:.3g} V for full level; put an amplifier between them"
        )


def on_clock(samples: NDArray[np.float32], clock_offset: float) -> NDArray[np.float32]:
    """A waveform stretched by a clock offset, linear between samples."""
    if abs(clock_offset) * samples.size < 1 / 16:
        return samples
    places = np.arange(round(samples.size * (1 + clock_offset))) / (1 + clock_offset)
    before = np.minimum(places.astype(np.intp), samples.size - 2)
    share = (places - before).astype(np.float32)
    stretched = samples[before] + share * (samples[before + 1] - samples[before])
    return np.asarray(stretched, dtype=np.float32)
