"""What a calibration routine found, with everything that is needed to judge and to trust it.

A result is a value: quantities with intervals, the data behind them, and what made them (bench,
instruments, settings, seed, time, temperature, the results it rests on). Its identifier is a hash
of all of that, so that a result that was changed after the fact no longer has its own name.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from calibration.moment import Moment
from drivers.errors import CalibrationError

__all__ = ["FitData", "Goodness", "Quantity", "Result", "Series", "Setting"]

Setting = str | int | float | bool
"""What a setting of a routine may be; lists are spelled out as text."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A measured value with its uncertainty.

    Args:
        name: domain words joined by underscores, with the unit where a reader could doubt.
        value: best estimate, in `unit`, finite.
        uncertainty: one standard deviation, in `unit`, at least 0.
        unit: SI symbol, "dB", "SNU" or "1".
        interval95: 95 % confidence interval (low, high), in `unit`; may be asymmetric, and an end
            may be infinite where the data set no limit.
        claimed: what a datasheet, a setting or the simulated bench says, in `unit`.

    Raises:
        CalibrationError: a number is not a number, or the interval does not hold the value.
    """

    name: str
    value: float
    uncertainty: float
    unit: str
    interval95: tuple[float, float]
    claimed: float | None = None

    def __post_init__(self) -> None:
        check_name("quantity", self.name)
        low, high = (float(end) for end in self.interval95)
        # Numbers of any kind come in; only floats have one spelling in the hash and in the file.
        for name, number in (("value", self.value), ("uncertainty", self.uncertainty)):
            object.__setattr__(self, name, float(number))
        object.__setattr__(self, "interval95", (low, high))
        if self.claimed is not None:
            object.__setattr__(self, "claimed", float(self.claimed))
        if not math.isfinite(self.value):
            raise CalibrationError(
                f"quantity {self.name} is {self.value} {self.unit}, it must be finite; "
                "look at the data of the routine"
            )
        if not self.uncertainty >= 0:
            raise CalibrationError(
                f"quantity {self.name} has uncertainty {self.uncertainty} {self.unit}, "
                "it must be at least 0; look at the data of the routine"
            )
        if not low <= self.value <= high:
            raise CalibrationError(
                f"quantity {self.name} is {self.value} {self.unit}, outside its own interval "
                f"[{low}, {high}]; look at the data of the routine"
            )
        if self.claimed is not None and not math.isfinite(self.claimed):
            raise CalibrationError(
                f"quantity {self.name} has claim {self.claimed} {self.unit}; leave the claim out"
            )

    @property
    def score(self) -> float | None:
        """Deviation from the claim in standard uncertainties; None without a claim."""
        if self.claimed is None:
            return None
        deviation = self.value - self.claimed
        return (
            deviation / self.uncertainty if self.uncertainty else math.copysign(math.inf, deviation)
        )

    @property
    def text(self) -> str:
        """Name, value, interval and claim for people, rounded to what the uncertainty bears."""
        unit = "" if self.unit == "1" else f" {self.unit}"
        low, high = (_rounded(end, self.uncertainty) for end in self.interval95)
        text = f"{self.name} = {_rounded(self.value, self.uncertainty)}{unit}"
        text += f", 95 %: {low} to {high}{unit}"
        return text if self.claimed is None else f"{text}, claimed {self.claimed:.6g}{unit}"


@dataclass(frozen=True, kw_only=True)
class Goodness:
    """How well a fit describes its data.

    Args:
        chi_square: sum of squared residuals over their variances, at least 0.
        degrees_of_freedom: data points less fitted parameters, at least 1.
    """

    chi_square: float
    degrees_of_freedom: int

    def __post_init__(self) -> None:
        if not self.chi_square >= 0 or self.degrees_of_freedom < 1:
            raise CalibrationError(
                f"goodness of fit with chi-square {self.chi_square} on {self.degrees_of_freedom} "
                "degrees of freedom; measure at more points than the fit has parameters"
            )

    @property
    def reduced_chi_square(self) -> float:
        """Chi-square per degree of freedom; near 1 where model and uncertainties are right."""
        return self.chi_square / self.degrees_of_freedom

    @property
    def p_value(self) -> float:
        """Probability of a chi-square at least this large if the model is right."""
        from scipy.special import chdtrc

        return float(chdtrc(self.degrees_of_freedom, self.chi_square))


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """A named list of numbers with its unit.

    Args:
        name: label, in domain words.
        unit: as in `Quantity`.
        values: shape (points,), finite.
    """

    name: str
    unit: str
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        if values.ndim != 1 or not np.isfinite(values).all():
            bad = int((~np.isfinite(values)).sum())
            raise CalibrationError(
                f"series {self.name!r} has shape {values.shape} and {bad} numbers that are not "
                "finite; give one finite number per point"
            )
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    @property
    def label(self) -> str:
        """Name and unit as an axis carries them."""
        return self.name if self.unit == "1" else f"{self.name} ({self.unit})"


@dataclass(frozen=True, kw_only=True, eq=False)
class FitData:
    """The points that were measured and what the fit says at the same places.

    Args:
        name: of this set of points.
        x: what was set.
        measured: what was read, in points as `x`.
        fitted: the fit at `x`, in the unit of `measured`; None without a fit.
        uncertainty: one standard deviation of `measured`, in its unit; None if unknown.
        log_x: draw the horizontal axis as a logarithm.
        log_y: draw the vertical axis as a logarithm.
    """

    name: str
    x: Series
    measured: Series
    fitted: Series | None = None
    uncertainty: Series | None = None
    log_x: bool = False
    log_y: bool = False

    def __post_init__(self) -> None:
        check_name("fit data", self.name)
        for other in (self.measured, self.fitted, self.uncertainty):
            if other is not None and other.values.shape != self.x.values.shape:
                raise CalibrationError(
                    f"fit data {self.name}: {other.name!r} has {other.values.size} points, "
                    f"{self.x.name!r} has {self.x.values.size}; give as many of both"
                )

    @property
    def series(self) -> dict[str, Series]:
        """The series by the name of their part."""
        parts = {
            "x": self.x,
            "measured": self.measured,
            "fitted": self.fitted,
            "uncertainty": self.uncertainty,
        }
        return {name: part for name, part in parts.items() if part is not None}


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """One run of a routine. Two results are the same if their `id` is.

    Args:
        routine: name of the routine.
        version: of the routine; raised when its meaning changes.
        quantities: what was found, names distinct.
        goodness: of the fit; None where nothing was fitted.
        fit_data: the points behind the quantities, names distinct.
        identities: role in the bench -> text of the instrument's identity.
        rests_on: routine -> id of the result that was used.
        temperature_c: of the bench, in degrees Celsius; None without a thermometer.
        temperature_window_c: (lowest, highest) bench temperature at which the result holds; None
            if it holds at any.
        moment: when it was finished.
        validity_s: age at which it becomes stale, in seconds, above 0.
        bench: name of the bench.
        backend: name of the backend.
        simulated: True if the light was not real.
        seed: of the routine's random choices.
        settings: of the routine.
    """

    routine: str
    version: int
    quantities: tuple[Quantity, ...]
    goodness: Goodness | None = None
    fit_data: tuple[FitData, ...] = ()
    identities: Mapping[str, str]
    rests_on: Mapping[str, str] = field(default_factory=dict)
    temperature_c: float | None
    temperature_window_c: tuple[float, float] | None
    moment: Moment
    validity_s: float
    bench: str
    backend: str
    simulated: bool
    seed: int
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name("routine", self.routine)
        for name in ("identities", "rests_on", "settings"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        for name, setting in self.settings.items():
            _check_setting(f"{self.routine}: setting {name}", setting)
        for what, names in (
            ("quantity", [quantity.name for quantity in self.quantities]),
            ("fit data", [data.name for data in self.fit_data]),
        ):
            for name in {name for name in names if names.count(name) > 1}:
                raise CalibrationError(
                    f"{self.routine}: {what} {name} is given twice; name it apart"
                )
        object.__setattr__(self, "validity_s", float(self.validity_s))
        if not (math.isfinite(self.validity_s) and self.validity_s > 0):
            raise CalibrationError(
                f"{self.routine}: validity is {self.validity_s} s, it must be finite and above 0 s"
            )
        self._check_temperature()

    def _check_temperature(self) -> None:
        if self.temperature_c is not None:
            object.__setattr__(self, "temperature_c", float(self.temperature_c))
        if self.temperature_window_c is not None:
            low, high = (float(end) for end in self.temperature_window_c)
            object.__setattr__(self, "temperature_window_c", (low, high))
        numbers = [self.temperature_c or 0.0, *(self.temperature_window_c or ())]
        if not all(math.isfinite(number) for number in numbers):
            raise CalibrationError(
                f"{self.routine}: temperature {self.temperature_c} C with window "
                f"{self.temperature_window_c} C; read the thermometer again, or leave both out"
            )

    def __getitem__(self, name: str) -> Quantity:
        for quantity in self.quantities:
            if quantity.name == name:
                return quantity
        known = ", ".join(quantity.name for quantity in self.quantities) or "nothing"
        raise CalibrationError(f"{self.routine} found no {name}; it found {known}")

    @cached_property
    def id(self) -> str:
        """Hash (SHA-256, 64 hexadecimal digits) of everything in the result."""
        text = json.dumps(_canonical(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def check_name(what: str, name: str) -> None:
    """Refuse a name that cannot stand in a file and on a command line alike.

    Raises:
        CalibrationError: it is not made of lower-case letters, digits and underscores.
    """
    if not _NAME.fullmatch(name):
        raise CalibrationError(
            f"{what} {name!r}: use lower-case letters, digits and underscores, a letter first"
        )


def _rounded(value: float, uncertainty: float) -> str:
    """A number with two digits of its uncertainty."""
    if not (0 < uncertainty < math.inf) or not math.isfinite(value):
        return f"{value:.6g}"
    digits = math.floor(math.log10(max(abs(value), uncertainty) / uncertainty)) + 2
    return f"{value:.{min(digits, 15)}g}"


def _check_setting(what: str, value: object) -> None:
    plain = isinstance(value, str | int | bool)
    if not (plain or (isinstance(value, float) and math.isfinite(value))):
        raise CalibrationError(f"{what} is {value!r}; give text, a truth value or a finite number")


def _canonical(value: object) -> object:
    """The value in terms of JSON, every float by all its bits, arrays by a hash of their bytes."""
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return {"float": float(value).hex()}
    if isinstance(value, np.ndarray):
        return {"array": hashlib.sha256(value.astype("<f8").tobytes()).hexdigest()}
    if isinstance(value, tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, Mapping):
        return {"map": {str(key): _canonical(item) for key, item in value.items()}}
    return {part.name: _canonical(getattr(value, part.name)) for part in fields(value)}  # type: ignore[arg-type]
