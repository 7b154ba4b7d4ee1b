"""How a measured quantity is written in a table: scaled unit, digits that its uncertainty bears."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from calibration.result import Quantity

__all__ = ["quantity_cells"]

_SCALED_UNITS = ("V", "W", "Hz", "s", "rad", "V^2")
_PREFIXES = {-4: "p", -3: "n", -2: "u", -1: "m", 0: "", 1: "k", 2: "M", 3: "G"}
_MOST_DECIMALS = 12


def quantity_cells(quantity: "Quantity") -> tuple[str, str, str]:
    """Name, value with one standard deviation and unit, and 95 % interval in the same unit.

    Args:
        quantity: of a calibration result.
    """
    low, high = quantity.interval95
    scale, unit = _scale(quantity)
    decimals = _decimals(quantity.value / scale, quantity.uncertainty / scale)

    def text(number: float) -> str:
        return f"{number / scale:z.{decimals}f}" if math.isfinite(number) else f"{number}"

    value = text(quantity.value)
    if quantity.uncertainty > 0:
        value += f" ± {text(quantity.uncertainty)}"
    interval = "" if low == high else f"{text(low)} to {text(high)}"
    return quantity.name, f"{value} {unit}".rstrip(), interval


def _scale(quantity: "Quantity") -> tuple[float, str]:
    """What to divide by, and the unit that is left."""
    largest = max(abs(quantity.value), quantity.uncertainty)
    unit = "" if quantity.unit == "1" else quantity.unit
    if not (0 < largest < math.inf):
        return 1.0, unit
    if unit in _SCALED_UNITS:
        # A prefix is squared with its unit, so that each spans six decades: 0.01 to 9999.
        power, lowest = (6, 0.01) if unit.endswith("^2") else (3, 1.0)
        step = math.floor(math.log10(largest / lowest) / power + 1e-9)
        step = min(max(step, min(_PREFIXES)), max(_PREFIXES))
        return 10.0 ** (power * step), f"{_PREFIXES[step]}{unit}"
    exponent = 3 * math.floor(math.log10(largest) / 3 + 1e-9)
    if -3 <= exponent <= 3:
        return 1.0, unit
    return 10.0**exponent, f"e{exponent} {unit}".rstrip()


def _decimals(value: float, uncertainty: float) -> int:
    """Two digits of the uncertainty; six of a value that has none."""
    if 0 < uncertainty < math.inf:
        wanted = 1 - math.floor(math.log10(uncertainty))
    else:
        wanted = 5 - math.floor(math.log10(abs(value))) if value else 0
    return min(max(wanted, 0), _MOST_DECIMALS)
