"""OZ Optics EPC-400 (EPC04) electrically driven polarisation controller: four fibre squeezers.

The instrument knows volts, not angles: what retardance a volt makes differs from device to device
and is a setting that must be measured. There is no identity and no serial number. Facts: QMI's and
pylablib's drivers; no maker's document was read.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.dialects.ozoptics import ask_lines, order_lines
from drivers.errors import ConfigurationError, InstrumentError, LimitError
from drivers.instruments import (
    Clock,
    Identity,
    Instrument,
    PolarisationController,
    PolarisationLimits,
    Range,
)
from drivers.transports.link import Link
from drivers.transports.reader import garbled
from drivers.transports.serial_stream import SerialSettings
from drivers.transports.settings import own_settings
from drivers.transports.wired import Wired

__all__ = ["LINE", "MODELS", "EPCSettings", "OZOpticsEPC", "reachable"]

LINE = SerialSettings(baud=9600)
_CHANNELS: Final = 4
_HIGHEST_MV: Final = 5000
_USUAL_RAD_PER_VOLT: Final = 2.0
_SETTLE_S: Final = 0.02
_VOLTAGES: Final = re.compile(rb"Voltage\(mV\):((?:\s+CH[1-4]\s*[+-]?\d{1,5}){4})")
_ONE_VOLTAGE: Final = re.compile(r"CH([1-4])\s*([+-]?\d{1,5})")
_TAKEN: Final = re.compile(rb"Set CH([1-4]) DC Voltage at:\s*([+-]?\d{1,5})\s*mV")
_MODE: Final = re.compile(rb"Work Mode:\s*(DC|AC).*")


@dataclass(frozen=True, kw_only=True)
class EPCSettings:
    """What the squeezers do to the light.

    Args:
        rad_per_volt: retardance in rad that a volt makes, of all channels that have none of their
            own. The usual value is a guess: measure which voltage makes a whole turn.
        rad_per_volt_1: of the first channel; 0 for the common one.
        rad_per_volt_2: of the second.
        rad_per_volt_3: of the third.
        rad_per_volt_4: of the fourth.
    """

    rad_per_volt: float = _USUAL_RAD_PER_VOLT
    rad_per_volt_1: float = 0.0
    rad_per_volt_2: float = 0.0
    rad_per_volt_3: float = 0.0
    rad_per_volt_4: float = 0.0

    def __post_init__(self) -> None:
        for value in self.scales:
            if not 0.1 <= value <= 6:
                raise ConfigurationError(f"rad_per_volt is {value}; it must be 0.1 to 6 rad/V")

    @property
    def scales(self) -> tuple[float, float, float, float]:
        """Retardance in rad per volt by channel."""
        own = (self.rad_per_volt_1, self.rad_per_volt_2, self.rad_per_volt_3, self.rad_per_volt_4)
        first, second, third, fourth = (one or self.rad_per_volt for one in own)
        return first, second, third, fourth


class OZOpticsEPC(Wired, PolarisationController):
    """Four squeezers at a constant voltage each; an angle is volts times the setting.

    The instrument takes whole millivolts.

    Args:
        name: role in the bench.
        limits: four retardances in rad; the voltage of each must be -5 to 5 V besides.
        link: to the instrument.
        clock: for settling.
        settings: what the squeezers do to the light.
        simulated: whether an emulator answers.
    """

    poll_interval_s = 0.02
    angle_tolerance_rad: ClassVar[float] = 0.01

    def __init__(
        self,
        name: str,
        *,
        limits: PolarisationLimits,
        link: Link,
        clock: Clock | None = None,
        settings: EPCSettings | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        chosen = EPCSettings() if settings is None else settings
        self._scales: NDArray[np.float64] = np.array(chosen.scales, dtype=np.float64)

    def _greet(self) -> Identity:
        """A controller that scrambles is set to constant voltages."""
        identity = identify(self._link)
        if not self._is_constant():
            order_lines(self._link, "MDC")
            if not self._is_constant():
                raise InstrumentError(
                    f"{self.name}: goes on scrambling (AC mode) after the order to stop; switch "
                    "it off and on"
                )
        return identity

    def _set_angles(self, rad: NDArray[np.float64]) -> None:
        wanted = np.rint(rad / self._scales * 1e3).astype(int)
        for channel, millivolts in enumerate(wanted, start=1):
            if abs(millivolts) > _HIGHEST_MV:
                raise LimitError(
                    f"{self.name}: angles[{channel - 1}] {rad[channel - 1]} rad needs "
                    f"{millivolts / 1e3} V on channel {channel}; the limits are -5 to 5 V. Choose "
                    "a whole turn less, or look at settings.rad_per_volt"
                )
        with self._link.held():
            found = ask_millivolts(self._link)
            for channel, millivolts in enumerate(wanted.tolist(), start=1):
                if millivolts != found[channel - 1]:
                    self._set_millivolts(channel, millivolts)
        self._clock.sleep(_SETTLE_S)

    def _get_angles(self) -> NDArray[np.float64]:
        volts: NDArray[np.float64] = np.array(ask_millivolts(self._link), dtype=np.float64) * 1e-3
        return np.multiply(volts, self._scales)

    def _set_millivolts(self, channel: int, millivolts: int) -> None:
        def check(text: bytes) -> None:
            found = _TAKEN.fullmatch(text)
            if found is None or (int(found[1]), int(found[2])) != (channel, millivolts):
                raise garbled(f"channel {channel} at {millivolts} mV", text)

        order_lines(self._link, f"V{channel},{millivolts}", check)

    def _is_constant(self) -> bool:
        def check(text: bytes) -> None:
            if _MODE.fullmatch(text) is None:
                raise garbled("the mode DC or AC", text)

        return any(": DC" in one for one in ask_lines(self._link, "M?", check))


def ask_millivolts(link: Link) -> list[int]:
    """The voltages of the four channels in mV.

    Args:
        link: open.

    Raises:
        AnswerError: not four voltages, twice.
        RefusedError: the instrument says that it is an error.
        LinkError: see `Link.ask`.
    """
    lines = ask_lines(link, "V?", _check_voltages)
    found = {int(one): int(value) for one, value in _ONE_VOLTAGE.findall(" ".join(lines))}
    if sorted(found) != list(range(1, _CHANNELS + 1)):
        raise garbled("the voltages of four channels", " ".join(lines).encode())
    return [found[channel] for channel in sorted(found)]


def identify(link: Link) -> Identity:
    """Ask for the voltages, in whose form no other instrument answers.

    Args:
        link: open.

    Raises:
        AnswerError: it is not this kind of instrument.
        RefusedError: likewise.
        LinkError: see `Link.ask`.
    """
    ask_millivolts(link)
    return Identity(maker="OZ Optics", model="EPC", serial="", firmware="")


def reachable(limits: PolarisationLimits, settings: EPCSettings) -> PolarisationLimits:
    """The limits, narrowed to what 5 V reach on every channel.

    Args:
        limits: of the bench file.
        settings: what the squeezers do to the light.
    """
    reach_rad = _HIGHEST_MV / 1e3 * min(settings.scales)
    allowed = limits.angle_rad
    return PolarisationLimits(
        channels=limits.channels,
        angle_rad=Range(
            lowest=max(allowed.lowest, -reach_rad), highest=min(allowed.highest, reach_rad)
        ),
    )


def _check_voltages(text: bytes) -> None:
    if _VOLTAGES.fullmatch(text) is None:
        raise garbled("the voltages of four channels", text)


def _controller(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, PolarisationLimits)
    settings = own_settings(EPCSettings(), entry)
    return OZOpticsEPC(
        entry.role,
        limits=reachable(context.limits, settings),
        link=context.links.link(entry, serial=LINE, timeout_s=1.0),
        clock=context.clock,
        settings=settings,
        simulated=context.simulated,
    )


_REACH_RAD = _HIGHEST_MV / 1e3 * _USUAL_RAD_PER_VOLT

MODELS = (
    DriverModel(
        model="OZ Optics EPC-400",
        backend="serial",
        kind=PolarisationController,
        limits=PolarisationLimits(
            channels=_CHANNELS, angle_rad=Range(lowest=-_REACH_RAD, highest=_REACH_RAD)
        ),
        make=_controller,
        confidence="medium-high",
        source="QMI's and pylablib's drivers; errors and the retardance per volt are not confirmed",
        serial=LINE,
        probe=identify,
        settings={
            "rad_per_volt": "retardance that a volt makes, to be measured; 0.1 to 6 rad/V (2.0)",
            "rad_per_volt_1": "of the first channel, 0 for the common one (0.0)",
            "rad_per_volt_2": "of the second channel (0.0)",
            "rad_per_volt_3": "of the third channel (0.0)",
            "rad_per_volt_4": "of the fourth channel (0.0)",
        },
    ),
)
