"""What light passes between lasers and detectors: attenuators, couplers, shifters, switches."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from drivers.errors import ConfigurationError
from sim_backend.scene._checks import check_between
from sim_backend.scene.light import Light, Window
from sim_backend.scene.slow import NoClock, Settling, TimeSource

__all__ = [
    "AttenuatorSettings",
    "Coupler",
    "FrequencyShifter",
    "FrequencyShifterSettings",
    "LightSwitch",
    "SwitchSettings",
    "VariableAttenuator",
]


@dataclass(frozen=True, kw_only=True)
class AttenuatorSettings:
    """A variable attenuator with a shutter.

    Args:
        insertion_loss_db: loss at 0 dB.
        highest_db: largest attenuation, also where it stands after power-up.
        shutter_isolation_db: loss that the closed shutter adds.
        settling_s: time constant in dB after a new setpoint.
        error_db: calibration error: the true attenuation is the setpoint plus this.
    """

    insertion_loss_db: float = 1.0
    highest_db: float = 100.0
    shutter_isolation_db: float = 100.0
    settling_s: float = 0.02
    error_db: float = 0.0

    def __post_init__(self) -> None:
        check_between(self, "insertion_loss_db", 0.0, 30.0, unit="dB")
        check_between(self, "highest_db", 0.0, 150.0, unit="dB")
        check_between(self, "shutter_isolation_db", 0.0, 200.0, unit="dB")
        check_between(self, "settling_s", 0.0, 1e3, unit="s")
        check_between(self, "error_db", -5.0, 5.0, unit="dB")


class VariableAttenuator:
    """Attenuation in dB that settles, and a shutter of finite isolation that acts at once.

    Attributes:
        shutter_open: False blocks.

    Args:
        settings: the data sheet.
        clock: simulated time.
    """

    def __init__(self, settings: AttenuatorSettings, *, clock: TimeSource) -> None:
        self.settings = settings
        self.shutter_open = False
        self._attenuation_db = Settling(
            settings.highest_db, time_constant_s=settings.settling_s, clock=clock
        )

    def set_attenuation_db(self, attenuation_db: float) -> None:
        """New setpoint in dB.

        Raises:
            ConfigurationError: outside [0, highest] or not a number.
        """
        if not 0 <= attenuation_db <= self.settings.highest_db:
            raise ConfigurationError(
                f"attenuator: {attenuation_db} dB is outside 0..{self.settings.highest_db:g} dB"
            )
        self._attenuation_db.set(attenuation_db)

    def attenuation_db(self) -> float:
        """The attenuation now in dB, without insertion loss and shutter."""
        return self._attenuation_db.value()

    def transmission(self) -> float:
        """Power transmission now, everything included."""
        loss_db = self.attenuation_db() + self.settings.error_db + self.settings.insertion_loss_db
        if not self.shutter_open:
            loss_db += self.settings.shutter_isolation_db
        return float(10.0 ** (-loss_db / 10))

    def block(self, light: Light) -> Light:
        """Attenuate a block."""
        return light.scaled(math.sqrt(self.transmission()))


class Coupler:
    """A lossless two-by-two coupler with one used input.

    Through port sqrt(1 - tap), tapped port i sqrt(tap); the i keeps it unitary (Yariv, Photonics).

    Attributes:
        tap: power fraction of the tapped port, in [0, 1].

    Args:
        tap: initial value.
        excess_loss_db: loss of both ports.
    """

    def __init__(self, tap: float, *, excess_loss_db: float = 0.0) -> None:
        if not 0 <= tap <= 1:
            raise ConfigurationError(f"coupler: tap is {tap}, it must be between 0 and 1")
        if not 0 <= excess_loss_db <= 60:
            raise ConfigurationError(f"coupler: excess loss {excess_loss_db} dB outside 0..60 dB")
        self.tap: float = tap
        self._kept = float(10.0 ** (-excess_loss_db / 20))

    def transmission(self) -> float:
        """Power transmission of the through port."""
        return (1 - self.tap) * self._kept**2

    def tap_transmission(self) -> float:
        """Power transmission of the tapped port."""
        return self.tap * self._kept**2

    def block(self, light: Light) -> tuple[Light, Light]:
        """Split a block into (through, tapped)."""
        through = light.scaled(self._kept * math.sqrt(1 - self.tap))
        return through, light.scaled(1j * self._kept * math.sqrt(self.tap))


@dataclass(frozen=True, kw_only=True)
class FrequencyShifterSettings:
    """An acousto-optic frequency shifter.

    Args:
        shift_hz: frequency added to the light.
        loss_db: loss with diffraction efficiency.
    """

    shift_hz: float = 200e6
    loss_db: float = 3.0

    def __post_init__(self) -> None:
        check_between(self, "shift_hz", -1e11, 1e11, unit="Hz")
        check_between(self, "loss_db", 0.0, 60.0, unit="dB")


class FrequencyShifter:
    """Multiplies the field by sqrt(L) exp(2 pi i shift t), t from the trigger.

    Args:
        settings: the data sheet.
    """

    def __init__(self, settings: FrequencyShifterSettings) -> None:
        self.settings = settings
        self._rate_hz = 1.0
        self._turns = 0.0

    def begin(self, window: Window) -> None:
        """Start a shot."""
        self._rate_hz = window.rate_hz
        self._turns = (self.settings.shift_hz * window.start_s) % 1.0

    def transmission(self) -> float:
        """Power transmission."""
        return float(10.0 ** (-self.settings.loss_db / 10))

    def block(self, light: Light) -> Light:
        """Shift a block."""
        samples = light.field.size
        step = self.settings.shift_hz / self._rate_hz
        turns = (np.arange(samples, dtype=np.float64) * step + self._turns) % 1.0
        self._turns = (self._turns + samples * step) % 1.0
        phase = (turns * (2 * math.pi)).astype(np.float32)
        amplitude = np.float32(math.sqrt(self.transmission()))
        rotation = np.empty(samples, dtype=np.complex64)
        np.multiply(np.cos(phase), amplitude, out=rotation.real)
        np.multiply(np.sin(phase), amplitude, out=rotation.imag)
        rotation *= light.field
        return Light(
            field=rotation,
            jones=light.jones,
            carrier_hz=light.carrier_hz + self.settings.shift_hz,
        )


@dataclass(frozen=True, kw_only=True)
class SwitchSettings:
    """An on-off switch for light.

    Args:
        insertion_loss_db: loss when passing.
        isolation_db: further loss when blocking.
        settling_s: time constant of the transmitted amplitude.
    """

    insertion_loss_db: float = 0.5
    isolation_db: float = 70.0
    settling_s: float = 1e-3

    def __post_init__(self) -> None:
        check_between(self, "insertion_loss_db", 0.0, 30.0, unit="dB")
        check_between(self, "isolation_db", 0.0, 200.0, unit="dB")
        check_between(self, "settling_s", 0.0, 1e3, unit="s")


class LightSwitch:
    """Passes the light or blocks it with finite isolation.

    Args:
        settings: the data sheet.
        clock: simulated time; without one the switch acts at once.
    """

    def __init__(self, settings: SwitchSettings, *, clock: TimeSource | None = None) -> None:
        self.settings = settings
        self._position: Literal["light", "blocked"] = "light"
        self._amplitude = Settling(
            1.0,
            time_constant_s=settings.settling_s if clock else 0.0,
            clock=clock or NoClock(),
        )

    def select(self, position: str) -> None:
        """Select "light" or "blocked".

        Raises:
            ConfigurationError: another name.
        """
        if position == "light":
            self._position = "light"
            self._amplitude.set(1.0)
        elif position == "blocked":
            self._position = "blocked"
            self._amplitude.set(10.0 ** (-self.settings.isolation_db / 20))
        else:
            raise ConfigurationError(f"switch: position {position!r}, known: 'light', 'blocked'")

    def selected(self) -> str:
        """The selected position."""
        return self._position

    def transmission(self) -> float:
        """Power transmission now."""
        return float(self._amplitude.value() ** 2 * 10.0 ** (-self.settings.insertion_loss_db / 10))

    def block(self, light: Light) -> Light:
        """Pass a block."""
        return light.scaled(math.sqrt(self.transmission()))
