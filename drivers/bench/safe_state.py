"""The safe state S0 of a bench: the order in which it is reached, and its readback.

Shutters closed and attenuators at their highest, amplifier pumps off, oscillators off, seed lasers
off, then drivers to zero; then every instrument is read back. An element that an amplifier gets
its seed through closes after that amplifier's pump is off, because a pumped amplifier without a
seed emits giant pulses. Software can only make a bench safer: it is not the interlock.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from drivers.bench.light import upstream_of
from drivers.bench.sections import SafetySection
from drivers.bench.shield import uninterrupted
from drivers.errors import SafetyError
from drivers.instruments import Attenuator, Instrument, Laser, OpticalAmplifier, Switch

__all__ = ["HURRY_S", "SEED", "drive_to_safe", "safe_order", "unsafe_roles"]

SEED = "laser"
"""Role of the seed laser; all other lasers are oscillators."""
HURRY_S = 0.025
"""Longest time that one instrument holds up the others on the way to S0, in s.

A bench of ten instruments is to be dark within 0.1 s, also where one of them gives no answer and a
filter of another takes its time.
"""


def safe_order(instruments: Mapping[str, Instrument], safety: SafetySection) -> tuple[str, ...]:
    """The roles in the order in which they are made safe; the reverse is the order of opening."""
    seeding: set[str] = set()
    for role, found in instruments.items():
        if isinstance(found, OpticalAmplifier):
            seeding |= upstream_of(safety, role)[1]

    def rank(role: str) -> int:
        match instruments[role]:
            case Attenuator() | Switch():
                return 2 if role in seeding else 0
            case OpticalAmplifier():
                return 1
            case Laser():
                return 4 if role == SEED else 3
            case _:
                return 5

    return tuple(sorted(instruments, key=rank))


def drive_to_safe(instruments: Mapping[str, Instrument], order: Iterable[str]) -> None:
    """Make every open instrument safe, whatever some of them answer, and read all back.

    First all in a hurry: one that does not answer is left after `HURRY_S`, so that the others are
    safe in time. Then those that were left, in the same order, with all the time that they need.

    Args:
        instruments: by role; those that are closed are left out, they were made safe when closed.
        order: roles, first to last.

    Raises:
        SafetyError: instruments that did not get there; the message lists all of them.
        KeyboardInterrupt: it came on the way; raised when everything has been tried.
    """
    with uninterrupted("to the safe state"):
        _drive_to_safe(instruments, order)


def _drive_to_safe(instruments: Mapping[str, Instrument], order: Iterable[str]) -> None:
    opened = [role for role in order if instruments[role].is_open]
    failures: dict[str, BaseException] = {}
    interruption: BaseException | None = None
    pending = opened
    # Twice at leisure where the first attempt failed: it can only make the bench safer.
    for hurry_s in (HURRY_S, None, None):
        failures = _failures(instruments, pending, hurry_s)
        for error in failures.values():
            interruption = interruption if isinstance(error, Exception) else error
        pending = list(failures)
    for role in unsafe_roles(instruments, [role for role in opened if role not in failures]):
        failures[role] = SafetyError(f"{role}: its readback is not the safe state")
    if failures:
        raise SafetyError(_listed(failures)) from next(iter(failures.values()))
    if interruption is not None:
        raise interruption


def _failures(
    instruments: Mapping[str, Instrument], roles: Iterable[str], hurry_s: float | None
) -> dict[str, BaseException]:
    """What was raised by role; everything is tried."""
    found = {}
    for role in roles:
        error = _attempt(partial(instruments[role].make_safe, hurry_s))
        if error is not None:
            found[role] = error
    return found


def unsafe_roles(instruments: Mapping[str, Instrument], roles: Iterable[str]) -> tuple[str, ...]:
    """Those of the roles whose readback is not the safe state, or that cannot be read."""

    def unsafe(instrument: Instrument) -> bool:
        try:
            return not instrument.is_safe()
        except Exception:
            return True

    return tuple(role for role in roles if unsafe(instruments[role]))


def _attempt(action: Callable[[], None]) -> BaseException | None:
    try:
        action()
    except BaseException as error:
        return error
    return None


def _listed(failures: Mapping[str, BaseException]) -> str:
    texts = []
    for role, error in failures.items():
        text = str(error) or type(error).__name__
        texts.append(text if text.startswith(f"{role}:") else f"{role}: {text}")
    count = len(texts)
    return (
        f"the bench is NOT safe, {count} instrument{'s' if count > 1 else ''} did not reach the "
        f"safe state: {'; '.join(texts)}. Use the key switch or the interlock, not the software"
    )
