"""The server's end of a bench: from means to a modulator's volts, from a record to quadratures.

The oscillator of the return is offset in frequency, so that one record holds both quadratures of
every mode; the quadrature in which a frame is tested is chosen when it is collected.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import Block, ReturnSummary, ServerOpticsInfo
from drivers.block_order import BlockOrder, check_gain, check_means, check_quadratures
from drivers.errors import LimitError, ReadbackError
from drivers.instruments import Attenuator, Digitiser, Trace, Trigger, WaveformGenerator
from drivers.optics.bench_frames import BenchFrames, record_samples, search_range
from drivers.optics.burst import BurstLayout, compose_weights
from drivers.optics.link_values import ServerValues
from drivers.optics.modulation import largest_amplitude, volts_from_amplitude
from drivers.optics.receiver import Demodulated, Receiver
from drivers.optics.running_scale import SCALE_UNCERTAINTY, RunningScale
from drivers.return_summary import summarise

__all__ = ["BenchServerOptics", "ServerInstruments"]

_ATTENUATION_TOLERANCE_DB = 0.01


@dataclass(frozen=True, kw_only=True)
class ServerInstruments:
    """What the server's optics drive; opened, switched on and locked by the bench.

    Args:
        generator: drives the weight modulator with channel 0 and fires the bench's trigger line.
        attenuator: between the modulator and the fibre.
        digitiser: records the server's balanced detector.
    """

    generator: WaveformGenerator
    attenuator: Attenuator
    digitiser: Digitiser


class BenchServerOptics:
    """The server's light on instruments; implements `drivers.backend.ServerOptics`.

    Args:
        instruments: of the server.
        values: of the server's calibration.
        frames: what both ends agreed on.
        order: shared with the client's end.
    """

    def __init__(
        self,
        instruments: ServerInstruments,
        values: ServerValues,
        frames: BenchFrames,
        order: BlockOrder,
    ) -> None:
        self._instruments, self._values = instruments, values
        self._frames, self._order = frames, order
        self._means: dict[Block, Tensor] = {}
        self._traces: dict[Block, Trace] = {}
        self._recording: Block | None = None
        self._receiver = Receiver(frames.format, instrument=instruments.digitiser.name)
        self._scale = RunningScale(values.shot_noise_v2)
        self.last: Demodulated | None = None
        """What the last record said about itself: shot noise, phase, timing."""

    def describe(self) -> ServerOpticsInfo:
        """See `ServerOptics.describe`."""
        values, frames = self._values, self._frames
        return ServerOpticsInfo(
            backend=frames.backend,
            simulated=frames.simulated,
            seed=frames.seed,
            modes_per_frame=frames.modes_per_frame,
            symbol_rate_hz=frames.format.symbol_rate_hz,
            forward_transmittance=values.forward_transmittance,
            return_transmittance=values.return_transmittance,
            detection_efficiency=values.detection_efficiency,
            # The measured noise without light holds the converter's steps, which count apart.
            electronic_noise_snu=max(0.0, values.electronic_noise_snu - self._step_snu() ** 2 / 12),
            phase_noise_rad=values.phase_noise_rad,
            gain_uncertainty=values.gain_uncertainty,
            variance_uncertainty=math.hypot(values.variance_uncertainty, SCALE_UNCERTAINTY),
            converter_range_snu=self._range_snu(),
            converter_step_snu=self._step_snu(),
        )

    def send(self, block: Block, means_snu: Tensor) -> None:
        """See `ServerOptics.send`.

        Raises:
            LimitError: complex light, more light than the bench was calibrated for, or a burst
                that is longer than the instruments' memories.
            ReadbackError: the attenuator is not where it was calibrated.
        """
        self._order.check_send(block)
        check_means(block, means_snu)
        if means_snu.is_complex():
            raise LimitError(
                f"{block.name}: the weight modulator makes the quadrature X alone; use real "
                "encoding with it"
            )
        layout = self._frames.layout(block)
        volts = self._volts(block, layout, means_snu)
        self._check_attenuation()
        generator, digitiser = self._instruments.generator, self._instruments.digitiser
        samples = record_samples(layout, self._values.round_trip_delay_s)
        self._clear_digitiser(block)
        generator.load(0, volts)
        digitiser.configure(layout.format.sample_rate_hz, samples, self._frames.server_range_v)
        digitiser.arm(Trigger.EXTERNAL)
        try:
            generator.arm(Trigger.SOFTWARE)
            generator.trigger()
        except BaseException:
            digitiser.abort()
            self._order.lost(block)
            raise
        self._recording = block
        self._means[block] = means_snu.detach().to("cpu", torch.float32, copy=True)
        self._order.sent(block)

    def collect_full(self, block: Block, quadratures: Tensor) -> Tensor:
        """See `ServerOptics.collect_full`.

        Raises:
            TraceError: the record cannot be trusted; the block is lost.
        """
        self._order.check_collect(block)
        check_quadratures(block, quadratures)
        values = torch.from_numpy(self._record(block)).reshape(
            block.inputs, block.rows, block.modes
        )
        self._order.collected(block)
        return torch.where(quadratures.cpu()[..., None], values.imag, values.real)

    def collect_summary(
        self, block: Block, quadratures: Tensor, reference_gain: float
    ) -> ReturnSummary:
        """See `ServerOptics.collect_summary`."""
        check_gain(block, reference_gain)
        values = self.collect_full(block, quadratures)
        return summarise(
            values,
            quadratures.cpu(),
            self._means.pop(block),
            reference_gain,
            self._range_snu(),
            self._step_snu(),
        )

    def _record(self, block: Block) -> NDArray[np.complex64]:
        """Recorded quadratures of the block's data symbols, in their order, in SNU."""
        values, layout = self._values, self._frames.layout(block)
        try:
            if block == self._recording:
                self._clear_digitiser(block)
            found = self._receiver.process(
                self._traces.pop(block).volts[0],
                layout,
                electronic_noise=values.electronic_noise_v2,
                calibrated_shot_noise=values.shot_noise_v2,
                search=search_range(layout, values.round_trip_delay_s),
            )
        except BaseException:
            self._order.lost(block)
            raise
        self.last = found
        # What the modulator lets through at its null is the same in every slot: it is no weight.
        data = found.data - np.complex64(found.shot_noise.leak)
        data *= np.float32(self._scale.factor(found.shot_noise))
        return data

    def _clear_digitiser(self, block: Block) -> None:
        """Take the record out of the digitiser, whichever block's it is."""
        held, self._recording = self._recording, None
        if held is None:
            self._instruments.digitiser.abort()
            return
        digitiser = self._instruments.digitiser
        digitiser.wait(self._frames.timeout_s(self._frames.layout(held)))
        self._traces[held] = digitiser.fetch()
        for old in [one for one in self._traces if one.run < block.run]:
            del self._traces[old]

    def _volts(self, block: Block, layout: BurstLayout, means_snu: Tensor) -> NDArray[np.float32]:
        """The drive of the weight modulator; a mean q has q^2/4 photons."""
        shape = (block.inputs, block.rows, block.modes)
        amplitudes = (means_snu.detach().cpu().to(torch.float32) / 2).expand(shape).reshape(-1)
        per_root_photon = (layout.format.samples_per_symbol / self._values.full_photons) ** 0.5
        samples = compose_weights(
            layout, amplitudes.numpy(), self._frames.pilot_photons**0.5
        ).astype(np.float32, copy=False)
        samples *= np.float32(per_root_photon)
        limit = largest_amplitude(
            self._instruments.generator.limits.volts.highest, self._values.weight_v_pi_v
        )
        largest = float(np.abs(samples).max())
        if not largest <= limit:
            peak = layout.format.pulse.peak**2 * layout.format.samples_per_symbol
            raise LimitError(
                f"{block.name}: pulses of {self._values.full_photons * largest**2 / peak:.4g} "
                f"photons are asked for, at {self._values.attenuation_db:g} dB the bench makes at "
                f"most {self._values.full_photons * limit**2 / peak:.4g}; lower the photons per "
                "symbol, or calibrate at less attenuation"
            )
        return volts_from_amplitude(samples, self._values.weight_v_pi_v)

    def _check_attenuation(self) -> None:
        found = self._instruments.attenuator.attenuation_db()
        if not abs(found - self._values.attenuation_db) <= _ATTENUATION_TOLERANCE_DB:
            raise ReadbackError(
                f"{self._instruments.attenuator.name}: attenuation is {found:.3f} dB, the launch "
                f"was calibrated at {self._values.attenuation_db:.3f} dB; set it back or calibrate"
            )

    def _step_snu(self) -> float:
        """Width of a code: white noise has the same variance in samples and matched outputs."""
        step = math.ldexp(self._frames.server_range_v, 1 - self._instruments.digitiser.limits.bits)
        return step / math.sqrt(self._values.shot_noise_v2)

    def _range_snu(self) -> float:
        """Full scale of the digitiser in recorded quadratures: a pulse whose beat just fits."""
        unit = math.sqrt(2 * self._values.shot_noise_v2)
        return self._frames.server_range_v / (unit * self._frames.format.pulse.peak)
