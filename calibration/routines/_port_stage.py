"""Brings a bench with an amplifier to where a routine measures, by instruments alone.

Owns the order of light: shutter closed, lasers, biases, the amplifier once it is seeded, and only
then the shutter. Switching off is the runner's.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from calibration.fits.least_squares import Array
from calibration.fits.mesh import MeshPoint
from calibration.result import Setting
from calibration.routine import Context
from calibration.routines._slot_noise import SlotNoise, slot_noise
from drivers.errors import CalibrationError, InstrumentError
from drivers.instruments import (
    Attenuator,
    BiasController,
    BiasPoint,
    Digitiser,
    Instrument,
    Laser,
    OpticalAmplifier,
    PhaseDriver,
    Trace,
    Trigger,
    WaveformGenerator,
)
from drivers.optics.amplifier_values import port_format
from drivers.optics.bench_frames import record_samples
from drivers.optics.burst import BurstFormat, BurstLayout
from drivers.optics.modulation import volts_from_amplitude
from drivers.optics.port_burst import PortBurst
from drivers.optics.port_receiver import PortResponse, port_response
from drivers.optics.pulses import hann_pulse

__all__ = ["PORT_ROLES", "PORT_SETTINGS", "PortStage"]

_Kind = TypeVar("_Kind", bound=Instrument)

_LASERS: Final = MappingProxyType(
    {
        "server.laser": "server_laser_w",
        "server.return_oscillator": "server_oscillator_w",
        "client.oscillator": "client_oscillator_w",
        "client.seed_laser": "seed_laser_w",
    }
)
PORT_ROLES: Final = (
    *_LASERS,
    "server.weight_generator",
    "server.weight_bias",
    "server.attenuator",
    "server.return_digitiser",
    "client.mesh_driver",
    "client.return_mesh_driver",
    "client.amplifier",
    "client.tap_digitiser",
)
"""Roles of every routine that uses such a stage."""

PORT_SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {
        "server_laser_w": 20e-3,
        "server_oscillator_w": 16e-3,
        "client_oscillator_w": 2e-3,
        "seed_laser_w": 1e-5,
        "settle_s": 2.0,
        "timeout_s": 60.0,
        "client_range_v": 1.0,
        "server_range_v": 1.0,
        "symbol_rate_hz": 100e6,
        "samples_per_symbol": 8,
        "if_cycles_per_symbol": 2.0,
        "gain_db": 3.0103,
        "weight_v_pi_v": 3.5,
        "mesh_half_wave_v": 4.0,
        "attenuation_db": 43.0,
        "pilot_level": 0.9,
        "dark_frames": 4096,
    }
)
"""Settings of every such routine: light, waiting times, ranges, format; V_pi of modulators and of
the meshes' shifters from their data sheets; the attenuation and the level of the pilots; and how
many empty frames, with their pilots, a burst has."""

_LOCK_POLL_S: Final = 0.05


class PortStage:
    """The bench in the hands of one routine, which declares `PORT_ROLES` and `PORT_SETTINGS`.

    Args:
        context: of the routine.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        samples = context.setting("samples_per_symbol", int)
        self.format: BurstFormat = replace(
            port_format(),
            symbol_rate_hz=self.number("symbol_rate_hz"),
            samples_per_symbol=samples,
            if_cycles_per_symbol=self.number("if_cycles_per_symbol"),
            pulse=hann_pulse(samples),
        )
        self._generator = self.get("server.weight_generator", WaveformGenerator)
        self._digitisers = {
            "client": self.get("client.tap_digitiser", Digitiser),
            "server": self.get("server.return_digitiser", Digitiser),
        }
        self._meshes = (
            self.get("client.mesh_driver", PhaseDriver),
            self.get("client.return_mesh_driver", PhaseDriver),
        )
        self.amplifier = self.get("client.amplifier", OpticalAmplifier)
        self.ports = self._generator.limits.channels
        self.burst = PortBurst(
            layout=BurstLayout(
                format=self.format, data_symbols=context.setting("dark_frames", int)
            ),
            ports=self.ports,
        )

    def number(self, name: str) -> float:
        """A setting that is a fraction."""
        return self._context.setting(name, float)

    def get(self, role: str, kind: Callable[..., _Kind]) -> _Kind:
        """The instrument in a role as its kind, abstract classes allowed."""
        return self._context.instrument(role, cast("type[_Kind]", kind))

    def lasers_on(self) -> None:
        """All lasers on and settled, modulators at their nulls, generators at rest.

        The shutter is shut and the amplifier not pumped.

        Raises:
            InstrumentError: a laser does not settle, or a bias does not lock.
        """
        self.get("server.attenuator", Attenuator).make_safe()
        self.amplifier.set_pump(False)
        for role, setting in _LASERS.items():
            laser = self.get(role, Laser)
            laser.set_power(self.number(setting))
            laser.set_emission(True)
            laser.wait_settled(self.number("timeout_s"))
        self._generator.set_sample_rate(self.format.sample_rate_hz)
        bias = self.get("server.weight_bias", BiasController)
        for port in range(self.ports):
            self._generator.set_idle(port, 0.0)
            self._generator.set_output(port, True)
            bias.lock(port, BiasPoint.NULL)
        for port in range(self.ports):
            self._wait_for_lock(bias, port)

    def pump(self, gain_db: float | None) -> None:
        """Pump the amplifier to a gain, or not at all with None."""
        if gain_db is None:
            self.amplifier.set_pump(False)
        else:
            self.amplifier.set_gain_db(gain_db)
            self.amplifier.set_pump(True)
        self._context.bench.sleep(self.number("settle_s"))

    def open_shutter(self) -> None:
        """Light of the settings' attenuation to the client."""
        attenuator = self.get("server.attenuator", Attenuator)
        attenuator.set_attenuation_db(self.number("attenuation_db"))
        attenuator.set_shutter(True)
        self._context.bench.sleep(self.number("settle_s"))

    def noise(self, samples: int) -> SlotNoise:
        """Noise of the client's detector at rest, as the matched filter sees it."""
        digitiser = self._digitisers["client"]
        digitiser.configure(self.format.sample_rate_hz, samples, self.number("client_range_v"))
        digitiser.arm(Trigger.IMMEDIATE)
        digitiser.wait(self.number("timeout_s"))
        return slot_noise(digitiser.fetch().volts[0], self.format)

    def point(self, volts: Array, return_volts: Array) -> MeshPoint:
        """What light of every port becomes at one setting of both meshes.

        Raises:
            CalibrationError: a record is clipped.
            SynchronisationError: a detector sees no light.
        """
        for mesh, wanted in zip(self._meshes, (volts, return_volts), strict=True):
            mesh.set_voltages(wanted)
        traces = self._play()
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

    def _play(self) -> dict[str, Trace]:
        """One burst of pilots and empty frames, recorded by both parties."""
        layout = self.burst.layout
        empty = np.zeros((layout.data_symbols, self.ports), dtype=np.float32)
        waves = self.burst.compose(empty, self.number("pilot_level") / self.format.pulse.peak)
        for port, wave in enumerate(waves):
            self._generator.load(port, volts_from_amplitude(wave, self.number("weight_v_pi_v")))
        samples = record_samples(layout, 0.0)
        for party, digitiser in self._digitisers.items():
            range_v = self.number(f"{party}_range_v")
            digitiser.configure(self.format.sample_rate_hz, samples, range_v)
            digitiser.arm(Trigger.EXTERNAL)
        self._generator.arm(Trigger.SOFTWARE)
        self._generator.trigger()
        traces = {}
        for party, digitiser in self._digitisers.items():
            digitiser.wait(self.number("timeout_s"))
            traces[party] = digitiser.fetch()
            if traces[party].clipped:
                raise CalibrationError(
                    f"{digitiser.name}: {traces[party].clipped} samples are clipped at "
                    f"{traces[party].range_v:g} V; raise the setting attenuation_db"
                )
        return traces

    def _response(self, volts: NDArray[np.float32], name: str) -> PortResponse:
        return port_response(volts, self.burst, delay_s=0.0, instrument=name)

    def _wait_for_lock(self, bias: BiasController, channel: int) -> None:
        for _ in range(int(self.number("timeout_s") / _LOCK_POLL_S)):
            if bias.is_locked(channel):
                return
            self._context.bench.sleep(_LOCK_POLL_S)
        raise InstrumentError(
            f"{bias.name}: channel {channel} did not lock to its null within "
            f"{self.number('timeout_s'):g} s; check that light reaches the modulator"
        )
