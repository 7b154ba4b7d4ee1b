"""NKT Photonics Koheras BASIK fibre lasers, alone or in an ADJUSTIK or ACOUSTIK mainframe.

Source: the maker's register files of module types 0x33 (BASIK K1x2), 0x36 (BASIK K0x2) and 0x34
(mainframe K822/K852), and the open drivers that agree with them.

What a bench must know:

* The role's channel is the module's address on the bus: 1 for a BASIK as delivered.
* The wavelength is the module's standard wavelength plus an offset, tuned by temperature: seconds
  to tens of seconds. Its range is on the laser's test sheet and cannot be asked:
  `settings.tuning_m` says how far the driver goes.
* The power set point only holds in the constant-power mode; a module in the constant-current mode
  is refused. The older K80 and K81 have another register map and are refused too.
* With the interlock or the key open the module refuses to emit, and so does the driver.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import Confidence, DriverModel
from drivers.dialects.interbus import INTERBUS_LINE, Interbus, InterbusRefusalError
from drivers.errors import (
    ConfigurationError,
    InstrumentError,
    LimitError,
    RefusedError,
)
from drivers.instruments import Clock, Identity, Instrument, Laser, LaserLimits, Range
from drivers.transports.link import Link
from drivers.transports.reader import garbled
from drivers.transports.settings import own_settings
from drivers.transports.wired import Wired

__all__ = ["MODELS", "BasikSettings", "NktKoherasBasik"]

_POWER, _EMISSION, _SETUP, _OFFSET, _STANDARD = 0x22, 0x30, 0x31, 0x2A, 0x32
_OUTPUT_POWER, _OFFSET_NOW = 0x17, 0x72
_TYPE, _SERIAL, _STATUS, _ERROR = 0x61, 0x65, 0x66, 0x67
_TYPES: Final = {0x33: "Koheras BASIK K1x2", 0x36: "Koheras BASIK K0x2"}
_MAINFRAME_TYPE = 0x34
_MAINFRAME = 0x80
_CONSTANT_CURRENT = 1 << 8
_EMITS, _INTERLOCK = 1 << 0, 1 << 1
_TROUBLE: Final = {
    _INTERLOCK: "the interlock is open",
    1 << 4: "the module is disabled",
    1 << 5: "the supply is low",
    1 << 6: "its temperature is out of range",
    1 << 11: "it waits for its temperature to drop",
}
_ERRORS: Final = {
    2: "interlock",
    3: "low voltage",
    7: "module temperature out of range",
    8: "module disabled",
}
_MAINFRAME_INTERLOCK = 0b1110
_POWER_STEP_W = 1e-5
_WAVELENGTH_STEP_M = 1e-13
_OFFSET_STEPS = 32767
_SETTLED_STEPS = 5
_SETTLED_POWER = 0.02


@dataclass(frozen=True, kw_only=True)
class BasikSettings:
    """What cannot be asked of the module.

    Args:
        tuning_m: how far from its standard wavelength it may be tuned, to either side; 0 to 3.2 nm.
        mainframe: address of the mainframe that it sits in; 0 for none.
    """

    tuning_m: float = 0.3e-9
    mainframe: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.tuning_m <= 3.2e-9:
            raise ConfigurationError(f"tuning_m is {self.tuning_m}; it must be 0 to 3.2e-9 m")
        if not 0 <= self.mainframe <= 160:
            raise ConfigurationError(f"mainframe is {self.mainframe}; it must be 0 to 160")


class NktKoherasBasik(Wired, Laser):
    """A fibre laser module.

    Args:
        name: role in the bench.
        limits: what may be set; those of the module hold as well.
        link: to the bus.
        clock: for polling.
        channel: address of the module, 1 to 160.
        settings: what cannot be asked.
        simulated: whether an emulator answers.
    """

    safe_deadline_s: ClassVar[float] = 0.5
    poll_interval_s: ClassVar[float] = 0.05
    wavelength_tolerance_m: ClassVar[float] = 0.1e-12

    def __init__(
        self,
        name: str,
        *,
        limits: LaserLimits,
        link: Link,
        clock: Clock | None = None,
        channel: int = 1,
        settings: BasikSettings | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        chosen = BasikSettings() if settings is None else settings
        self._module = Interbus(name, link, self._clock, channel)
        self._mainframe = (
            Interbus(name, link, self._clock, chosen.mainframe) if chosen.mainframe else None
        )
        self._tuning_steps = min(round(chosen.tuning_m / _WAVELENGTH_STEP_M), _OFFSET_STEPS)
        self._standard_steps = 0

    def _greet(self) -> Identity:
        found = _identity(self.name, self._module)
        if self._mainframe is not None:
            kind = self._mainframe.number(_TYPE, 1)
            if kind != _MAINFRAME_TYPE:
                raise InstrumentError(
                    f"{self.name}: a Koheras mainframe (module type 0x34) was expected at the "
                    f"address in settings.mainframe, type 0x{kind:02X} answers"
                )
        if self._module.number(_SETUP, 2) & _CONSTANT_CURRENT:
            raise InstrumentError(
                f"{self.name}: the module is in its constant-current mode, in which its power set "
                "point has no meaning; choose the constant-power mode with the maker's program"
            )
        self._standard_steps = self._module.number(_STANDARD, 4)
        return found

    def _set_power(self, power_w: float) -> None:
        self._write(_POWER, round(power_w / _POWER_STEP_W), 2)

    def _get_power(self) -> float:
        return self._module.number(_POWER, 2) * _POWER_STEP_W

    def _set_wavelength(self, wavelength_m: float) -> None:
        offset = round(wavelength_m / _WAVELENGTH_STEP_M) - self._standard_steps
        if abs(offset) > self._tuning_steps:
            raise LimitError(
                f"{self.name}: wavelength {wavelength_m} m is {offset * 1e-4:.4f} nm from the "
                f"module's standard wavelength of {self._standard_steps * 1e-4:.4f} nm; the limit "
                f"is {self._tuning_steps * 1e-4:g} nm (settings.tuning_m): choose a nearer one, or "
                "look at the laser's test sheet"
            )
        self._write(_OFFSET, offset & 0xFFFF, 2)

    def _get_wavelength(self) -> float:
        offset = self._module.number(_OFFSET, 2, signed=True)
        return (self._standard_steps + offset) * _WAVELENGTH_STEP_M

    def _set_emission(self, on: bool) -> None:
        self._write(_EMISSION, int(on), 1)
        if on:
            self._refuse_open_interlock()

    def _get_emission(self) -> bool:
        # The set point stays when the interlock opens; the light can stay when it is cleared.
        wanted = self._module.number(_EMISSION, 1) != 0
        return wanted or bool(self._module.number(_STATUS, 2) & _EMITS)

    def _is_settled(self) -> bool:
        status = self._module.number(_STATUS, 2)
        if not status & _EMITS or status & sum(_TROUBLE):
            return False
        wanted = self._module.number(_OFFSET, 2, signed=True)
        offset = self._module.number(_OFFSET_NOW, 4, signed=True)
        power = self._module.number(_POWER, 2)
        output = self._module.number(_OUTPUT_POWER, 2)
        return (
            abs(offset - wanted) <= _SETTLED_STEPS and abs(output - power) <= _SETTLED_POWER * power
        )

    def _get_interlock(self) -> bool:
        open_somewhere = self._module.number(_STATUS, 2) & _INTERLOCK
        if self._mainframe is not None:
            open_somewhere |= self._mainframe.number(_STATUS, 2) & _MAINFRAME_INTERLOCK
        return not open_somewhere

    def _refuse_open_interlock(self) -> None:
        """An order to emit may be taken and wait for the interlock: the light would come later."""
        if not self._get_interlock():
            raise RefusedError(
                f"{self.name}: the interlock is open, the laser does not emit; close it, turn the "
                "key and switch on again"
            )

    def _write(self, register: int, value: int, size: int) -> None:
        try:
            self._module.write(register, value, size)
        except InterbusRefusalError as error:
            raise RefusedError(f"{error}: {self._reason()}") from error

    def _reason(self) -> str:
        """Refusals have none: what the status says."""
        status = self._module.number(_STATUS, 2)
        code = self._module.number(_ERROR, 1)
        said = [text for bit, text in _TROUBLE.items() if status & bit]
        if code:
            said.append(f"error {code}, {_ERRORS.get(code, 'not known')}")
        return "; ".join(said) or "its status is good, so the value is out of its range"


def _identity(name: str, module: Interbus) -> Identity:
    """Who answers, if its registers are the ones that the driver knows."""
    kind = module.number(_TYPE, 1)
    if kind not in _TYPES:
        raise InstrumentError(
            f"{name}: a Koheras BASIK (module type 0x33 or 0x36) was expected, type 0x{kind:02X} "
            "answers; two addresses may be exchanged, or it is of an older kind with other "
            "registers"
        )
    serial = module.read(_SERIAL)
    text = serial.split(b"\0", 1)[0]
    if not text.isascii():
        raise garbled("a serial number", serial)
    return Identity(
        maker="NKT Photonics", model=_TYPES[kind], serial=text.decode().strip(), firmware="unknown"
    )


def _probe(link: Link) -> Identity:
    return _identity(link.address, Interbus(link.address, link, link.clock, 1))


def _laser(entry: InstrumentEntry, context: BuildContext, *, mainframe: int) -> Instrument:
    assert isinstance(context.limits, LaserLimits)
    return NktKoherasBasik(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry, serial=INTERBUS_LINE, timeout_s=1.0),
        clock=context.clock,
        channel=entry.channel,
        settings=own_settings(BasikSettings(mainframe=mainframe), entry),
        simulated=context.simulated,
    )


_PRODUCTS: tuple[tuple[str, int, Confidence], ...] = (
    ("BASIK", 0, "high"),
    ("ADJUSTIK", _MAINFRAME, "medium-high"),
)

MODELS = tuple(
    DriverModel(
        model=f"NKT Koheras {name}",
        backend="serial",
        kind=Laser,
        limits=LaserLimits(
            power_w=Range(lowest=1e-3, highest=40e-3),
            wavelength_m=Range(lowest=1530e-9, highest=1575e-9),
        ),
        make=partial(_laser, mainframe=mainframe),
        confidence=confidence,
        identity="NKT Photonics,Koheras BASIK",
        channels=160,
        source="NKT Photonics register files 33, 34 and 36",
        serial=INTERBUS_LINE,
        probe=_probe,
        settings={
            "tuning_m": "how far from its standard wavelength the laser may be tuned, in m (3e-10)",
            "mainframe": f"address of the mainframe, 0 for none ({mainframe})",
        },
    )
    for name, mainframe, confidence in _PRODUCTS
)
