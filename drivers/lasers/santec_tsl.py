"""Santec TSL-570, TSL-770 and, experimental, TSL-550 tunable lasers.

Source: Santec's command description of the TSL-570 as it is carried in qcodes_contrib_drivers, and
the open drivers of QMI, pymeasure and PySantec. Commands and answers end with a carriage return
(on GPIB: set the delimiter to CR at the panel). Two command sets have the same spellings and other
units, so the set is chosen before any number is exchanged. Coherence control, which broadens the
line, is switched off with every switching on.
"""

from typing import ClassVar

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.bench.units import dbm_from_si, si_from_dbm
from drivers.catalogue import DriverModel
from drivers.dialects.keysight_n77xx import as_argument
from drivers.dialects.own_limits import refuse_beyond_own
from drivers.errors import InstrumentError
from drivers.instruments import Clock, Identity, Instrument, Laser, LaserLimits, Range
from drivers.transports.link import Link
from drivers.transports.scpi import Scpi
from drivers.transports.settings import NoSettings, own_settings
from drivers.transports.wired import Wired, refuse_stranger

__all__ = ["MODELS", "SantecTSL550", "SantecTSL570"]

_LIMITS = LaserLimits(
    power_w=Range(lowest=4e-5, highest=19.9e-3), wavelength_m=Range(lowest=1500e-9, highest=1630e-9)
)
_WARM_UP = "No23"
_MOST_ALERTS = 32
_MOVE_S = 10.0
"""Time for the answer to `*OPC?`: it may come only when a move is over."""


class SantecTSL570(Wired, Laser):
    """A TSL-570 or TSL-770.

    Its output and its shutter are one thing. While it warms up it counts as not settled; any other
    alert is an error.

    Args:
        name: role in the bench.
        limits: what may be set.
        link: to the laser.
        clock: for polling.
        simulated: whether an emulator answers.
    """

    safe_deadline_s: ClassVar[float] = 2.0
    poll_interval_s: ClassVar[float] = 0.05
    models: ClassVar[str] = "TSL-?(570|770)"
    """Regular expression for the models that may answer."""

    def __init__(
        self,
        name: str,
        *,
        limits: LaserLimits,
        link: Link,
        clock: Clock | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        self._scpi = Scpi(link, end=b"\r", joined=False)
        self._own_m: tuple[float, float] | None = None
        self._own_dbm: tuple[float, float] | None = None

    def _greet(self) -> Identity:
        identity = self._scpi.identity()
        refuse_stranger(self.name, identity, f"SANTEC,{self.models}", f"Santec {self.models}")
        self._scpi.clear()
        self._scpi.set(":SYST:COMM:COD 1")
        self._scpi.set(":POW:UNIT 0")
        self._ask_limits()
        return identity

    def _ask_limits(self) -> None:
        self._own_m = self._scpi.number(":WAV? MIN"), self._scpi.number(":WAV? MAX")
        self._own_dbm = self._scpi.number(":POW? MIN"), self._scpi.number(":POW? MAX")

    def _set_power(self, power_w: float) -> None:
        power_dbm = dbm_from_si(power_w)
        if self._own_dbm is not None:
            refuse_beyond_own(self.name, "power", "dBm", power_dbm, self._own_dbm)
        self._regulate_power()
        self._scpi.set(":POW:UNIT 0")
        self._scpi.set(f":POW {power_dbm:.2f}")

    def _regulate_power(self) -> None:
        """Let the set point, not a fixed attenuation, decide on the power."""
        self._scpi.set(":POW:ATT:AUT 1")

    def _get_power(self) -> float:
        """The set point, whatever unit somebody chose at the panel."""
        in_milliwatts = self._scpi.flag(":POW:UNIT?")
        power = self._scpi.number(":POW?")
        return power * 1e-3 if in_milliwatts else si_from_dbm(power)

    def _set_wavelength(self, wavelength_m: float) -> None:
        if self._own_m is not None:
            refuse_beyond_own(self.name, "wavelength", "m", wavelength_m, self._own_m)
        self._scpi.set(f":WAV {as_argument(wavelength_m)}")

    def _get_wavelength(self) -> float:
        return self._scpi.number(":WAV?")

    def _set_emission(self, on: bool) -> None:
        if on:
            self._scpi.set(":COHC 0")
        self._scpi.set(f":POW:STAT {on:d}")

    def _get_emission(self) -> bool:
        return self._scpi.flag(":POW:STAT?")

    def _is_settled(self) -> bool:
        if not self._get_emission() or not self._scpi.flag("*OPC?", _MOVE_S):
            return False
        alerts = self._alerts()
        serious = [alert for alert in alerts if not alert.startswith(_WARM_UP)]
        if serious:
            raise InstrumentError(
                f"{self.name}: the laser reports {'; '.join(serious)}; look it up in its manual "
                "and remove the cause before switching it on again"
            )
        return not alerts

    def _alerts(self) -> list[str]:
        """What the laser reports; every question is answered with one of them."""
        found: list[str] = []
        for _ in range(_MOST_ALERTS):
            alert = self._scpi.query(":SYST:ALER?")
            if alert.lower().startswith("no alert"):
                break
            found.append(alert)
        return found


class SantecTSL550(SantecTSL570):
    """A TSL-550 or TSL-510 by its SCPI commands: diode and shutter are two things.

    Dark means that the shutter is closed; the diode stays on, which keeps it warm. The laser has no
    known way to be asked for its limits and alerts.

    Args:
        name: role in the bench.
        limits: what may be set.
        link: to the laser.
        clock: for polling.
        simulated: whether an emulator answers.
    """

    models: ClassVar[str] = "TSL-?(550|510)"

    def _ask_limits(self) -> None:
        return

    def _regulate_power(self) -> None:
        return

    def _set_emission(self, on: bool) -> None:
        if on:
            self._scpi.set(":POW:STAT 1")
        self._scpi.set(f":POW:SHUT {not on:d}")

    def _get_emission(self) -> bool:
        return self._scpi.flag(":POW:STAT?") and not self._scpi.flag(":POW:SHUT?")

    def _alerts(self) -> list[str]:
        return []


def _make(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, LaserLimits)
    own_settings(NoSettings(), entry)
    make = SantecTSL550 if entry.model == "Santec TSL-550" else SantecTSL570
    return make(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry, timeout_s=5.0),
        clock=context.clock,
        simulated=context.simulated,
    )


def _model(name: str, limits: LaserLimits) -> DriverModel:
    old = name == "TSL-550"
    return DriverModel(
        model=f"Santec {name}",
        backend="visa",
        kind=Laser,
        limits=limits,
        make=_make,
        confidence="medium" if old else "high",
        identity=rf"SANTEC,{name.replace('-', '-?')}",
        source=(
            "pymeasure's driver of the TSL-550"
            if old
            else "Santec's command description of the TSL-570 in qcodes_contrib_drivers"
        ),
    )


MODELS = (_model("TSL-550", _LIMITS), _model("TSL-570", _LIMITS), _model("TSL-770", _LIMITS))
