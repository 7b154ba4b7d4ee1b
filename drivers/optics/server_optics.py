"""The server's end of a bench: from means to a modulator's volts, from a record to quadratures.

The oscillator of the return is offset in frequency, so that one record holds both quadratures of
every mode; the quadrature in which a frame is tested is chosen when it is collected.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import Block, ServerOpticsInfo
from drivers.block_order import BlockOrder, check_means, check_quadratures
from drivers.errors import LimitError, ReadbackError
from drivers.instruments import Attenuator, Digitiser, Trace, Trigger, WaveformGenerator
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.block_guard import BlockGuard
from drivers.optics.burst import BurstLayout, compose_weights
from drivers.optics.link_values import ServerValues
from drivers.optics.modulation import largest_amplitude, volts_from_amplitude
from drivers.optics.receiver import Demodulated
from drivers.optics.record_reader import RecordExpectation, RecordReader
from drivers.optics.running_scale import SCALE_UNCERTAINTY
from drivers.optics.shot_noise import ShotNoise
from drivers.optics.standing_checks import StandingInstruments
from drivers.optics.watched_returns import WatchedReturns, rails_of, shifts_of, vacuum_of_slots
from drivers.receivers import PassiveTap
from drivers.record_watch import RecordWatch

__all__ = [
    "BenchServerOptics",
    "ServerInstruments",
    "check_launch",
    "server_expectation",
    "weight_volts",
]

_ATTENUATION_TOLERANCE_DB = 0.01
_SLIP_LIMIT_SLOTS = 0.5
"""A burst that comes a slot late is never taken for one in time."""


@dataclass(frozen=True, kw_only=True)
class ServerInstruments:
    """What the server's optics drive; opened, switched on and locked by the bench.

    Args:
        generator: drives the weight modulator with channel 0 and fires the bench's trigger line.
        attenuator: between the modulator and the fibre.
        digitiser: records the server's balanced detector.
        standing: looked at before every burst.
    """

    generator: WaveformGenerator
    attenuator: Attenuator
    digitiser: Digitiser
    standing: StandingInstruments = field(default_factory=StandingInstruments)


class BenchServerOptics(WatchedReturns):
    """The server's light on instruments; implements `drivers.backend.ServerOptics`.

    Args:
        instruments: of the server.
        values: of the server's calibration.
        receiver: the tap that the client agreed to.
        frames: what both ends agreed on.
        order: shared with the client's end.
        guard: what happens when a block fails; shared with the client's end.
    """

    def __init__(
        self,
        instruments: ServerInstruments,
        values: ServerValues,
        receiver: PassiveTap,
        frames: BenchFrames,
        order: BlockOrder,
        guard: BlockGuard | None = None,
    ) -> None:
        super().__init__()
        self._instruments, self._values = instruments, values
        self._frames, self._order = frames, order
        self._means: dict[Block, Tensor] = {}
        self._traces: dict[Block, Trace] = {}
        self._recording: Block | None = None
        self._reader = RecordReader(
            instruments.digitiser, frames, server_expectation(values, receiver, frames)
        )
        self._guard = guard or BlockGuard(order)
        self._guard.on_disarm(self._disarm)
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
            phase_variance_uncertainty_rad2=values.phase_variance_uncertainty_rad2,
            gain_uncertainty=values.gain_uncertainty,
            variance_uncertainty=math.hypot(values.variance_uncertainty, SCALE_UNCERTAINTY),
            converter_range_snu=self._range_snu(),
            converter_step_snu=self._step_snu(),
            modulates_p=False,
        )

    def send(self, block: Block, means_snu: Tensor) -> None:
        """See `ServerOptics.send`.

        Raises:
            LimitError: complex light, more light than the bench was calibrated for, or a burst
                that is longer than the instruments' memories.
            InstrumentError: the bench does not stand as it was calibrated, or an instrument
                failed; the block is lost, the bench is disarmed and safe.
            TraceError: the record of the block before, which is fetched now, is not what was
                asked for.
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
        self._forget(block)
        with self._guard.guarding(block):
            check_launch(self._instruments.attenuator, self._instruments.standing, self._values)
            self._play(block, layout, volts)
        self._means[block] = means_snu.detach().to("cpu", torch.float32, copy=True)

    def collect_full(self, block: Block, quadratures: Tensor) -> Tensor:
        """See `ServerOptics.collect_full`.

        Raises:
            TraceError: the record cannot be trusted; the block is lost.
            InstrumentError: no record came; the block is lost.
        """
        return self._collect(block, quadratures)[0]

    def _collect(self, block: Block, quadratures: Tensor) -> tuple[Tensor, Tensor]:
        """What was measured of a block, and the means that it was sent with."""
        self._order.check_collect(block)
        check_quadratures(block, quadratures)
        data, trace, noise = self._record(block)
        self._order.collected(block)
        both = torch.from_numpy(data).reshape(block.inputs, block.rows, block.modes)
        values = torch.where(quadratures.cpu()[..., None], both.imag, both.real)
        means = self._means.pop(block)
        rails, allowed = rails_of([trace])
        watch = RecordWatch(
            vacuum=vacuum_of_slots(
                noise.vacuum, noise.vacuum_slots, self._values.vacuum_noise_v2, quadratures=2
            ),
            shifted=shifts_of(values, quadratures, means),
            rail_samples=rails,
            rails_allowed=allowed,
        )
        self._collected(block, values, quadratures, means, watch)
        return values, means

    def _play(self, block: Block, layout: BurstLayout, volts: NDArray[np.float32]) -> None:
        """Send a burst and let the return be recorded."""
        generator = self._instruments.generator
        self._clear_digitiser()
        generator.stop()
        generator.load(0, volts)
        self._reader.arm(layout)
        generator.arm(Trigger.SOFTWARE)
        # Counted before the light is out: what fails from here on may have been seen by the client.
        self._order.sent(block)
        generator.trigger()
        self._recording = block

    def _record(self, block: Block) -> tuple[NDArray[np.complex64], Trace, ShotNoise]:
        """Quadratures of the block's data symbols, in their order, in SNU; what they are from."""
        with self._guard.guarding(block):
            if block == self._recording:
                self._clear_digitiser()
            trace = self._traces.pop(block)
            found = self._reader.demodulate(trace, self._frames.layout(block))
            # What the modulator lets through at its null is the same in every slot: no weight.
            data = found.data - np.complex64(found.shot_noise.leak)
            data *= np.float32(self._reader.scale.factor(found.shot_noise))
        self.last = found
        return data, trace, found.shot_noise

    def _clear_digitiser(self) -> None:
        """Take the record out of the digitiser, whichever block's it is."""
        held, self._recording = self._recording, None
        if held is None or not self._order.is_returning(held):
            self._instruments.digitiser.abort()
            return
        try:
            self._traces[held] = self._reader.fetch(self._frames.layout(held))
        except BaseException:
            self._order.lost(held)
            raise

    def _disarm(self) -> None:
        """Stop all instruments; the record of an earlier block is kept if it is there."""
        self._reader.scale.forget()
        try:
            self._instruments.generator.stop()
        finally:
            self._clear_digitiser()
            self._instruments.digitiser.abort()

    def _forget(self, block: Block) -> None:
        """Drop what is held of blocks that can no longer be collected."""
        for held in [one for one in self._traces if not self._order.is_returning(one)]:
            del self._traces[held]
        for held in [one for one in self._means if one.run < block.run]:
            del self._means[held]

    def _volts(self, block: Block, layout: BurstLayout, means_snu: Tensor) -> NDArray[np.float32]:
        """The drive of the weight modulator; a mean q has q^2/4 photons."""
        shape = (block.inputs, block.rows, block.modes)
        amplitudes = (means_snu.detach().cpu().to(torch.float32) / 2).expand(shape).reshape(-1)
        return weight_volts(
            block,
            layout,
            amplitudes.numpy(),
            self._frames,
            self._values,
            self._instruments.generator,
        )

    def _step_snu(self) -> float:
        """Width of a code: white noise has the same variance in samples and matched outputs."""
        return self._reader.step_v / math.sqrt(self._values.shot_noise_v2)

    def _range_snu(self) -> float:
        """Full scale of the digitiser in recorded quadratures: a pulse whose beat just fits."""
        unit = math.sqrt(2 * self._values.shot_noise_v2)
        return self._reader.range_v / (unit * self._frames.format.pulse.peak)


def server_expectation(
    values: ServerValues, receiver: PassiveTap, frames: BenchFrames
) -> RecordExpectation:
    """What the server's records must show.

    Args:
        values: of the server's calibration.
        receiver: the tap that the client agreed to.
        frames: what both ends agreed on.
    """
    passed = values.forward_transmittance * (1 - receiver.tap_fraction)
    gain = math.sqrt(passed * values.return_transmittance * values.detection_efficiency)
    return RecordExpectation(
        delay_s=values.round_trip_delay_s,
        clock_offset=values.clock_offset,
        alignment_slots=_SLIP_LIMIT_SLOTS,
        range_v=frames.server_range_v,
        electronic_noise_v2=values.electronic_noise_v2,
        shot_noise_v2=values.shot_noise_v2,
        phase_noise_rad=values.phase_noise_rad,
        pilot_amplitude_snu=2 * gain * frames.pilot_photons**0.5,
    )


def weight_volts(
    block: Block,
    layout: BurstLayout,
    amplitudes: NDArray[np.float32],
    frames: BenchFrames,
    values: ServerValues,
    generator: WaveformGenerator,
) -> NDArray[np.float32]:
    """The drive of the weight modulator for one burst.

    Args:
        block: that it belongs to, for messages.
        layout: of the burst.
        amplitudes: of the data symbols in roots of photons, shape (data_symbols,).
        frames: what both ends agreed on.
        values: of the server's calibration.
        generator: that will play it.

    Returns:
        Volts, shape (total_samples,).

    Raises:
        LimitError: more light than the bench was calibrated for.
    """
    per_root_photon = (layout.format.samples_per_symbol / values.full_photons) ** 0.5
    samples = compose_weights(layout, amplitudes, frames.pilot_photons**0.5).astype(
        np.float32, copy=False
    )
    samples *= np.float32(per_root_photon)
    limit = largest_amplitude(generator.limits.volts.highest, values.weight_v_pi_v)
    largest = float(np.abs(samples).max())
    if not largest <= limit:
        peak = layout.format.pulse.peak**2 * layout.format.samples_per_symbol
        raise LimitError(
            f"{block.name}: pulses of {values.full_photons * largest**2 / peak:.4g} photons are "
            f"asked for, at {values.attenuation_db:g} dB the bench makes at most "
            f"{values.full_photons * limit**2 / peak:.4g}; lower the photons per symbol, or "
            "calibrate at less attenuation"
        )
    return volts_from_amplitude(samples, values.weight_v_pi_v)


def check_launch(
    attenuator: Attenuator, standing: StandingInstruments, values: ServerValues
) -> None:
    """Refuse to send over a bench that does not stand as it was calibrated.

    Args:
        attenuator: between the modulator and the fibre.
        standing: looked at before every burst.
        values: of the server's calibration.

    Raises:
        ReadbackError: the attenuator was moved.
        InstrumentError: a laser, a bias or the oscillator has let go.
    """
    found = attenuator.attenuation_db()
    if not abs(found - values.attenuation_db) <= _ATTENUATION_TOLERANCE_DB:
        raise ReadbackError(
            f"{attenuator.name}: attenuation is {found:.3f} dB, the launch was calibrated at "
            f"{values.attenuation_db:.3f} dB; set it back or calibrate"
        )
    standing.check_locks()
    standing.check_oscillator(values.oscillator_power_w)
