"""Paper instruments: the least that each kind needs, in memory, without optics.

They are switched on and unsafe before they are opened, so that a suite sees what `open` does. The
ones at the end fail on purpose.
"""

import numpy as np
from numpy.typing import NDArray

from drivers.instruments import (
    AmplifierLimits,
    Attenuator,
    AttenuatorLimits,
    BiasController,
    BiasLimits,
    BiasPoint,
    Digitiser,
    DigitiserLimits,
    DigitiserSettings,
    GeneratorLimits,
    Identity,
    Instrument,
    Laser,
    LaserLimits,
    OpticalAmplifier,
    PhaseDriver,
    PhaseDriverLimits,
    PolarisationController,
    PolarisationLimits,
    PowerMeter,
    PowerMeterLimits,
    Range,
    Recording,
    Switch,
    SwitchLimits,
    Trigger,
    WaveformGenerator,
)
from tests.wire.scripted import ScriptedClock

__all__ = [
    "BrokenLaser",
    "DeafLaser",
    "PaperAttenuator",
    "PaperBiasController",
    "PaperDigitiser",
    "PaperLaser",
    "PaperOpticalAmplifier",
    "PaperPhaseDriver",
    "PaperPolarisationController",
    "PaperPowerMeter",
    "PaperSwitch",
    "PaperWaveformGenerator",
    "StuckLaser",
]


class Paper(Instrument):
    """The lifecycle of all paper instruments."""

    simulated: bool = True
    connected = False

    def _open(self) -> Identity:
        self.connected = True
        return Identity(maker="Paper", model=self.kind, serial="1", firmware="0.1")

    def _close(self) -> None:
        self.connected = False


class PaperLaser(Paper, Laser):
    def __init__(self, name: str = "paper laser") -> None:
        limits = LaserLimits(
            power_w=Range(lowest=1e-3, highest=20e-3),
            wavelength_m=Range(lowest=1528e-9, highest=1568e-9),
        )
        super().__init__(name, limits=limits, clock=ScriptedClock())
        self.power, self.wavelength, self.emitting = 10e-3, 1550e-9, True

    def _set_power(self, power_w: float) -> None:
        self.power = power_w

    def _get_power(self) -> float:
        return self.power

    def _set_wavelength(self, wavelength_m: float) -> None:
        self.wavelength = wavelength_m

    def _get_wavelength(self) -> float:
        return self.wavelength

    def _set_emission(self, on: bool) -> None:
        self.emitting = on

    def _get_emission(self) -> bool:
        return self.emitting

    def _is_settled(self) -> bool:
        return self.emitting


class PaperWaveformGenerator(Paper, WaveformGenerator):
    def __init__(self, name: str = "paper generator") -> None:
        limits = GeneratorLimits(
            channels=2,
            volts=Range(lowest=-2.0, highest=2.0),
            sample_rate_hz=Range(lowest=1e6, highest=1e9),
            samples=4096,
            bits=14,
        )
        super().__init__(name, limits=limits, clock=ScriptedClock())
        self.rate_hz = 1e8
        self.outputs = [True, True]
        self.idle = [0.0, 0.0]
        self.waveforms: dict[int, NDArray[np.float32]] = {}
        self.armed = True
        self.plays = 0

    def _set_sample_rate(self, sample_rate_hz: float) -> None:
        self.rate_hz = sample_rate_hz

    def _get_sample_rate(self) -> float:
        return self.rate_hz

    def _load(self, channel: int, volts: NDArray[np.float32]) -> None:
        self.waveforms[channel] = volts

    def _set_idle(self, channel: int, volts: float) -> None:
        self.idle[channel] = volts

    def _set_output(self, channel: int, on: bool) -> None:
        self.outputs[channel] = on

    def _get_output(self, channel: int) -> bool:
        return self.outputs[channel]

    def _arm(self, trigger: Trigger, delay_s: float) -> None:
        self.armed = True

    def _trigger(self) -> None:
        self.plays += 1
        self.armed = False

    def _is_armed(self) -> bool:
        return self.armed

    def _stop(self) -> None:
        self.armed = False


class PaperBiasController(Paper, BiasController):
    def __init__(self, name: str = "paper bias controller") -> None:
        limits = BiasLimits(channels=2, volts=Range(lowest=-10.0, highest=10.0))
        super().__init__(name, limits=limits, clock=ScriptedClock())
        self.volts = [3.0, 3.0]
        self.points: dict[int, BiasPoint] = {0: BiasPoint.PEAK}

    def _set_voltage(self, channel: int, volts: float) -> None:
        self.volts[channel] = volts

    def _get_voltage(self, channel: int) -> float:
        return self.volts[channel]

    def _lock_to(self, channel: int, point: BiasPoint) -> None:
        self.points[channel] = point
        self.volts[channel] = 2.5

    def _is_locked(self, channel: int) -> bool:
        return channel in self.points

    def _unlock(self, channel: int) -> None:
        self.points.pop(channel, None)


class PaperAttenuator(Paper, Attenuator):
    def __init__(self, name: str = "paper attenuator") -> None:
        limits = AttenuatorLimits(attenuation_db=Range(lowest=0.0, highest=60.0))
        super().__init__(name, limits=limits, clock=ScriptedClock())
        self.attenuation, self.shutter = 0.0, True

    def _set_attenuation_db(self, attenuation_db: float) -> None:
        self.attenuation = attenuation_db

    def _get_attenuation_db(self) -> float:
        return self.attenuation

    def _set_shutter(self, open_: bool) -> None:
        self.shutter = open_

    def _get_shutter(self) -> bool:
        return self.shutter


class PaperOpticalAmplifier(Paper, OpticalAmplifier):
    def __init__(self, name: str = "paper amplifier") -> None:
        limits = AmplifierLimits(
            gain_db=Range(lowest=0.0, highest=20.0),
            seed_power_w=Range(lowest=1e-4, highest=1e-2),
        )
        super().__init__(name, limits=limits, clock=ScriptedClock())
        self.gain, self.pumped, self.seed_w = 10.0, True, 1e-3

    def _set_gain_db(self, gain_db: float) -> None:
        self.gain = gain_db

    def _get_gain_db(self) -> float:
        return self.gain

    def _get_seed_power(self) -> float:
        return self.seed_w

    def _set_pump(self, on: bool) -> None:
        self.pumped = on

    def _get_pump(self) -> bool:
        return self.pumped

    def _get_output_power(self) -> float:
        return float(self.seed_w * 10 ** (self.gain / 10)) if self.pumped else 0.0


class PaperPhaseDriver(Paper, PhaseDriver):
    def __init__(self, name: str = "paper phase driver") -> None:
        limits = PhaseDriverLimits(channels=3, volts=Range(lowest=0.0, highest=12.0))
        super().__init__(name, limits=limits, clock=ScriptedClock())
        self.volts = np.full(3, 5.0)

    def _set_voltages(self, volts: NDArray[np.float64]) -> None:
        self.volts = volts

    def _get_voltages(self) -> NDArray[np.float64]:
        return self.volts.copy()


class PaperDigitiser(Paper, Digitiser):
    """Records a ramp of small numbers, as long as the record takes on its clock."""

    def __init__(self, name: str = "paper digitiser") -> None:
        limits = DigitiserLimits(
            channels=2,
            sample_rate_hz=Range(lowest=1e3, highest=1e9),
            samples=4096,
            range_v=Range(lowest=0.1, highest=10.0),
            bits=12,
        )
        super().__init__(name, limits=limits, clock=ScriptedClock())
        self.applied = DigitiserSettings(sample_rate_hz=1e6, samples=1000, range_v=1.0)
        self.armed_for: Trigger | None = Trigger.EXTERNAL
        self.started_s = 0.0

    def _configure(self, sample_rate_hz: float, samples: int, range_v: float) -> None:
        self.applied = DigitiserSettings(
            sample_rate_hz=sample_rate_hz, samples=samples, range_v=range_v
        )

    def _get_settings(self) -> DigitiserSettings:
        return self.applied

    def _arm(self, trigger: Trigger) -> None:
        self.armed_for = trigger
        self.started_s = self._clock.now()

    def _is_armed(self) -> bool:
        return self.armed_for is not None

    def _is_done(self) -> bool:
        duration_s = self.applied.samples / self.applied.sample_rate_hz
        if self.armed_for is Trigger.IMMEDIATE and self._clock.now() >= self.started_s + duration_s:
            self.armed_for = None
        return self.armed_for is None

    def _fetch(self) -> Recording:
        samples = self.applied.samples
        ramp = np.arange(samples, dtype=np.float32) / np.float32(samples)
        step_v = 2 * self.applied.range_v / 2**self._limits.bits
        return Recording(volts=np.stack([ramp, -ramp]), step_v=step_v, clipped=0)

    def _abort(self) -> None:
        self.armed_for = None


class PaperPowerMeter(Paper, PowerMeter):
    def __init__(self, name: str = "paper power meter") -> None:
        limits = PowerMeterLimits(
            wavelength_m=Range(lowest=1250e-9, highest=1650e-9),
            power_w=Range(lowest=1e-9, highest=1e-2),
        )
        super().__init__(name, limits=limits, clock=ScriptedClock())
        self.wavelength, self.averaging, self.light_w, self.dark_w = 1310e-9, 0.1, 1e-4, 0.0

    def _set_wavelength(self, wavelength_m: float) -> None:
        self.wavelength = wavelength_m

    def _get_wavelength(self) -> float:
        return self.wavelength

    def _set_averaging(self, duration_s: float) -> None:
        self.averaging = duration_s

    def _get_averaging(self) -> float:
        return self.averaging

    def _get_power(self) -> float:
        return self.light_w - self.dark_w

    def _zero(self) -> None:
        self.dark_w = self.light_w


class PaperPolarisationController(Paper, PolarisationController):
    def __init__(self, name: str = "paper polarisation controller") -> None:
        limits = PolarisationLimits(channels=3, angle_rad=Range(lowest=0.0, highest=np.pi))
        super().__init__(name, limits=limits, clock=ScriptedClock())
        self.rad = np.zeros(3)

    def _set_angles(self, rad: NDArray[np.float64]) -> None:
        self.rad = rad

    def _get_angles(self) -> NDArray[np.float64]:
        return self.rad.copy()


class PaperSwitch(Paper, Switch):
    def __init__(self, name: str = "paper switch") -> None:
        limits = SwitchLimits(positions=("light", "blocked"), safe_position="blocked")
        super().__init__(name, limits=limits, clock=ScriptedClock())
        self.position = "light"

    def _select(self, position: str) -> None:
        self.position = position

    def _get_selected(self) -> str:
        return self.position


class DeafLaser(PaperLaser):
    """Accepts a power and a wavelength, and applies neither."""

    def _set_power(self, power_w: float) -> None:
        return

    def _set_wavelength(self, wavelength_m: float) -> None:
        return


class BrokenLaser(PaperLaser):
    """Applies a power, then loses the link for that one message."""

    def _set_power(self, power_w: float) -> None:
        super()._set_power(power_w)
        raise TimeoutError("no answer within 1 s")


class StuckLaser(PaperLaser):
    """Emits for ever once it has been switched on."""

    def _set_emission(self, on: bool) -> None:
        self.emitting = self.emitting or on

    def _open(self) -> Identity:
        self.emitting = False
        return super()._open()
