"""Numbers for people: three significant digits, units, durations, shares with their interval."""

import math
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

__all__ = [
    "binomial_interval",
    "bits",
    "confidence_text",
    "count",
    "duration",
    "human",
    "plain",
    "power_of_ten",
    "rate",
    "share",
    "signed",
]

_NBSP = "\N{NO-BREAK SPACE}"
_MINUS = "\N{MINUS SIGN}"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_DURATIONS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_LONG_DURATIONS = ((365.25 * 86400, "years"), (86400.0, "days"), (3600.0, "h"), (60.0, "min"))
_NORMAL_97_5 = 1.959963984540054


def human(value: float, *, up: bool = False) -> str:
    """Three significant digits, `1.23 × 10⁻⁵` where that is shorter.

    Args:
        value: any number.
        up: round towards plus infinity, for upper bounds.
    """
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    if value == 0:
        return "0"
    number = _rounded(Decimal(repr(float(value))), up)
    exponent = number.adjusted()
    if -3 <= exponent < 6:
        text = f"{number:,.{max(0, 2 - exponent)}f}"
    else:
        text = f"{number.scaleb(-exponent):.2f}{_NBSP}×{_NBSP}{power_of_ten(exponent)}"
    return text.replace("-", _MINUS)


def _rounded(number: Decimal, up: bool) -> Decimal:
    mode = ROUND_CEILING if up else ROUND_HALF_EVEN
    rounded = number.quantize(Decimal(1).scaleb(number.adjusted() - 2), rounding=mode)
    # 9.996 becomes 10.00: one digit too many.
    return rounded.quantize(Decimal(1).scaleb(rounded.adjusted() - 2), rounding=mode)


def power_of_ten(exponent: int) -> str:
    """Such as 10⁻⁶."""
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def plain(value: float) -> str:
    """A setting as it was given, up to six digits, without trailing zeros; 10⁻⁶ for a millionth."""
    if not math.isfinite(value):
        return human(value)
    mantissa, _, exponent = f"{value:.6g}".partition("e")
    text = mantissa.replace("-", _MINUS)
    if exponent:
        power = power_of_ten(int(exponent))
        text = power if mantissa == "1" else f"{text}{_NBSP}×{_NBSP}{power}"
    return text


def signed(value: float) -> str:
    """A score with its sign and one decimal."""
    if math.isnan(value):
        return human(value)
    return f"{value:+.1f}".replace("-", _MINUS) if value else "0"


def count(value: int) -> str:
    """All digits below ten million, three above."""
    if abs(value) < 10_000_000:
        return f"{value:,}"
    if abs(value) < 1_000_000_000:
        return f"{human(value / 1e6)}{_NBSP}million"
    return human(float(value))


def bits(value: float, *, up: bool = False) -> str:
    """An amount of information: bit, kbit, Mbit and so on.

    Args:
        value: in bits.
        up: round up, for upper bounds.
    """
    return _with_prefix(value, "bit", up=up)


def rate(value_hz: float) -> str:
    """A rate as it was set, in Hz, kHz, MHz or GHz."""
    for factor, prefix in _PREFIXES:
        if value_hz >= factor:
            return f"{plain(value_hz / factor)}{_NBSP}{prefix}Hz"
    return f"{plain(value_hz)}{_NBSP}Hz"


def duration(value_s: float) -> str:
    """A time from nanoseconds to years."""
    for factor, unit in _LONG_DURATIONS:
        if value_s >= 2 * factor:
            return f"{human(value_s / factor)}{_NBSP}{unit}"
    for factor, unit in _DURATIONS:
        if value_s >= factor:
            return f"{human(value_s / factor)}{_NBSP}{unit}"
    return f"{human(value_s / 1e-9)}{_NBSP}ns" if value_s else f"0{_NBSP}s"


def share(value: float) -> str:
    """A share in per cent."""
    return f"{human(100 * value)}{_NBSP}%"


def confidence_text(confidence: float) -> str:
    """A confidence with as many nines as it has, rounded down: 99.9999 %."""
    failure = 1 - confidence
    decimals = max(0, math.ceil(-math.log10(failure) - 1e-6) - 2) if failure > 0 else 15
    # A joint confidence such as 1 - 1e-6 is a hair off in binary.
    nearly = Decimal(repr(100 * confidence)) + Decimal("1e-12")
    return f"{math.floor(nearly.scaleb(decimals)) / 10**decimals:.{decimals}f}{_NBSP}%"


def binomial_interval(hits: int, trials: int) -> tuple[float, float]:
    """95 % score interval of a share (Wilson, J. Am. Stat. Assoc. 22, 209 (1927)).

    Args:
        hits: successes, 0 to `trials`.
        trials: at least 1.
    """
    z2 = _NORMAL_97_5**2
    middle = (hits + z2 / 2) / (trials + z2)
    half = _NORMAL_97_5 / (trials + z2) * math.sqrt(hits * (trials - hits) / trials + z2 / 4)
    # At the ends the formula gives 0 and 1 up to rounding.
    low = middle - half if hits else 0.0
    return low, middle + half if hits < trials else 1.0


def _with_prefix(value: float, unit: str, *, up: bool) -> str:
    for factor, prefix in _PREFIXES:
        if abs(value) >= factor and prefix:
            return f"{human(value / factor, up=up)}{_NBSP}{prefix}{unit}"
    return f"{human(value, up=up)}{_NBSP}{unit}"
