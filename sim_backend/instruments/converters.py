"""Generators and digitisers behind their remote controls: sample memory, arming and records.

The analogue side, with its clock offset, jitter and codes, belongs to the scene.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from drivers.instruments import DigitiserSettings, Trigger
from sim_backend.instruments.faults import FaultFinder, FaultKind
from sim_backend.instruments.trace_faults import damaged
from sim_backend.scene.converters import Drive, Record, Recording

__all__ = ["DigitiserUnit", "GeneratorUnit"]

_EMPTY = np.empty(0, dtype=np.float32)


def _true_rate(rate_hz: float, fault: FaultFinder) -> float:
    """Sample rate with the reference that the converter really has."""
    lost = fault(FaultKind.REFERENCE_LOST)
    return rate_hz if lost is None else rate_hz * (1 + lost.amount * 1e-6)


class GeneratorUnit:
    """Sample memory and outputs of a waveform generator.

    Args:
        ports: port of the scene per channel; None where nothing is connected.
        sample_rate_hz: after power-up.
        fault: what is wrong now.
        rest: told the port and the level in V of every connected channel that does not play.
    """

    def __init__(
        self,
        *,
        ports: Sequence[str | None],
        sample_rate_hz: float,
        fault: FaultFinder,
        rest: Callable[[str, float], None],
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.armed: Trigger | None = None
        self.delay_s = 0.0
        self.outputs = [False] * len(ports)
        self.idle_v = [0.0] * len(ports)
        self.waveforms: list[NDArray[np.float32]] = [_EMPTY] * len(ports)
        self._ports = tuple(ports)
        self._fault = fault
        self._rest = rest

    def widen(self, channels: int) -> None:
        """Have at least so many channels; nothing is connected to the new ones."""
        missing = max(0, channels - len(self.outputs))
        self.outputs += [False] * missing
        self.idle_v += [0.0] * missing
        self.waveforms += [_EMPTY] * missing

    def rest(self) -> None:
        """Put all connected channels to their resting levels."""
        for port, drive in self.drives(plays=False).items():
            self._rest(port, drive.idle_v)

    def waits(self) -> bool:
        """Whether a pulse on the trigger line starts it."""
        return self.armed is Trigger.EXTERNAL and self._fault(FaultKind.TRIGGER_LOST) is None

    def drives(self, *, plays: bool) -> dict[str, Drive]:
        """What the connected channels give to the scene, by port.

        Args:
            plays: the loaded waveforms, or the idle levels only. An output that is off gives 0 V.
        """
        rate_hz = _true_rate(self.sample_rate_hz, self._fault)
        stuck = self._fault(FaultKind.OUTPUT_STUCK_OFF) is not None
        found = {}
        for channel, port in enumerate(self._ports):
            if port is None:
                continue
            on = self.outputs[channel] and not stuck
            found[port] = Drive(
                volts=self.waveforms[channel] if on and plays else _EMPTY,
                rate_hz=rate_hz,
                delay_s=self.delay_s if plays else 0.0,
                idle_v=self.idle_v[channel] if on else 0.0,
            )
        return found

    def played(self) -> None:
        """A play is over."""
        self.armed = None


class DigitiserUnit:
    """Arming and memory of a digitiser with one connected channel.

    Attributes:
        port: port of the scene.
        settings: rate, length and range.
        armed: for which trigger, or None.
        record: the last record, or None.
        pre_trigger_s: the record begins that long before the trigger, in [0, 1].

    Args:
        port: as the attribute.
        settings: after power-up.
        fault: what is wrong now.
    """

    def __init__(self, *, port: str, settings: DigitiserSettings, fault: FaultFinder) -> None:
        self.port = port
        self.settings = settings
        self.armed: Trigger | None = None
        self.record: Record | None = None
        self.pre_trigger_s = 0.0
        self._fault = fault
        self._before: Record | None = None

    def waits(self) -> bool:
        """Whether a pulse on the trigger line starts it."""
        return self.armed is Trigger.EXTERNAL and self._fault(FaultKind.TRIGGER_LOST) is None

    def recording(self) -> Recording:
        """What it asks of the scene."""
        settings = self.settings
        slip = self._fault(FaultKind.CLOCK_SLIP)
        late_s = 0.0 if slip is None else slip.amount / settings.sample_rate_hz
        return Recording(
            rate_hz=_true_rate(settings.sample_rate_hz, self._fault),
            samples=settings.samples,
            range_v=settings.range_v,
            delay_s=late_s - self.pre_trigger_s,
        )

    def take(self, record: Record) -> None:
        """A record is complete."""
        self.armed = None
        nominal = replace(record, rate_hz=self.settings.sample_rate_hz)
        self.record = damaged(nominal, self._before, self._fault)
        self._before = nominal
