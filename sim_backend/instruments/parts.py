"""What a front panel controls: the physics behind each kind of instrument, without the panel.

A part is one device of a simulated bench. The simulated instruments and the twins that speak a
vendor's language are two front panels of it: whichever sets a value, both find it. Parts know no
messages, no latencies and no limits of a model; what time a reading takes is passed by the panel.
Some parts are components of the scene as they are, and have a name here all the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from sim_backend.instruments.bias_part import BiasPart, BiasSettings
from sim_backend.instruments.converters import DigitiserUnit, GeneratorUnit
from sim_backend.instruments.trigger_line import TriggerLine
from sim_backend.scene.amplifier import OpticalAmplifierModel
from sim_backend.scene.detectors import PowerHead
from sim_backend.scene.lasers import LaserSource
from sim_backend.scene.light import PHOTON_ENERGY_J, REFERENCE_WAVELENGTH_M
from sim_backend.scene.path import LightSwitch, VariableAttenuator
from sim_backend.scene.polarisation import PolarisationController

__all__ = [
    "AmplifierPart",
    "AttenuatorPart",
    "BiasPart",
    "BiasSettings",
    "DigitiserPart",
    "GeneratorPart",
    "LaserPart",
    "Part",
    "PhasePart",
    "PhaseShifters",
    "PolarisationPart",
    "PowerPart",
    "SwitchPart",
]

LaserPart: TypeAlias = LaserSource
"""A tunable laser."""
AttenuatorPart: TypeAlias = VariableAttenuator
"""An attenuator with its shutter."""
PolarisationPart: TypeAlias = PolarisationController
"""Retarders in a row."""
SwitchPart: TypeAlias = LightSwitch
"""A switch with the positions "light" and "blocked"."""


@dataclass(frozen=True, kw_only=True)
class GeneratorPart:
    """A channel of a waveform generator on the trigger line.

    Args:
        unit: sample memory, levels and outputs by channel; rate, delay and arming are of all.
        line: `line.fire(unit)` plays what is loaded and lets all run that wait for a pulse.
        channel: index of this part in the unit's lists. On the reference bench every part is
            channel 0 of a unit of its own; on the bench with an amplifier all share one unit.
    """

    unit: GeneratorUnit
    line: TriggerLine
    channel: int = 0


@dataclass(frozen=True, kw_only=True)
class DigitiserPart:
    """A channel of a digitiser on the trigger line.

    Args:
        unit: settings, arming and the last record of the channel.
        line: `line.record_now(unit)` records at once.
    """

    unit: DigitiserUnit
    line: TriggerLine


class AmplifierPart:
    """A fibre amplifier in constant-gain mode with monitors of its input and output.

    Attributes:
        model: component of the scene, with its data sheet.

    Args:
        model: as the attribute.
        seed_w: true power at the input now, in W.
        bandwidth_hz: in which the amplifier emits, for the output monitor.
    """

    def __init__(
        self,
        model: OpticalAmplifierModel,
        *,
        seed_w: Callable[[], float],
        bandwidth_hz: float = 4e12,
    ) -> None:
        self.model = model
        self._seed_w = seed_w
        self._bandwidth_hz = bandwidth_hz

    def set_gain_db(self, gain_db: float) -> None:
        """New gain in dB.

        Raises:
            ConfigurationError: beyond what the amplifier can do, or not a number.
        """
        self.model.set_gain_db(gain_db)

    def gain_db(self) -> float:
        """The gain setpoint in dB."""
        return self.model.gain_db()

    @property
    def pump_on(self) -> bool:
        """Whether the pump is on."""
        return self.model.pump

    @pump_on.setter
    def pump_on(self, on: bool) -> None:
        self.model.pump = on

    def seed_power_w(self) -> float:
        """Power at the input now in W."""
        return self._seed_w()

    def output_power_w(self) -> float:
        """Power at the output now in W.

        G P + 2 n_sp (G - 1) h nu B: Desurvire, Erbium-Doped Fiber Amplifiers, section 2.4.
        """
        seed_w = self._seed_w()
        gain = self.model.gain(seed_w)
        spontaneous = 2 * self.model.settings.inversion * max(0.0, gain - 1)
        return gain * seed_w + spontaneous * PHOTON_ENERGY_J * self._bandwidth_hz


class PhaseShifters(Protocol):
    """Shifters of the scene: those of a mesh, or the one in the path of an oscillator."""

    @property
    def channels(self) -> int:
        """Number of shifters."""

    def set_voltages(self, voltages_v: NDArray[np.float64], /) -> None:
        """Set all, in volts, shape (channels,)."""

    def voltages(self) -> NDArray[np.float64]:
        """The voltages in volts, shape (channels,)."""


class PhasePart:
    """Voltages on phase shifters, all at once or one by one.

    Attributes:
        shifters: component of the scene.
        channels: number of shifters.

    Args:
        shifters: as the attribute.
    """

    def __init__(self, shifters: PhaseShifters) -> None:
        self.shifters = shifters
        self.channels = shifters.channels

    def set(self, channel: int, volts: float) -> None:
        """Set one shifter, from 0.

        Raises:
            ConfigurationError: no such channel, or not a finite number.
        """
        voltages = self.shifters.voltages()
        voltages[self._checked(channel)] = volts
        self.shifters.set_voltages(voltages)

    def get(self, channel: int) -> float:
        """The voltage of one shifter in V, from 0.

        Raises:
            ConfigurationError: no such channel.
        """
        return float(self.shifters.voltages()[self._checked(channel)])

    def set_voltages(self, volts: NDArray[np.float64]) -> None:
        """Set all shifters, shape (channels,).

        Raises:
            ConfigurationError: wrong shape or not finite.
        """
        self.shifters.set_voltages(volts)

    def voltages(self) -> NDArray[np.float64]:
        """The voltages in V, shape (channels,)."""
        return self.shifters.voltages()

    def _checked(self, channel: int) -> int:
        if not 0 <= channel < self.channels:
            raise ConfigurationError(
                f"phase shifters: there is no channel {channel}; choose 0 to {self.channels - 1}"
            )
        return channel


class PowerPart:
    """An InGaAs sensor of constant quantum efficiency at a point of the scene.

    Such a sensor's current is proportional to power times wavelength (Saleh and Teich,
    Fundamentals of Photonics, chapter 18), so a wrong wavelength scales the reading.

    Attributes:
        head: the sensor with its errors and its noise.
        wavelength_m: for which the current is converted.

    Args:
        head: as the attribute.
        power_w: the true power at the sensor now, in W.
    """

    def __init__(self, head: PowerHead, *, power_w: Callable[[], float]) -> None:
        self.head = head
        self.wavelength_m = REFERENCE_WAVELENGTH_M
        self._power_w = power_w

    def read_w(self, averaging_s: float) -> float:
        """One reading in W, averaged over a time above 0 that the caller lets pass."""
        return self.head.read_w(self._seen_w(), averaging_s)

    def zero(self, averaging_s: float) -> None:
        """Take the present reading as zero, dark or not; the caller lets the time pass."""
        self.head.zero(self._seen_w(), averaging_s)

    def _seen_w(self) -> float:
        """True power as the meter computes it from the sensor's current."""
        return self._power_w() * REFERENCE_WAVELENGTH_M / self.wavelength_m


Part: TypeAlias = (
    LaserPart
    | GeneratorPart
    | DigitiserPart
    | BiasPart
    | AttenuatorPart
    | AmplifierPart
    | PhasePart
    | PowerPart
    | PolarisationPart
    | SwitchPart
)
"""What is behind one front panel, or behind one channel of it."""
