"""The bench with an amplifier where a routine measures: records, and bursts through the meshes.

Light is switched by `calibration.routines._port_light`; this adds what is played and recorded.
"""

import numpy as np
from numpy.typing import NDArray

from calibration.fits.least_squares import Array
from calibration.fits.mesh import MeshPoint
from calibration.routine import Context
from calibration.routines._port_light import PORT_ROLES, PORT_SETTINGS, PortLight
from calibration.routines._roles import Party
from calibration.routines._slot_noise import SlotNoise, slot_noise
from drivers.errors import CalibrationError
from drivers.instruments import Digitiser, PhaseDriver, Trace, Trigger
from drivers.optics.bench_frames import record_samples
from drivers.optics.burst import BurstLayout
from drivers.optics.modulation import volts_from_amplitude
from drivers.optics.port_burst import PortBurst
from drivers.optics.port_receiver import PortResponse, port_response

__all__ = ["PORT_ROLES", "PORT_SETTINGS", "PortStage"]


class PortStage(PortLight):
    """The bench in the hands of one routine, which declares `PORT_ROLES` and `PORT_SETTINGS`.

    Args:
        context: of the routine.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._digitisers: dict[Party, Digitiser] = {
            "client": self.get("client.tap_digitiser", Digitiser),
            "server": self.get("server.return_digitiser", Digitiser),
        }
        self._meshes = (
            self.get("client.mesh_driver", PhaseDriver),
            self.get("client.return_mesh_driver", PhaseDriver),
        )
        self.burst = PortBurst(
            layout=BurstLayout(
                format=self.format, data_symbols=context.setting("dark_frames", int)
            ),
            ports=self.ports,
        )

    def noise(self, samples: int) -> SlotNoise:
        """Noise of the client's detector at rest, as the matched filter sees it."""
        return self.noise_of("client", samples)[0]

    def noise_of(self, party: Party, samples: int) -> list[SlotNoise]:
        """Noise of each of a party's detectors at rest, as the matched filter sees it.

        Raises:
            CalibrationError: a record is clipped, or has no noise.
        """
        digitiser = self._digitisers[party]
        self._configure(party, samples)
        digitiser.arm(Trigger.IMMEDIATE)
        return [slot_noise(volts, self.format) for volts in self._fetched(party).volts]

    def set_meshes(self, volts: Array, return_volts: Array) -> None:
        """Voltages on both meshes, shape (channels,) each."""
        for mesh, wanted in zip(self._meshes, (volts, return_volts), strict=True):
            mesh.set_voltages(wanted)

    def point(self, volts: Array, return_volts: Array, *, inverted: bool = False) -> MeshPoint:
        """What light of every port becomes at one setting of both meshes.

        Args:
            volts: of the first mesh, shape (channels,).
            return_volts: of the second, likewise.
            inverted: play the pilots with the other sign. What leaks through the modulators keeps
                its sign, so that it adds to one and takes from the other.

        Raises:
            CalibrationError: a record is clipped.
            SynchronisationError: a detector sees no light.
        """
        self.set_meshes(volts, return_volts)
        level = self.number("pilot_level") / self.format.pulse.peak
        traces = self.play(-level if inverted else level, self.number("weight_v_pi_v"))
        collected = self._response(traces["client"].volts[0], "client")
        returned = [
            self._response(one, f"server channel {port}")
            for port, one in enumerate(traces["server"].volts)
        ]
        return MeshPoint(
            volts=volts,
            return_volts=return_volts,
            collected=collected.amplitudes,
            returned=np.stack([one.amplitudes for one in returned]),
            collected_noise=collected.uncertainty,
            returned_noise=np.array([one.uncertainty for one in returned]),
        )

    def play(self, pilot_amplitude: float | Array, weight_v_pi_v: float) -> dict[Party, Trace]:
        """One burst of pilots and empty frames, recorded by both parties.

        Args:
            pilot_amplitude: relative field amplitude of a pilot over that of the pulse's taps, for
                all ports or per port, shape (ports,).
            weight_v_pi_v: V_pi of the modulators.

        Raises:
            LimitError: beyond what the modulators pass.
            CalibrationError: a record is clipped.
        """
        layout = self.burst.layout
        empty = np.zeros((layout.data_symbols, self.ports), dtype=np.float32)
        heights = np.broadcast_to(np.asarray(pilot_amplitude, dtype=np.float32), (self.ports,))
        waves = self.burst.compose(empty, 1.0) * heights[:, None]
        for port, wave in enumerate(waves):
            self.generator.load(port, volts_from_amplitude(wave, weight_v_pi_v))
        samples = record_samples(layout, 0.0)
        for party, digitiser in self._digitisers.items():
            self._configure(party, samples)
            digitiser.arm(Trigger.EXTERNAL)
        self.generator.arm(Trigger.SOFTWARE)
        self.generator.trigger()
        traces = {party: self._fetched(party) for party in self._digitisers}
        self.generator.finish()
        return traces

    def _configure(self, party: Party, samples: int) -> None:
        range_v = self.number(f"{party}_range_v")
        self._digitisers[party].configure(self.format.sample_rate_hz, samples, range_v)

    def _fetched(self, party: Party) -> Trace:
        digitiser = self._digitisers[party]
        digitiser.wait(self.number("timeout_s"))
        trace = digitiser.fetch()
        if trace.clipped:
            raise CalibrationError(
                f"{digitiser.name}: {trace.clipped} samples are clipped at "
                f"{trace.range_v:g} V; raise the setting attenuation_db or {party}_range_v"
            )
        return trace

    def _response(self, volts: NDArray[np.float32], name: str) -> PortResponse:
        return port_response(volts, self.burst, delay_s=0.0, instrument=name)
