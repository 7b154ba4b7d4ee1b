"""The server's end of a bench with an amplifier: frames over parallel ports, heterodyne returns.

Every port has its modulator and its detector. The oscillator of the return is offset in frequency,
so that a record holds both quadratures of every mode, each with half the detector's efficiency.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import Block, ServerOpticsInfo
from drivers.block_order import BlockOrder, check_means, check_quadratures
from drivers.errors import LimitError, ReadbackError
from drivers.instruments import Attenuator, Digitiser, Trace, Trigger, WaveformGenerator
from drivers.optics.amplifier_values import AmplifierServerValues, PortAgreement
from drivers.optics.block_guard import BlockGuard
from drivers.optics.burst_turns import BurstTurns
from drivers.optics.modulation import largest_amplitude, volts_from_amplitude
from drivers.optics.port_receiver import PortFrames, port_frames
from drivers.optics.port_traces import PortTraces
from drivers.optics.watched_returns import (
    WatchedReturns,
    pool_vacuum,
    rails_of,
    shifts_of,
    vacuum_of_differences,
)
from drivers.record_watch import RecordWatch, VacuumSlots

__all__ = ["AmplifierServerInstruments", "AmplifierServerOptics"]

_ATTENUATION_TOLERANCE_DB = 0.01


@dataclass(frozen=True, kw_only=True)
class AmplifierServerInstruments:
    """What the server's optics drive; opened, switched on and locked by the bench.

    Args:
        generator: drives the modulator of each port with the channel of its number.
        attenuator: for all ports.
        digitiser: records the detector of each port on the channel of its number.
    """

    generator: WaveformGenerator
    attenuator: Attenuator
    digitiser: Digitiser


class AmplifierServerOptics(WatchedReturns):
    """The server's light; implements `drivers.backend.ServerOptics`.

    Args:
        instruments: of the server.
        values: of the server's calibration.
        agreement: of both ends.
        order: shared with the client's end.
        turns: shared with the client's end.
        guard: what happens when a block fails; shared with the client's end.
    """

    def __init__(
        self,
        instruments: AmplifierServerInstruments,
        values: AmplifierServerValues,
        agreement: PortAgreement,
        order: BlockOrder,
        turns: BurstTurns,
        guard: BlockGuard | None = None,
    ) -> None:
        super().__init__()
        self._instruments, self._values, self._agreement = instruments, values, agreement
        self._order, self._turns = order, turns
        self._means: dict[Block, Tensor] = {}
        self._traces: dict[Block, list[Trace]] = {}
        self._reader = PortTraces(
            instruments.digitiser,
            agreement.frames,
            delay_s=values.round_trip_delay_s,
            range_v=agreement.frames.server_range_v,
        )
        self._guard = guard or BlockGuard(order)
        self._guard.on_disarm(self._reader.disarm)
        self._guard.on_disarm(instruments.generator.stop)
        self.last: tuple[PortFrames, ...] = ()
        """What the last record of each port said about itself."""

    def describe(self) -> ServerOpticsInfo:
        """See `ServerOptics.describe`."""
        values, frames = self._values, self._agreement.frames
        step_snu = self._step_snu()
        return ServerOpticsInfo(
            backend=frames.backend,
            simulated=frames.simulated,
            seed=frames.seed,
            modes_per_frame=frames.modes_per_frame,
            symbol_rate_hz=frames.format.symbol_rate_hz * self._agreement.ports,
            forward_transmittance=values.forward_transmittance,
            return_transmittance=values.return_transmittance,
            detection_efficiency=values.detection_efficiency,
            # The measured noise without light holds the converter's steps, which count apart.
            electronic_noise_snu=max(0.0, values.electronic_noise_snu - step_snu**2 / 12),
            phase_noise_rad=values.phase_noise_rad,
            phase_variance_uncertainty_rad2=values.phase_variance_uncertainty_rad2,
            data_mode_excess_x_snu=values.data_mode_excess_snu,
            data_mode_excess_p_snu=values.data_mode_excess_snu,
            unitary_error_rad=values.unitary_error_rad,
            gain_uncertainty=values.gain_uncertainty,
            variance_uncertainty=values.variance_uncertainty,
            converter_range_snu=self._range_snu(),
            converter_step_snu=step_snu,
            modulates_p=False,
        )

    def send(self, block: Block, means_snu: Tensor) -> None:
        """See `ServerOptics.send`. One burst per data vector, each before the next.

        Raises:
            LimitError: complex light, more light than the bench was calibrated for, or a burst
                that is longer than the instruments' memories.
            ReadbackError: the attenuator is not where it was calibrated.
        """
        self._order.check_send(block)
        check_means(block, means_snu)
        if means_snu.is_complex():
            raise LimitError(
                f"{block.name}: the weight modulators make the quadrature X alone; use real "
                "encoding with them"
            )
        self._check_attenuation()
        means = means_snu.detach().to("cpu", torch.float32, copy=True)
        bursts = [self._volts(block, one.numpy()) for one in means]
        self._forget(block.run)
        self._traces[block] = []
        with self._guarding(block):
            for index in range(block.inputs):
                self._turns.ready(block, index)
                self._play(block, bursts[index % len(bursts)])
                self._turns.played(block)
        self._means[block] = means
        self._order.sent(block)

    def collect_full(self, block: Block, quadratures: Tensor) -> Tensor:
        """See `ServerOptics.collect_full`.

        Raises:
            TraceError: a record cannot be trusted; the block is lost.
        """
        return self._collect(block, quadratures)[0]

    def _collect(self, block: Block, quadratures: Tensor) -> tuple[Tensor, Tensor]:
        """What was measured of a block, and the means that it was sent with."""
        self._order.check_collect(block)
        check_quadratures(block, quadratures)
        traces = self._traces[block]
        with self._guarding(block):
            found = [self._demodulated(block, trace) for trace in traces]
        del self._traces[block]
        self._order.collected(block)
        both = torch.from_numpy(np.stack([data for data, _ in found]))
        values = torch.where(quadratures.cpu()[..., None], both.imag, both.real)
        means = self._means.pop(block)
        rails, allowed = rails_of(traces)
        watch = RecordWatch(
            vacuum=pool_vacuum(vacuum for _, vacuum in found),
            shifted=shifts_of(values, quadratures, means, parallel=True),
            rail_samples=rails,
            rails_allowed=allowed,
        )
        self._collected(block, values, quadratures, means, watch)
        return values, means

    def _play(self, block: Block, volts: NDArray[np.float32]) -> None:
        generator = self._instruments.generator
        layout = self._agreement.burst(block).layout
        for port in range(self._agreement.ports):
            generator.load(port, volts[port])
        self._reader.arm(layout)
        generator.arm(Trigger.SOFTWARE)
        generator.trigger()
        self._traces[block].append(self._reader.take(layout))
        generator.finish()

    def _demodulated(self, block: Block, trace: Trace) -> tuple[NDArray[np.complex64], VacuumSlots]:
        """Quadratures of one data vector, `(rows, modes)`, and its burst's vacuum slots."""
        agreement, values = self._agreement, self._values
        burst, name = agreement.burst(block), self._instruments.digitiser.name
        self._reader.check(trace, burst.layout)
        ports = np.eye(agreement.ports, dtype=np.complex128)
        self.last = tuple(
            port_frames(
                trace.volts[port],
                burst,
                ports[port],
                delay_s=values.round_trip_delay_s,
                shot_noise_v2=values.shot_noise_v2[port],
                instrument=f"{name} channel {port}",
            )
            for port in range(block.modes)
        )
        # Every slot holds the noise of the client's amplifier, in all ports together once.
        amplified = values.data_mode_excess_snu * values.return_transmittance
        amplified *= values.detection_efficiency / block.modes
        vacuum = pool_vacuum(
            vacuum_of_differences(
                found.vacuum_snu, burst.layout.vacuum.size, 1 + electronic / shot + amplified
            )
            for found, electronic, shot in zip(
                self.last, values.electronic_noise_v2, values.shot_noise_v2, strict=False
            )
        )
        return np.stack([found.data for found in self.last], axis=-1), vacuum

    def _volts(self, block: Block, means_snu: NDArray[np.float32]) -> NDArray[np.float32]:
        """The drives of all ports for one data vector; a mean q has q^2/4 photons."""
        frames, values = self._agreement.frames, self._values
        burst = self._agreement.burst(block)
        amplitudes = np.zeros((block.rows, self._agreement.ports), dtype=np.float32)
        amplitudes[:, : block.modes] = means_snu / 2
        samples = burst.compose(amplitudes, frames.pilot_photons**0.5)
        full = np.array(values.full_photons)
        per_root_photon = np.sqrt(frames.format.samples_per_symbol / full)
        samples *= per_root_photon.astype(np.float32)[:, None]
        limit = largest_amplitude(
            self._instruments.generator.limits.volts.highest, values.weight_v_pi_v
        )
        largest = float(np.abs(samples).max())
        if not largest <= limit:
            raise LimitError(
                f"{block.name}: pulses {largest / limit:.3g} times as high as the modulators make "
                f"at {values.attenuation_db:g} dB are asked for; lower the photons per symbol, or "
                "calibrate at less attenuation"
            )
        return volts_from_amplitude(samples, values.weight_v_pi_v)

    def _check_attenuation(self) -> None:
        attenuator = self._instruments.attenuator
        found = attenuator.attenuation_db()
        if not abs(found - self._values.attenuation_db) <= _ATTENUATION_TOLERANCE_DB:
            raise ReadbackError(
                f"{attenuator.name}: attenuation is {found:.3f} dB, the launch was calibrated at "
                f"{self._values.attenuation_db:.3f} dB; set it back or calibrate"
            )

    def _step_snu(self) -> float:
        """Width of a code: white noise has the same variance in samples and matched outputs."""
        codes = 2.0 ** (self._instruments.digitiser.limits.bits - 1)
        step_v = self._agreement.frames.server_range_v / codes
        return float(step_v / min(self._values.shot_noise_v2) ** 0.5)

    def _range_snu(self) -> float:
        """Full scale of the digitiser in recorded quadratures: a pulse whose beat just fits."""
        frames = self._agreement.frames
        largest = max(self._values.shot_noise_v2)
        return float(frames.server_range_v / ((2 * largest) ** 0.5 * frames.format.pulse.peak))

    @contextmanager
    def _guarding(self, block: Block) -> Iterator[None]:
        """Keep nothing of a block that fails."""
        with self._guard.guarding(block):
            try:
                yield
            except BaseException:
                self._traces.pop(block, None)
                self._means.pop(block, None)
                raise

    def _forget(self, run: int) -> None:
        """Drop what earlier runs never collected."""
        for held in [block for block in self._traces if block.run < run]:
            del self._traces[held]
        for held in [block for block in self._means if block.run < run]:
            del self._means[held]
