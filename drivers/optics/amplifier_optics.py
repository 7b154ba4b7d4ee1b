"""Both ends of a bench with an amplifier: frames over parallel ports, one data vector per burst.

The paper's receiver (arXiv 2408.05629): the client's mesh brings mode x to port 0, where it is
amplified and split; the larger part is measured, the rest goes on through the inverse mesh. Both
parties record heterodyne, so that a recorded quadrature has half the efficiency and every record
holds both.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import Block, ClientOpticsInfo, ReturnSummary, ServerOpticsInfo
from drivers.block_order import (
    BlockOrder,
    check_data,
    check_gain,
    check_means,
    check_quadratures,
)
from drivers.errors import LimitError, ReadbackError, TraceError
from drivers.instruments import (
    Attenuator,
    Digitiser,
    OpticalAmplifier,
    PhaseDriver,
    Trace,
    Trigger,
    WaveformGenerator,
)
from drivers.optics.amplifier_values import (
    AmplifierClientValues,
    AmplifierServerValues,
    PortAgreement,
)
from drivers.optics.bench_frames import record_samples
from drivers.optics.burst_turns import BurstTurns
from drivers.optics.mesh_programming import collecting, undoing
from drivers.optics.modulation import largest_amplitude, volts_from_amplitude
from drivers.optics.port_receiver import PortFrames, port_frames
from drivers.receivers import Amplifier
from drivers.return_summary import summarise

__all__ = [
    "AmplifierBenchLink",
    "AmplifierBenchSettings",
    "AmplifierClientInstruments",
    "AmplifierClientOptics",
    "AmplifierServerInstruments",
    "AmplifierServerOptics",
]

_ATTENUATION_TOLERANCE_DB = 0.01
_GAIN_TOLERANCE_DB = 0.1


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


@dataclass(frozen=True, kw_only=True)
class AmplifierClientInstruments:
    """What the client's optics drive; opened, seeded and pumped by the bench.

    Args:
        mesh: brings mode x to port 0.
        return_mesh: undoes it.
        amplifier: on port 0.
        digitiser: records the client's detector.
    """

    mesh: PhaseDriver
    return_mesh: PhaseDriver
    amplifier: OpticalAmplifier
    digitiser: Digitiser


class AmplifierServerOptics:
    """The server's light; implements `drivers.backend.ServerOptics`.

    Args:
        instruments: of the server.
        values: of the server's calibration.
        agreement: of both ends.
        order: shared with the client's end.
        turns: shared with the client's end.
    """

    def __init__(
        self,
        instruments: AmplifierServerInstruments,
        values: AmplifierServerValues,
        agreement: PortAgreement,
        order: BlockOrder,
        turns: BurstTurns,
    ) -> None:
        self._instruments, self._values, self._agreement = instruments, values, agreement
        self._order, self._turns = order, turns
        self._means: dict[Block, Tensor] = {}
        self._traces: dict[Block, list[Trace]] = {}
        self.last: tuple[PortFrames, ...] = ()
        """What the last record of each port said about itself."""

    def describe(self) -> ServerOpticsInfo:
        """See `ServerOptics.describe`."""
        values, frames = self._values, self._agreement.frames
        range_snu = self._range_snu()
        return ServerOpticsInfo(
            backend=frames.backend,
            simulated=frames.simulated,
            seed=frames.seed,
            modes_per_frame=frames.modes_per_frame,
            symbol_rate_hz=frames.format.symbol_rate_hz * self._agreement.ports,
            forward_transmittance=values.forward_transmittance,
            return_transmittance=values.return_transmittance,
            detection_efficiency=values.detection_efficiency,
            electronic_noise_snu=values.electronic_noise_snu,
            phase_noise_rad=values.phase_noise_rad,
            data_mode_excess_x_snu=values.data_mode_excess_snu,
            data_mode_excess_p_snu=values.data_mode_excess_snu,
            unitary_error_rad=values.unitary_error_rad,
            gain_uncertainty=values.gain_uncertainty,
            variance_uncertainty=values.variance_uncertainty,
            converter_range_snu=range_snu,
            converter_step_snu=range_snu * 2.0 ** (1 - self._instruments.digitiser.limits.bits),
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
        try:
            for index in range(block.inputs):
                self._turns.ready(block, index)
                self._play(block, bursts[index % len(bursts)])
                self._turns.played(block, index)
        except BaseException:
            self._instruments.digitiser.abort()
            self._lose(block)
            raise
        self._means[block] = means
        self._order.sent(block)

    def collect_full(self, block: Block, quadratures: Tensor) -> Tensor:
        """See `ServerOptics.collect_full`.

        Raises:
            TraceError: a record cannot be trusted; the block is lost.
        """
        self._order.check_collect(block)
        check_quadratures(block, quadratures)
        try:
            found = np.stack([self._demodulated(block, trace) for trace in self._traces[block]])
        except BaseException:
            self._lose(block)
            raise
        del self._traces[block]
        self._order.collected(block)
        values = torch.from_numpy(found)
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
        )

    def _play(self, block: Block, volts: NDArray[np.float32]) -> None:
        instruments, frames = self._instruments, self._agreement.frames
        layout = self._agreement.burst(block).layout
        samples = record_samples(layout, self._values.round_trip_delay_s)
        for port in range(self._agreement.ports):
            instruments.generator.load(port, volts[port])
        instruments.digitiser.configure(
            frames.format.sample_rate_hz, samples, frames.server_range_v
        )
        instruments.digitiser.arm(Trigger.EXTERNAL)
        instruments.generator.arm(Trigger.SOFTWARE)
        instruments.generator.trigger()
        instruments.digitiser.wait(frames.timeout_s(layout))
        self._traces[block].append(instruments.digitiser.fetch())

    def _demodulated(self, block: Block, trace: Trace) -> NDArray[np.complex64]:
        """Recorded quadratures of one data vector, shape (rows, modes)."""
        agreement, values = self._agreement, self._values
        name = self._instruments.digitiser.name
        _check_clipping(name, trace)
        ports = np.eye(agreement.ports, dtype=np.complex128)
        self.last = tuple(
            port_frames(
                trace.volts[port],
                agreement.burst(block),
                ports[port],
                delay_s=values.round_trip_delay_s,
                shot_noise_v2=values.shot_noise_v2[port],
                instrument=f"{name} channel {port}",
            )
            for port in range(block.modes)
        )
        return np.stack([found.data for found in self.last], axis=-1)

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

    def _range_snu(self) -> float:
        """Full scale of the digitiser in recorded quadratures: a pulse whose beat just fits."""
        frames = self._agreement.frames
        largest = max(self._values.shot_noise_v2)
        return frames.server_range_v / ((2 * largest) ** 0.5 * frames.format.pulse.peak)

    def _lose(self, block: Block) -> None:
        self._traces.pop(block, None)
        self._means.pop(block, None)
        self._order.lost(block)

    def _forget(self, run: int) -> None:
        """Drop what earlier runs never collected."""
        for held in [block for block in self._traces if block.run < run]:
            del self._traces[held]
        for held in [block for block in self._means if block.run < run]:
            del self._means[held]


class AmplifierClientOptics:
    """The client's light; implements `drivers.backend.ClientOptics`.

    Args:
        instruments: of the client.
        values: of the client's calibration.
        receiver: the amplifier and its gain.
        agreement: of both ends.
        order: shared with the server's end.
        turns: shared with the server's end.
    """

    def __init__(
        self,
        instruments: AmplifierClientInstruments,
        values: AmplifierClientValues,
        receiver: Amplifier,
        agreement: PortAgreement,
        order: BlockOrder,
        turns: BurstTurns,
    ) -> None:
        self._instruments, self._values, self._agreement = instruments, values, agreement
        self._receiver, self._order = receiver, order
        self._data: dict[Block, NDArray[np.complex128]] = {}
        self._traces: dict[Block, list[Trace]] = {}
        self.last: PortFrames | None = None
        """What the last record said about itself."""
        turns.join(self._prepare, self._take)

    def describe(self) -> ClientOpticsInfo:
        """See `ClientOptics.describe`."""
        values, frames = self._values, self._agreement.frames
        return ClientOpticsInfo(
            backend=frames.backend,
            simulated=frames.simulated,
            seed=frames.seed,
            receiver=self._receiver,
            modes_per_frame=frames.modes_per_frame,
            symbol_rate_hz=frames.format.symbol_rate_hz * self._agreement.ports,
            signal_gain=values.signal_gain,
            outcome_variance_snu=values.outcome_variance_snu,
        )

    def load(self, block: Block, data: Tensor) -> None:
        """See `ClientOptics.load`. The meshes are set burst by burst, when the light is due."""
        self._order.check_load(block)
        check_data(block, data)
        vectors = np.zeros((block.inputs, self._agreement.ports), dtype=np.complex128)
        vectors[:, : block.modes] = data.detach().cpu().to(torch.complex128).numpy()
        for held in [one for one in self._data if one.run < block.run]:
            self._data.pop(held)
            self._traces.pop(held, None)
        self._data[block] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self._order.loaded(block)

    def measure(self, block: Block) -> Tensor:
        """See `ClientOptics.measure`.

        Raises:
            TraceError: a record cannot be trusted; the block is lost.
        """
        self._order.check_measure(block)
        vectors, traces = self._data.pop(block), self._traces.pop(block)
        try:
            outcomes = [
                self._demodulated(block, vector, trace)
                for vector, trace in zip(vectors, traces, strict=True)
            ]
        except BaseException:
            self._order.lost(block)
            raise
        self._order.measured(block)
        return torch.from_numpy(np.stack(outcomes))

    def _prepare(self, block: Block, index: int) -> None:
        """Set both meshes to a data vector and wait for its light."""
        instruments, values, frames = self._instruments, self._values, self._agreement.frames
        self._check_amplifier()
        forward = collecting(values.mesh, self._data[block][index])
        back = undoing(values.return_mesh, values.mesh.transfer(forward))
        instruments.mesh.set_voltages(values.mesh.volts(forward))
        instruments.return_mesh.set_voltages(values.return_mesh.volts(back))
        instruments.digitiser.abort()
        layout = self._agreement.burst(block).layout
        instruments.digitiser.configure(
            frames.format.sample_rate_hz,
            record_samples(layout, values.forward_delay_s),
            frames.client_range_v,
        )
        instruments.digitiser.arm(Trigger.EXTERNAL)
        if index == 0:
            self._traces[block] = []

    def _take(self, block: Block, index: int) -> None:
        digitiser = self._instruments.digitiser
        digitiser.wait(self._agreement.frames.timeout_s(self._agreement.burst(block).layout))
        self._traces[block].append(digitiser.fetch())

    def _demodulated(
        self, block: Block, vector: NDArray[np.complex128], trace: Trace
    ) -> NDArray[np.float32]:
        """Outcomes of one data vector, shape (rows,)."""
        name = self._instruments.digitiser.name
        _check_clipping(name, trace)
        self.last = port_frames(
            trace.volts[0],
            self._agreement.burst(block),
            vector.conj(),
            delay_s=self._values.forward_delay_s,
            shot_noise_v2=self._values.shot_noise_v2,
            instrument=name,
        )
        return self.last.data.real.copy()

    def _check_amplifier(self) -> None:
        amplifier = self._instruments.amplifier
        amplifier.check_seed()
        found = amplifier.gain_db()
        if not amplifier.pump() or not abs(found - self._values.gain_db) <= _GAIN_TOLERANCE_DB:
            raise ReadbackError(
                f"{amplifier.name}: pump is {'on' if amplifier.pump() else 'off'} at a gain of "
                f"{found:.2f} dB, the receiver was calibrated with it on at "
                f"{self._values.gain_db:.2f} dB; set it back or calibrate"
            )


def _check_clipping(name: str, trace: Trace) -> None:
    if trace.clipped:
        raise TraceError(
            f"{name}: {trace.clipped} samples are at the ends of +-{trace.range_v:g} V; use a "
            "larger range or less light"
        )


@dataclass(frozen=True, kw_only=True)
class AmplifierBenchSettings:
    """What a bench with an amplifier is run with.

    Args:
        receiver: the amplifier and its gain.
        agreement: of both ends.
        server: the server's calibrated values.
        client: the client's calibrated values.
    """

    receiver: Amplifier
    agreement: PortAgreement
    server: AmplifierServerValues
    client: AmplifierClientValues


class AmplifierBenchLink:
    """Both ends of one bench; implements `drivers.backend.OpticalLink`.

    Args:
        server: the server's instruments, switched on.
        client: the client's instruments, switched on.
        settings: agreement and calibrated values.
    """

    def __init__(
        self,
        server: AmplifierServerInstruments,
        client: AmplifierClientInstruments,
        settings: AmplifierBenchSettings,
    ) -> None:
        self.settings = settings
        agreement = settings.agreement
        order, turns = BlockOrder(agreement.frames.modes_per_frame), BurstTurns()
        self.server = AmplifierServerOptics(server, settings.server, agreement, order, turns)
        self.client = AmplifierClientOptics(
            client, settings.client, settings.receiver, agreement, order, turns
        )
