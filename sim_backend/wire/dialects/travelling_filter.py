"""An attenuator whose filter travels at a speed in dB/s, and whose closed shutter is its end."""

import math

from sim_backend.instruments.parts import AttenuatorPart
from sim_backend.scene.clock import SimulatedClock

__all__ = ["DARK_DB", "FULL_SPEED_DB_PER_S", "TravellingFilter"]

DARK_DB = 80.0
"""Depth of the closed shutter."""
FULL_SPEED_DB_PER_S = 1000.0
_SETTLED = 12.0
"""Time constants of the scene's attenuator after which it stands still: exp(-12) of 100 dB."""


class TravellingFilter:
    """The depth of an attenuator as it travels, put on the scene's at every step of time.

    Args:
        part: of the scene; None leads nowhere.
        clock: simulated time.
    """

    def __init__(self, part: AttenuatorPart | None, clock: SimulatedClock) -> None:
        self._part = part
        self._clock = clock
        self._from_db = self._to_db = DARK_DB
        self._speed = FULL_SPEED_DB_PER_S
        self._since_s = clock.now()
        self._settled = True
        self._dark_until_s: float | None = None
        clock.on_advance(self._follow)

    def go(self, depth_db: float, speed_db_per_s: float) -> float:
        """Start to travel; the time in s until it stands still."""
        self._from_db, self._to_db = self.depth_db(), depth_db
        self._speed, self._since_s = speed_db_per_s, self._clock.now()
        self._settled = False
        self._follow(0.0)
        tail_s = 0.0 if self._part is None else _SETTLED * self._part.settings.settling_s
        return abs(depth_db - self._from_db) / speed_db_per_s + tail_s

    def shut(self) -> float:
        """Close the shutter, which is dark at once; the time in s until it says that it is closed.

        Nothing has to settle to the last of a decibel behind a closed shutter.
        """
        way_db = abs(DARK_DB - self.depth_db())
        self.light(False)
        self.go(DARK_DB, FULL_SPEED_DB_PER_S)
        return way_db / FULL_SPEED_DB_PER_S

    def depth_db(self) -> float:
        """Where it is."""
        way = self._to_db - self._from_db
        gone = self._speed * (self._clock.now() - self._since_s)
        return self._to_db if gone >= abs(way) else self._from_db + math.copysign(gone, way)

    def light(self, on: bool) -> None:
        """Open or close the shutter of the scene's attenuator."""
        self._dark_until_s = None
        if self._part is not None:
            self._part.shutter_open = on

    def blink(self, duration_s: float) -> None:
        """Close the shutter of the scene's attenuator for some time."""
        self.light(False)
        self._dark_until_s = self._clock.now() + duration_s

    def _follow(self, _: float) -> None:
        if self._dark_until_s is not None and self._clock.now() >= self._dark_until_s:
            self.light(True)
        if self._part is None or self._settled:
            return
        depth_db = self.depth_db()
        self._settled = depth_db == self._to_db
        self._part.set_attenuation_db(min(depth_db, self._part.settings.highest_db))
