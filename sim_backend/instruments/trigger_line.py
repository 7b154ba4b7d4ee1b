"""The trigger line of a bench: one shot of everything that waits for it.

Owns the order of a shot: who plays, who records, one pass through the scene, the time that it
takes, and who gets which record. It knows converters, not instruments, so that no instrument's
lock is taken while the line is held.
"""

import threading
from collections.abc import Mapping
from typing import Protocol

from sim_backend.instruments.converters import DigitiserUnit, GeneratorUnit
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.converters import Drive, Record, Recording

__all__ = ["Playable", "TriggerLine"]


class Playable(Protocol):
    """What the line needs of a scene."""

    def play(
        self, drives: Mapping[str, Drive], records: Mapping[str, Recording]
    ) -> dict[str, Record]:
        """Let the light through once; ports without a drive rest."""


class TriggerLine:
    """Connects the generators and digitisers of one scene.

    Attributes:
        generators: units on the line by the port of the scene that their channel 0 drives.
        digitisers: units on the line by the port that they record.

    Args:
        scene: the optics between them.
        clock: simulated time; a shot takes as long as its longest play or record.
    """

    def __init__(self, scene: Playable, clock: SimulatedClock) -> None:
        self._scene = scene
        self._clock = clock
        self.generators: dict[str, GeneratorUnit] = {}
        self.digitisers: dict[str, DigitiserUnit] = {}
        self._lock = threading.RLock()

    def fire(self, source: GeneratorUnit) -> None:
        """A generator was triggered by software: it plays, and all that wait for the line run."""
        with self._lock:
            players = [source]
            players += [
                unit for unit in self.generators.values() if unit is not source and unit.waits()
            ]
            self._shoot(players, [unit for unit in self.digitisers.values() if unit.waits()])

    def record_now(self, unit: DigitiserUnit) -> None:
        """A digitiser records at once; all generators rest."""
        with self._lock:
            self._shoot([], [unit])

    def _shoot(self, players: list[GeneratorUnit], recorders: list[DigitiserUnit]) -> None:
        drives: dict[str, Drive] = {}
        for generator in self.generators.values():
            drives |= generator.drives(plays=generator in players)
        recordings = {unit.port: unit.recording() for unit in recorders}
        durations_s = [_drive_s(drive) for drive in drives.values()]
        durations_s += [_recording_s(recording) for recording in recordings.values()]
        end_s = self._clock.now() + max(durations_s, default=0.0)
        records = self._scene.play(drives, recordings)  # moves the clock by what it computes
        self._clock.advance(max(0.0, end_s - self._clock.now()))
        for generator in players:
            generator.played()
        for digitiser in recorders:
            digitiser.take(records[digitiser.port])


def _drive_s(drive: Drive) -> float:
    return drive.delay_s + drive.volts.size / drive.rate_hz if drive.volts.size else 0.0


def _recording_s(recording: Recording) -> float:
    return max(0.0, recording.delay_s) + recording.samples / recording.rate_hz
