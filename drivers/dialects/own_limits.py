"""Limits that an instrument itself told, narrower than those of its model."""

from drivers.errors import LimitError

__all__ = ["refuse_beyond_own"]


def refuse_beyond_own(
    name: str, quantity: str, unit: str, value: float, limits: tuple[float, float]
) -> None:
    """Refuse a set point that the instrument said it cannot reach.

    Args:
        name: role of the instrument, for the message.
        quantity: such as "power".
        unit: of value and limits.
        value: the set point.
        limits: lowest and highest that the instrument told.

    Raises:
        LimitError: outside, or not a number.
    """
    lowest, highest = limits
    if not lowest <= value <= highest:
        raise LimitError(
            f"{name}: {quantity} {value:.6g} {unit} is outside the instrument's own limits "
            f"{lowest:.6g} to {highest:.6g} {unit}; choose a value inside them"
        )
