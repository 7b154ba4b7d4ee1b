"""What a twin of a generator does on its own trigger: it plays, with or without the line."""

from collections.abc import Collection

from drivers.instruments import Trigger
from sim_backend.instruments.converters import DigitiserUnit, GeneratorUnit
from sim_backend.instruments.parts import GeneratorPart

__all__ = ["play"]


def play(part: GeneratorPart, *, heard: bool, together: Collection[GeneratorUnit] = ()) -> None:
    """Play what a generator holds.

    Args:
        part: of the twin.
        heard: its trigger output is on, so that everything on the line that waits runs too.
        together: other generators of the same box that start at the same time.
    """
    line, unit = part.line, part.unit
    others = [one for one in line.generators.values() if one is not unit and one not in together]
    waiting: list[GeneratorUnit | DigitiserUnit] = (
        [] if heard else [*others, *line.digitisers.values()]
    )
    before = [one.armed for one in waiting]
    for one in waiting:
        one.armed = None
    for one in together:
        one.armed = Trigger.EXTERNAL
    try:
        line.fire(unit)
    finally:
        for one, armed in zip(waiting, before, strict=True):
            one.armed = armed
