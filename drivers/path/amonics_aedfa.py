"""Amonics AEDFA fibre amplifiers, pumped with a constant current.

The instrument holds a current or an output power, and knows nothing of gain. A constant output
would turn a change of the seed into one of the gain, so this driver uses the constant current, and
a table of gain against current that is measured on the amplifier at its working seed. The gain that
reads back is that of the instrument's current by this table; the true gain is what the calibration
of the link measures.

The instrument does not answer orders and has no known error report: everything is read back.
Facts: two open drivers, one of which follows the maker's manual 2.08; no maker's document was read.
"""

import math
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.dialects.amonics import AmonicsBox
from drivers.dialects.gain_table import GainTable
from drivers.errors import ConfigurationError, InstrumentError, LimitError
from drivers.instruments import (
    AmplifierLimits,
    Clock,
    Identity,
    Instrument,
    OpticalAmplifier,
    Range,
)
from drivers.transports.link import Link
from drivers.transports.serial_stream import SerialSettings
from drivers.transports.settings import own_settings
from drivers.transports.wired import Wired, refuse_stranger

__all__ = ["LINE", "MODELS", "AEDFASettings", "AmonicsAEDFA", "identify"]

LINE = SerialSettings(baud=19200)
_STAGE: Final = "CH1"
_MODE: Final = "ACC"
_OFF, _ON, _BUSY, _LOCKED = 0, 1, 2, 4
_STATES: Final = {_OFF: "off", _ON: "on", _BUSY: "busy", _LOCKED: "locked"}
_ANSWER_S: Final = 0.25
_SWITCH_S: Final = 10.0
_DEAF_S: Final = 3.0
"""Some units miss the first order to switch; it is given again for so long."""
_AGAIN_S: Final = 1.0
_RAMP_STEPS: Final = 10
_SETTLE_S: Final = 0.1
_MILLI: Final = {"mA": 1.0, "A": 1e-3}
"""Of the instrument's unit, what a milliampere is."""


@dataclass(frozen=True, kw_only=True)
class AEDFASettings:
    """What the driver must know of the amplifier.

    Args:
        gain_table: measured gain by pump current, such as `"60 mA = 0 dB, 120 mA = 9.5 dB"`, at the
            seed that the amplifier works with.
    """

    gain_table: str = ""

    @property
    def table(self) -> GainTable:
        """The table.

        Raises:
            ConfigurationError: there is none, or it is not of the right form.
        """
        if not self.gain_table:
            raise ConfigurationError(
                "settings.gain_table is missing; measure the gain at a few currents and write "
                'such as "60 mA = 0 dB, 120 mA = 9.5 dB"'
            )
        return GainTable.parse(self.gain_table)


class AmonicsAEDFA(Wired, OpticalAmplifier):
    """An amplifier's first stage, pumped with a constant current.

    Order of switching on: constant current, lowest current, stage, a look at the seed, master
    switch, current in steps. Switching off begins with the master switch. Where the interlock has
    opened, the stage is locked until somebody unlocks it at the instrument; this driver never does.
    While the current is raised step by step the gain reads lower than it was set.

    Args:
        name: role in the bench.
        limits: gains inside the table, and the seed that is needed.
        link: to the amplifier.
        clock: for pauses and polling.
        table: gain against current.
        simulated: whether an emulator answers.
    """

    safe_deadline_s = 2 * _SWITCH_S
    poll_interval_s = 0.1

    def __init__(
        self,
        name: str,
        *,
        limits: AmplifierLimits,
        link: Link,
        clock: Clock | None = None,
        table: GainTable,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        self._box = AmonicsBox(link, self._clock)
        self._table = table
        self._milli = 1.0
        self._lowest_ma = 0.0
        self._highest_ma = 0.0
        self._step_ma = 0.0
        self._has_other_modes = False

    def _greet(self) -> Identity:
        identity = identify(self._box.link)
        refuse_stranger(self.name, identity, r"Amonics,.*EDFA", "an Amonics EDFA")
        modes = self._box.text(":READ:MODE:NAMES?")
        if _MODE not in re.findall("[A-Z]+", modes):
            raise InstrumentError(
                f"{self.name}: knows the modes {modes!r}; constant current ({_MODE}) is needed"
            )
        self._has_other_modes = modes.strip() != _MODE
        if self._box.number(":READ:CH:POW:IN?") < 1:
            raise InstrumentError(
                f"{self.name}: has no monitor of its input power; without one it cannot be kept "
                "from being pumped without a seed"
            )
        unit = self._box.text(f":READ:DRIV:UNIT:{_MODE}:{_STAGE}?")
        if unit not in _MILLI:
            raise InstrumentError(f"{self.name}: its current is in {unit!r}, not in mA or A")
        self._milli = _MILLI[unit]
        self._lowest_ma, self._highest_ma, self._step_ma = (
            self._box.number(f":READ:DRIV:{what}:{_MODE}:{_STAGE}?") / self._milli
            for what in ("MIN", "MAX", "STEP")
        )
        return identity

    def _set_gain_db(self, gain_db: float) -> None:
        wanted_ma = self._table.current_ma(gain_db)
        if not self._lowest_ma <= wanted_ma <= self._highest_ma:
            raise LimitError(
                f"{self.name}: a gain of {gain_db} dB needs {wanted_ma:.4g} mA by the table; the "
                f"amplifier's own limits are {self._lowest_ma:g} to {self._highest_ma:g} mA"
            )
        if self._get_pump():
            self._ramp(wanted_ma)
        else:
            self._put_current(wanted_ma)

    def _get_gain_db(self) -> float:
        """The gain that the table gives at the instrument's set point of the current."""
        return self._table.gain_db(self._current_ma())

    def _get_seed_power(self) -> float:
        return self._box.number(f":SENS:POW:IN:{_STAGE}?") * 1e-3

    def _get_output_power(self) -> float:
        return self._box.number(f":SENS:POW:OUT:{_STAGE}?") * 1e-3

    def _set_pump(self, on: bool) -> None:
        if not on:
            self._attempt_all([lambda: self._switch("MCTRL", False), self._stage_off])
            return
        if self._state("MCTRL") == _ON and self._stage_state() == _ON:
            return  # beginning anew would take the gain away for a while
        wanted_ma = self._current_ma()
        self._use_constant_current()
        self._put_current(self._lowest_ma)
        self._switch(f"{_MODE}:STAT:{_STAGE}", True)
        self._need_seed()
        self._switch("MCTRL", True)
        self._ramp(wanted_ma)

    def _get_pump(self) -> bool:
        """A stage that is locked or off is not pumped, whatever the master switch says."""
        pumping = (_ON, _BUSY)
        return self._state("MCTRL") in pumping and self._stage_state() in pumping

    def _get_interlock(self) -> bool:
        """It stays open in the amplifier's mind until somebody unlocks it at the instrument."""
        return self._box.choice(":DRIV:INTERLOCK?", (0, 1)) == 0

    def _hurried(self, hurry_s: float | None) -> AbstractContextManager[None]:
        """Light that seeds it must not go before its answer has come, at 19200 baud."""
        return super()._hurried(None if hurry_s is None else max(hurry_s, _ANSWER_S))

    def _is_safe(self) -> bool:
        return self._state("MCTRL") == _OFF

    def _stage_off(self) -> None:
        self._switch(f"{_MODE}:STAT:{_STAGE}", False)

    def _stage_state(self) -> int:
        return self._state(f"{_MODE}:STAT:{_STAGE}")

    def _state(self, switch: str) -> int:
        return self._box.choice(f":DRIV:{switch}?", tuple(_STATES))

    def _switch(self, switch: str, on: bool) -> None:
        """Order a state, and wait until it is read back."""
        wanted = _ON if on else _OFF
        begin_s = self._clock.now()
        again_s = begin_s
        while True:
            now_s = self._clock.now()
            if now_s >= again_s:
                self._box.send(f":DRIV:{switch}", str(wanted))
                again_s = now_s + _AGAIN_S
            state = self._state(switch)
            if state == wanted or (not on and state == _LOCKED):
                return
            if state == _LOCKED:
                raise InstrumentError(
                    f"{self.name}: is locked, its interlock was opened; find out why, close it and "
                    "unlock the amplifier at its front panel"
                )
            if state == _BUSY:
                again_s = math.inf  # it has heard
            if now_s - begin_s >= (_SWITCH_S if state == _BUSY else _DEAF_S):
                raise InstrumentError(
                    f"{self.name}: {switch} stays {_STATES[state]} after the order "
                    f"{'on' if on else 'off'}; look at the front panel"
                )
            self._clock.sleep(self.poll_interval_s)

    def _use_constant_current(self) -> None:
        """Some units do not answer which mode they are in; those with one mode need not."""
        self._box.send(f":MODE:SW:{_STAGE}", _MODE)
        if self._has_other_modes:
            found = self._box.text(f":MODE:SW:{_STAGE}?")
            if found != _MODE:
                raise InstrumentError(
                    f"{self.name}: stays in mode {found!r} after the order {_MODE}; look at the "
                    "front panel"
                )

    def _ramp(self, wanted_ma: float) -> None:
        present_ma = self._current_ma()
        for step in range(1, _RAMP_STEPS + 1):
            self._put_current(present_ma + (wanted_ma - present_ma) * step / _RAMP_STEPS)
        self._clock.sleep(_SETTLE_S)

    def _put_current(self, current_ma: float) -> None:
        if self._step_ma > 0:
            steps = round((current_ma - self._lowest_ma) / self._step_ma)
            current_ma = min(self._lowest_ma + steps * self._step_ma, self._highest_ma)
        self._box.send(f":DRIV:{_MODE}:CUR:{_STAGE}", f"{current_ma * self._milli:.6g}")

    def _current_ma(self) -> float:
        return self._box.number(f":DRIV:{_MODE}:CUR:{_STAGE}?") / self._milli


def identify(link: Link) -> Identity:
    """Ask for the model and its serial number.

    Args:
        link: open.

    Raises:
        AnswerError: no text.
        LinkError: see `Link.ask`.
    """
    box = AmonicsBox(link, link.clock)
    model = box.text(":CAL:SYS:MODEL?")
    serial = box.text(":CAL:SYS:SERIAL?")
    return Identity(maker="Amonics", model=model, serial=serial, firmware="")


def _inside(limits: AmplifierLimits, table: GainTable) -> AmplifierLimits:
    """The limits, narrowed to the gains in the table."""
    allowed = limits.gain_db
    low = max(allowed.lowest, table.gains_db[0])
    high = min(allowed.highest, table.gains_db[-1])
    if low > high:
        raise ConfigurationError(
            f"the table goes from {table.gains_db[0]} to {table.gains_db[-1]} dB, the limits from "
            f"{allowed.lowest} to {allowed.highest} dB; measure the gain inside the limits"
        )
    return AmplifierLimits(
        gain_db=Range(lowest=low, highest=high), seed_power_w=limits.seed_power_w
    )


def _amplifier(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, AmplifierLimits)
    table = own_settings(AEDFASettings(), entry).table
    return AmonicsAEDFA(
        entry.role,
        limits=_inside(context.limits, table),
        link=context.links.link(entry, serial=LINE, timeout_s=1.0),
        clock=context.clock,
        table=table,
        simulated=context.simulated,
    )


MODELS = (
    DriverModel(
        model="Amonics AEDFA",
        backend="serial",
        kind=OpticalAmplifier,
        limits=AmplifierLimits(
            gain_db=Range(lowest=0.0, highest=30.0), seed_power_w=Range(lowest=1e-6, highest=10e-3)
        ),
        make=_amplifier,
        confidence="medium-high",
        identity=r"Amonics,.*EDFA",
        source="two open drivers; errors, the pause of 50 ms and ranges of seed are not confirmed",
        serial=LINE,
        probe=identify,
        settings={
            "gain_table": 'measured gain by pump current, as "60 mA = 0 dB, 120 mA = 9.5 dB" '
            "(needed)",
        },
    ),
)
