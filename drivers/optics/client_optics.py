"""The client's end of a bench: from data to a shaped oscillator, from the tap's record to outcomes.

The receiver is the passive tap: the oscillator's level in the slots of a frame is proportional to
the data, so that the frame's record sums to the inner product with noise of one shot-noise unit.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import Block, ClientOpticsInfo
from drivers.block_order import BlockOrder, check_data
from drivers.errors import LimitError, OpticsError, SynchronisationError
from drivers.instruments import Digitiser, Trigger, WaveformGenerator
from drivers.optics.bench_frames import BenchFrames, record_samples, search_range
from drivers.optics.burst import BurstLayout, compose_oscillator
from drivers.optics.link_values import ClientValues
from drivers.optics.modulation import largest_amplitude, volts_from_amplitude
from drivers.optics.receiver import Demodulated, Receiver
from drivers.optics.running_scale import RunningScale
from drivers.receivers import PassiveTap

__all__ = ["BenchClientOptics", "ClientInstruments"]

_MISALIGNMENT_LIMIT_SLOTS = 0.125
"""The oscillator changes its level where the Hann pulse has less than 1e-3 of its energy."""


@dataclass(frozen=True, kw_only=True)
class ClientInstruments:
    """What the client's optics drive; opened, switched on and locked by the bench.

    Args:
        generator: drives the data modulator with channel 0, on the bench's trigger line.
        digitiser: records the client's balanced detector.
    """

    generator: WaveformGenerator
    digitiser: Digitiser


class BenchClientOptics:
    """The client's light on instruments; implements `drivers.backend.ClientOptics`.

    Args:
        instruments: of the client.
        values: of the client's calibration.
        receiver: the tap and its fraction.
        frames: what both ends agreed on.
        order: shared with the server's end.
    """

    def __init__(
        self,
        instruments: ClientInstruments,
        values: ClientValues,
        receiver: PassiveTap,
        frames: BenchFrames,
        order: BlockOrder,
    ) -> None:
        self._instruments, self._values, self._tap = instruments, values, receiver
        self._frames, self._order = frames, order
        self._levels: dict[Block, NDArray[np.float32]] = {}
        self._receiver = Receiver(frames.format, instrument=instruments.digitiser.name)
        self._check_generator()
        self._scale = RunningScale(values.shot_noise_v2)
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
        self._levels[block] = levels.numpy()
        oscillator = compose_oscillator(layout, self._frame_levels(block))
        volts = volts_from_amplitude(_on_clock(oscillator, values.clock_offset), values.data_v_pi_v)
        generator, digitiser = self._instruments.generator, self._instruments.digitiser
        self._disarm()
        generator.load(0, volts)
        digitiser.configure(
            layout.format.sample_rate_hz,
            record_samples(layout, values.forward_delay_s),
            self._frames.client_range_v,
        )
        digitiser.arm(Trigger.EXTERNAL)
        generator.arm(Trigger.EXTERNAL, values.forward_delay_s - values.oscillator_delay_s)
        self._order.loaded(block)

    def measure(self, block: Block) -> Tensor:
        """See `ClientOptics.measure`.

        Raises:
            TraceError: the record cannot be trusted; the block is lost.
        """
        self._order.check_measure(block)
        digitiser, values = self._instruments.digitiser, self._values
        layout = self._frames.layout(block)
        try:
            digitiser.wait(self._frames.timeout_s(layout))
            found = self._receiver.process(
                digitiser.fetch().volts[0],
                layout,
                electronic_noise=values.electronic_noise_v2,
                oscillator_levels=self._frame_levels(block),
                search=search_range(layout, values.forward_delay_s),
            )
            self._check_alignment(found, layout)
        except BaseException:
            self._order.lost(block)
            raise
        self.last = found
        self._order.measured(block)
        return self._outcomes(block, found)

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
        factor = self._scale.factor(found.shot_noise) / np.sqrt(energy)
        return torch.from_numpy(((sums - leak[:, None]) * factor[:, None]).astype(np.float32))

    def _leak(self, leak: complex, levels: NDArray[np.float32]) -> NDArray[np.float64]:
        """What the weight modulator's leak adds to the sum of a frame, by data vector.

        The leak is one field in all slots. The oscillator is u + i g sqrt(1 - u^2) at level u, with
        g the data modulator's own leak: nothing at full level, where the leak was measured.
        """
        level = levels.sum(-1, dtype=np.float64)
        rest = np.sqrt(np.maximum(0, 1 - np.square(levels))).sum(-1, dtype=np.float64)
        return np.asarray(leak.real * level - leak.imag * self._values.data_leak * rest)

    def _check_alignment(self, found: Demodulated, layout: BurstLayout) -> None:
        """The light must lie in the oscillator's slots from the first to the last."""
        burst = layout.format
        timing = found.synchronisation.timing
        begin = timing.start - self._values.forward_delay_s * burst.sample_rate_hz
        stretch = found.clock_offset - self._values.clock_offset
        end = begin + stretch * layout.total_samples
        worst = max(abs(begin), abs(end)) / burst.samples_per_symbol
        if not worst <= _MISALIGNMENT_LIMIT_SLOTS:
            raise SynchronisationError(
                f"{self._instruments.digitiser.name}: the light is {worst:.3g} slots beside the "
                f"oscillator's, the limit is {_MISALIGNMENT_LIMIT_SLOTS:g} (at the burst's begin "
                f"{begin:.2f} samples, clock offset {stretch * 1e6:.3g} ppm from the calibrated); "
                "calibrate the delays"
            )

    def _disarm(self) -> None:
        """Drop a burst that was loaded but never sent."""
        self._instruments.generator.stop()
        self._instruments.digitiser.abort()

    def _check_generator(self) -> None:
        limits = self._instruments.generator.limits
        reach = largest_amplitude(limits.volts.highest, self._values.data_v_pi_v)
        if reach < 1:
            raise OpticsError(
                f"{self._instruments.generator.name}: reaches {limits.volts.highest:g} V, the data "
                f"modulator needs V_pi = {self._values.data_v_pi_v:.3g} V for full level; put an "
                "amplifier between them"
            )


def _on_clock(samples: NDArray[np.float32], clock_offset: float) -> NDArray[np.float32]:
    """A waveform stretched by a clock offset, linear between samples."""
    if abs(clock_offset) * samples.size < 1 / 16:
        return samples
    places = np.arange(round(samples.size * (1 + clock_offset))) / (1 + clock_offset)
    before = np.minimum(places.astype(np.intp), samples.size - 2)
    share = (places - before).astype(np.float32)
    stretched = samples[before] + share * (samples[before + 1] - samples[before])
    return np.asarray(stretched, dtype=np.float32)
