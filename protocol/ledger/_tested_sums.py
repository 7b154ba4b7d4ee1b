"""What tests of blocks counted, kept beside their photons so that later sessions can add it up.

Sums of one session say little where it is short; those of all sessions of the same weights say what
all their light together lost. The sums of a block stand in the row that settles it, and go with its
photons: those of a block that a test of its session refuses later are forgotten.

What the sums mean (calibration, expected return, photons) is the settings' affair: plain data that
this module compares and never reads. Sums of the same layer and the same settings may be added.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from drivers.errors import ConfigurationError
from protocol.ledger._weight_values import WeightEntry
from protocol.ledger.light import Photons

__all__ = ["BlockTests", "PooledTests", "QuadratureSums", "TestedPool"]

_SUMS = ("symbols", "frames", "sent_energy_snu", "projection_snu", "residual_energy_snu")


@dataclass(frozen=True, kw_only=True)
class QuadratureSums:
    """Sums over tested symbols of one quadrature, as recorded.

    Args:
        symbols: tested, >= 0.
        frames: that they came in, >= 0.
        sent_energy_snu: sum of the squared sent means, >= 0.
        projection_snu: sum of sent mean times recorded value.
        residual_energy_snu: sum of (recorded - reference gain times sent)^2, >= 0, at the reference
            gain of the settings.

    Raises:
        ConfigurationError: a value is NaN or out of range.
    """

    symbols: int = 0
    frames: int = 0
    sent_energy_snu: float = 0.0
    projection_snu: float = 0.0
    residual_energy_snu: float = 0.0

    def __post_init__(self) -> None:
        for name in _SUMS:
            value, signed = getattr(self, name), name == "projection_snu"
            if not math.isfinite(value) or (value < 0 and not signed):
                raise ConfigurationError(
                    f"ledger: {name} of a block's tests is {value}; it must be finite"
                    f"{'' if signed else ' and at least 0'}. Find the measurement that failed"
                )

    def __add__(self, other: Self) -> Self:
        """Both counted together."""
        return type(self)(
            symbols=self.symbols + other.symbols,
            frames=self.frames + other.frames,
            sent_energy_snu=self.sent_energy_snu + other.sent_energy_snu,
            projection_snu=self.projection_snu + other.projection_snu,
            residual_energy_snu=self.residual_energy_snu + other.residual_energy_snu,
        )


@dataclass(frozen=True, kw_only=True)
class BlockTests:
    """What the tests of a block counted.

    Args:
        settings: what the sums mean, as plain data that JSON can hold.
        x: sums of X.
        p: sums of P.
    """

    settings: Mapping[str, Any]
    x: QuadratureSums
    p: QuadratureSums

    def body(self, *, known: str | None) -> dict[str, Any]:
        """As a ledger's row has it; without the settings where they are those known."""
        told = {} if self.key == known else {"settings": dict(self.settings)}
        return {"x": asdict(self.x), "p": asdict(self.p), **told}

    @property
    def key(self) -> str:
        """The settings as text: alike for sums that may be added."""
        return _key(self.settings)

    def __add__(self, other: Self) -> Self:
        """Both counted together; the settings are the first one's."""
        return type(self)(settings=self.settings, x=self.x + other.x, p=self.p + other.p)


@dataclass(frozen=True, kw_only=True)
class PooledTests:
    """All blocks of a layer whose sums have the same settings, with a return that passed.

    Args:
        settings: what the sums mean.
        photons: per weight, of the row with fewest.
        x: sums of X, over all blocks.
        p: sums of P.
    """

    settings: Mapping[str, Any]
    photons: float
    x: QuadratureSums
    p: QuadratureSums


class TestedPool:
    """Sums of all blocks that count as passed."""

    __test__ = False  # not a test class of pytest's

    def __init__(self) -> None:
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._latest: dict[tuple[str, int], str] = {}
        self._blocks: dict[int, tuple[str, QuadratureSums, QuadratureSums]] = {}

    def latest(self, entry: WeightEntry) -> str | None:
        """Key of the settings that rows without any mean, in this block's session and layer."""
        return self._latest.get((entry.session, entry.layer))

    def add(self, entry: WeightEntry, body: Mapping[str, Any]) -> None:
        """Take in what a row says of a block that passed.

        Raises:
            LookupError, TypeError: it has no form that is known.
        """
        place = (entry.session, entry.layer)
        if "settings" in body:
            key = self._latest[place] = _key(body["settings"])
            self._settings.setdefault(key, dict(body["settings"]))
        x, p = QuadratureSums(**body["x"]), QuadratureSums(**body["p"])
        self._blocks[entry.entry] = (self._latest[place], x, p)

    def forget(self, entry: WeightEntry) -> None:
        """A block counts as passed no longer."""
        self._blocks.pop(entry.entry, None)

    def pooled(
        self, layer: int, rows: int, entries: Mapping[int, WeightEntry]
    ) -> tuple[PooledTests, ...]:
        """Sums of a layer, by their settings; the oldest first.

        Args:
            layer: index of the optical layer.
            rows: of the layer.
            entries: all blocks by number.
        """
        photons: dict[str, Photons] = {}
        sums: dict[str, tuple[QuadratureSums, QuadratureSums]] = {}
        for number, (key, x, p) in self._blocks.items():
            entry = entries[number]
            if entry.layer != layer:
                continue
            so_far = photons.setdefault(key, np.zeros(rows))
            so_far[entry.first_row : entry.first_row + entry.rows] += entry.photons
            before = sums.get(key, (QuadratureSums(), QuadratureSums()))
            sums[key] = (before[0] + x, before[1] + p)
        return tuple(
            PooledTests(settings=self._settings[key], photons=float(photons[key].min()), x=x, p=p)
            for key, (x, p) in sums.items()
        )


def _key(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)
