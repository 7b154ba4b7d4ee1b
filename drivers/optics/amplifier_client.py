"""The client's end of a bench with an amplifier: meshes set to the data, outcomes of mode x.

The paper's receiver (arXiv 2408.05629): the mesh brings mode x to port 0, where it is amplified and
split; the larger part is measured, the rest goes on through the inverse mesh. The record is
heterodyne, with half the detector's efficiency per quadrature.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import Block, ClientOpticsInfo
from drivers.block_order import BlockOrder, check_data
from drivers.errors import ReadbackError
from drivers.instruments import Digitiser, OpticalAmplifier, PhaseDriver, Trace
from drivers.optics.amplifier_values import AmplifierClientValues, PortAgreement
from drivers.optics.block_guard import BlockGuard
from drivers.optics.burst_turns import BurstTurns
from drivers.optics.mesh_programming import collecting, undoing
from drivers.optics.port_receiver import PortFrames, port_frames
from drivers.optics.port_traces import PortTraces
from drivers.receivers import Amplifier

__all__ = ["AmplifierClientInstruments", "AmplifierClientOptics"]

_GAIN_TOLERANCE_DB = 0.1


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


class AmplifierClientOptics:
    """The client's light; implements `drivers.backend.ClientOptics`.

    Args:
        instruments: of the client.
        values: of the client's calibration.
        receiver: the amplifier and its gain.
        agreement: of both ends.
        order: shared with the server's end.
        turns: shared with the server's end.
        guard: what happens when a block fails; shared with the server's end.
    """

    def __init__(
        self,
        instruments: AmplifierClientInstruments,
        values: AmplifierClientValues,
        receiver: Amplifier,
        agreement: PortAgreement,
        order: BlockOrder,
        turns: BurstTurns,
        guard: BlockGuard | None = None,
    ) -> None:
        self._instruments, self._values, self._agreement = instruments, values, agreement
        self._receiver, self._order = receiver, order
        self._data: dict[Block, NDArray[np.complex128]] = {}
        self._traces: dict[Block, list[Trace]] = {}
        self._reader = PortTraces(
            instruments.digitiser,
            agreement.frames,
            delay_s=values.forward_delay_s,
            range_v=agreement.frames.client_range_v,
        )
        self._guard = guard or BlockGuard(order)
        self._guard.on_disarm(self._reader.disarm)
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
        with self._guard.guarding(block):
            outcomes = [
                self._demodulated(block, vector, trace)
                for vector, trace in zip(vectors, traces, strict=True)
            ]
        self._order.measured(block)
        return torch.from_numpy(np.stack(outcomes))

    def _prepare(self, block: Block, index: int) -> None:
        """Set both meshes to a data vector and wait for its light."""
        instruments, values = self._instruments, self._values
        self._check_amplifier()
        forward = collecting(values.mesh, self._data[block][index])
        back = undoing(values.return_mesh, values.mesh.transfer(forward))
        instruments.mesh.set_voltages(values.mesh.volts(forward))
        instruments.return_mesh.set_voltages(values.return_mesh.volts(back))
        self._reader.arm(self._agreement.burst(block).layout)
        if index == 0:
            self._traces[block] = []

    def _take(self, block: Block) -> None:
        """Take away what the burst left in the digitiser."""
        self._traces[block].append(self._reader.take(self._agreement.burst(block).layout))

    def _demodulated(
        self, block: Block, vector: NDArray[np.complex128], trace: Trace
    ) -> NDArray[np.float32]:
        """Outcomes of one data vector, shape (rows,)."""
        burst = self._agreement.burst(block)
        self._reader.check(trace, burst.layout)
        self.last = port_frames(
            trace.volts[0],
            burst,
            vector.conj(),
            delay_s=self._values.forward_delay_s,
            shot_noise_v2=self._values.shot_noise_v2,
            instrument=self._instruments.digitiser.name,
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
