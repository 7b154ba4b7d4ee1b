"""Limits of a bench file: keys with units, and how they narrow what a model can do.

A bench may only narrow: the model's own limits are those of its data sheet.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from drivers.bench.units import si_from_dbm
from drivers.errors import ConfigurationError
from drivers.instruments import (
    AmplifierLimits,
    AttenuatorLimits,
    BiasLimits,
    DigitiserLimits,
    GeneratorLimits,
    LaserLimits,
    PhaseDriverLimits,
    PolarisationLimits,
    PowerMeterLimits,
    Range,
    SwitchLimits,
)
from drivers.settings_files import nearest

__all__ = ["InstrumentLimits", "limit_keys", "limits_table", "limits_text", "narrowed_limits"]

InstrumentLimits: TypeAlias = (
    LaserLimits
    | GeneratorLimits
    | DigitiserLimits
    | BiasLimits
    | AttenuatorLimits
    | AmplifierLimits
    | PhaseDriverLimits
    | PowerMeterLimits
    | PolarisationLimits
    | SwitchLimits
)
"""What a model declares that it can do, one class per kind."""

TOLERANCE = 1e-9
"""Relative: a limit written in dBm may miss the model's own by a rounding."""


@dataclass(frozen=True)
class _Quantity:
    """A limited quantity: its name in a file, its field, its unit there, and the way to SI."""

    name: str
    field: str
    unit: str
    to_si: Callable[[float], float] = float


def _from_nano(value: float) -> float:
    return value * 1e-9


_POWER = _Quantity("power_dbm", "power_w", "dBm", si_from_dbm)
_WAVELENGTH = _Quantity("wavelength_nm", "wavelength_m", "nm", _from_nano)
_VOLTS = _Quantity("voltage_v", "volts", "V")
_RATE = _Quantity("sample_rate_hz", "sample_rate_hz", "Hz")

_QUANTITIES: dict[type[InstrumentLimits], tuple[_Quantity, ...]] = {
    LaserLimits: (_POWER, _WAVELENGTH),
    GeneratorLimits: (_VOLTS, _RATE),
    DigitiserLimits: (_RATE, _Quantity("range_v", "range_v", "V")),
    BiasLimits: (_VOLTS,),
    AttenuatorLimits: (_Quantity("attenuation_db", "attenuation_db", "dB"),),
    AmplifierLimits: (
        _Quantity("gain_db", "gain_db", "dB"),
        _Quantity("seed_power_dbm", "seed_power_w", "dBm", si_from_dbm),
    ),
    PhaseDriverLimits: (_VOLTS,),
    PowerMeterLimits: (_POWER, _WAVELENGTH),
    PolarisationLimits: (_Quantity("angle_rad", "angle_rad", "rad"),),
    SwitchLimits: (),
}


def limit_keys(limits: type[InstrumentLimits]) -> tuple[str, ...]:
    """The keys that may stand in the limits of an instrument, such as `power_dbm_max`."""
    return tuple(f"{q.name}_{end}" for q in _QUANTITIES[limits] for end in ("min", "max"))


def limits_table(limits: InstrumentLimits) -> dict[str, tuple[float, float]]:
    """Lowest and highest of every limited quantity in SI units, by field name."""
    table = {}
    for quantity in _QUANTITIES[type(limits)]:
        own = _range(limits, quantity)
        table[quantity.field] = (own.lowest, own.highest)
    return table


def limits_text(limits: InstrumentLimits) -> str:
    """The limits for people, in the units of bench files, such as `power_dbm 0 to 10`."""
    texts = []
    for quantity in _QUANTITIES[type(limits)]:
        own = _range(limits, quantity)
        low, high = (_shown(value, quantity) for value in (own.lowest, own.highest))
        texts.append(f"{quantity.name} {low} to {high}")
    if isinstance(limits, SwitchLimits):
        texts.append(f"positions {', '.join(limits.positions)}; safe: {limits.safe_position}")
    return "; ".join(texts)


def narrowed_limits(
    own: InstrumentLimits, wanted: Mapping[str, object], path: str
) -> InstrumentLimits:
    """The model's own limits, narrowed by what a bench file says.

    Args:
        own: of the model.
        wanted: the file's table of limits.
        path: dotted path of that table, for the messages.

    Raises:
        ConfigurationError: an unknown key, a value that is no finite number, a lowest above a
            highest, or a limit beyond the model's own.
    """
    keys = limit_keys(type(own))
    for key in wanted:
        if key not in keys:
            hint = nearest(key, keys, f"{path}.") or f"known are {', '.join(keys) or 'none'}"
            raise ConfigurationError(f"unknown key {path}.{key}; {hint}")
    changes: dict[str, Any] = {}
    for quantity in _QUANTITIES[type(own)]:
        if any(f"{quantity.name}_{end}" in wanted for end in ("min", "max")):
            changes[quantity.field] = _narrowed(_range(own, quantity), quantity, wanted, path)
    return dataclasses.replace(own, **changes)


def _range(limits: InstrumentLimits, quantity: _Quantity) -> Range:
    found = getattr(limits, quantity.field)
    assert isinstance(found, Range)
    return found


def _narrowed(own: Range, quantity: _Quantity, wanted: Mapping[str, object], path: str) -> Range:
    ends = {"min": own.lowest, "max": own.highest}
    for end in ends:
        key = f"{quantity.name}_{end}"
        if key in wanted:
            ends[end] = _inside(own, quantity, _number(wanted[key], f"{path}.{key}"), path, end)
    if ends["min"] > ends["max"]:
        low, high = (wanted.get(f"{quantity.name}_{end}", "the model's") for end in ends)
        raise ConfigurationError(
            f"{path}.{quantity.name}_min is {low} {quantity.unit}, above "
            f"{quantity.name}_max of {high} {quantity.unit}; exchange them"
        )
    return own.narrowed(Range(lowest=ends["min"], highest=ends["max"]))


def _number(value: object, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigurationError(f"{path} is {value!r}; it must be a finite number")
    return float(value)


def _inside(own: Range, quantity: _Quantity, value: float, path: str, end: str) -> float:
    """The value in SI, moved onto the model's own limit where it misses that by a rounding."""
    found = quantity.to_si(value)
    for edge in (own.lowest, own.highest):
        if math.isclose(found, edge, rel_tol=TOLERANCE, abs_tol=0.0):
            return edge
    if not own.lowest <= found <= own.highest:
        unit = quantity.unit
        raise ConfigurationError(
            f"{path}.{quantity.name}_{end} is {value:g} {unit}, outside the model's own limits of "
            f"{_shown(own.lowest, quantity)} to {_shown(own.highest, quantity)} {unit}; a bench "
            "may only narrow them"
        )
    return found


def _shown(value: float, quantity: _Quantity) -> str:
    if quantity.unit == "dBm":
        return f"{10 * math.log10(value / 1e-3):.4g}" if value > 0 else "-inf"
    return f"{value * 1e9 if quantity.unit == 'nm' else value:.6g}"
