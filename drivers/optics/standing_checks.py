"""What is looked at before every burst: does the bench still stand as it was calibrated?

Owns the checks that need no light of the burst: lasers on their modes, modulators locked, the
oscillator's power. The statistics of the records see most of the same faults, but later: 2 % less
oscillator power takes 3e5 vacuum slots to prove and one reading of a power meter.
"""

import math
from dataclasses import dataclass

from drivers.errors import InstrumentError
from drivers.instruments import BiasController, Laser, PowerMeter

__all__ = ["OSCILLATOR_LIMIT", "StandingInstruments"]

OSCILLATOR_LIMIT = 0.01
"""Largest relative deviation of the oscillator's power from its calibration."""


@dataclass(frozen=True, kw_only=True)
class StandingInstruments:
    """Instruments of one party that hold still during a run; any of them may be left out.

    Args:
        lasers: must be on, at their set points and on their modes.
        bias: its channel 0 must be locked.
        oscillator_meter: reads the oscillator's power at full level.
    """

    lasers: tuple[Laser, ...] = ()
    bias: BiasController | None = None
    oscillator_meter: PowerMeter | None = None

    def check_locks(self) -> None:
        """Refuse to send over a bench that has let go.

        Raises:
            InstrumentError: a laser is off or not settled, or the bias is not locked.
        """
        for laser in self.lasers:
            if not laser.emission():
                raise InstrumentError(
                    f"{laser.name}: its emission is off; switch the light on before a run"
                )
            if not laser.is_settled():
                raise InstrumentError(
                    f"{laser.name}: power or wavelength are not at their set points, or the laser "
                    "has left its mode; tune it again, wait until it is settled and calibrate the "
                    "shot noise"
                )
        if self.bias is not None and not self.bias.is_locked(0):
            raise InstrumentError(
                f"{self.bias.name}: channel 0 is not locked; the modulator may be off its null: "
                "lock it again before the next run"
            )

    def check_oscillator(self, calibrated_w: float) -> None:
        """Compare the oscillator's power with its calibration.

        Args:
            calibrated_w: reading of the meter when the shot noise was calibrated; 0 leaves the
                check out.

        Raises:
            InstrumentError: it differs by more than `OSCILLATOR_LIMIT`.
        """
        if self.oscillator_meter is None or not calibrated_w:
            return
        found_w = self.oscillator_meter.power_w()
        deviation = found_w / calibrated_w - 1
        if not abs(deviation) <= OSCILLATOR_LIMIT or not math.isfinite(deviation):
            raise InstrumentError(
                f"{self.oscillator_meter.name}: the oscillator's power is {found_w * 1e3:.4g} mW, "
                f"{deviation * 100:+.2f} % from its calibration at {calibrated_w * 1e3:.4g} mW; "
                f"the limit is {OSCILLATOR_LIMIT * 100:g} %: check the oscillator's path, then "
                "calibrate the shot noise again"
            )
