"""One fault on a wire, as a checked value."""

import math
from dataclasses import dataclass
from enum import Enum

from drivers.errors import ConfigurationError

__all__ = ["WireDirection", "WireFault", "WireFaultKind", "check_bytes", "check_integer"]

_MOST_BYTES = 1 << 20
"""Most bytes that one fault makes up."""


class WireFaultKind(Enum):
    """What happens to the bytes on their way."""

    DELAY = "delay"
    """They come later, and with them all that follow."""
    CUT = "cut"
    """The connection ends there, in both directions."""
    THROTTLE = "throttle"
    """From there on they come slowly."""
    CORRUPT = "corrupt"
    """Bits are flipped."""
    DUPLICATE = "duplicate"
    """The message comes twice."""
    REORDER = "reorder"
    """The message comes after the next one."""
    PARTITION = "partition"
    """From there on nothing comes, until the line heals; then all of it."""
    GARBAGE = "garbage"
    """Bytes come that nobody sent."""
    TRUNCATE = "truncate"
    """The rest of the message is lost."""
    SWALLOW = "swallow"
    """The message is lost."""


class WireDirection(Enum):
    """Which way a fault acts."""

    TO_INSTRUMENT = "to instrument"
    TO_CLIENT = "to client"
    BOTH = "both"
    """On each of the two ways, each counted by itself."""


_Kind = WireFaultKind
_WHOLE = {_Kind.DUPLICATE, _Kind.REORDER, _Kind.SWALLOW}
"""Kinds that act on whole messages."""
_LASTING = {_Kind.THROTTLE, _Kind.PARTITION}
"""Kinds that go on from where they begin."""
_AMOUNTS: dict[WireFaultKind, tuple[str, ...]] = {
    _Kind.DELAY: ("delay_s", "jitter_s"),
    _Kind.THROTTLE: ("bytes_per_s", "duration_s"),
    _Kind.CORRUPT: ("bits", "data"),
    _Kind.PARTITION: ("duration_s",),
    _Kind.GARBAGE: ("size", "data"),
}
_EITHER = {_Kind.CORRUPT: ("bits", "data"), _Kind.GARBAGE: ("size", "data")}
_NEEDED = {
    _Kind.DELAY: "delay_s",
    _Kind.THROTTLE: "bytes_per_s",
    _Kind.TRUNCATE: "at_byte",
}


@dataclass(frozen=True, kw_only=True)
class WireFault:
    """One thing that goes wrong on a wire.

    Where it strikes: `at_byte` alone counts the bytes of one direction; `at_message` alone is the
    beginning of a message; both are a byte counted within that message. A fault with neither
    strikes every message, but a cut, a throttle and a partition begin at once. Faults of a plan
    act one after the other, and each counts what the one before it has let through.

    Args:
        kind: what happens.
        direction: which way.
        address: address or role of the one link it acts on; empty for every link.
        at_byte: how many bytes pass untouched before it strikes, from 0.
        at_message: how many messages pass before it strikes, from 0.
        every: it strikes again after so many bytes (messages, where `at_message` or nothing is
            given), from 1; None for not again.
        count: how often it strikes at most, from 1; None for no limit.
        probability: with which it strikes where it could, in (0, 1].
        per_connection: count bytes, messages and strikes anew on each connection (and draw the
            same random numbers again), instead of over the life of the link.
        delay_s: DELAY: by how much, in s, at least 0.
        jitter_s: DELAY: a random time in [0, jitter_s) comes on top, in s.
        bytes_per_s: THROTTLE: the rate, above 0.
        duration_s: THROTTLE and PARTITION: how long it lasts, in s, above 0; None for ever.
        bits: CORRUPT: how many bits are flipped: different ones of the byte at `at_byte` (1 to 8),
            or of the whole message, which is then held back until it is complete.
        data: CORRUPT: the bytes that are added modulo 2 (XOR) to the message from there on;
            GARBAGE: the bytes that are put in.
        size: GARBAGE: how many random bytes are put in.

    Raises:
        ConfigurationError: a value is out of range, missing, or does not belong to the kind.
    """

    kind: WireFaultKind
    direction: WireDirection
    address: str = ""
    at_byte: int | None = None
    at_message: int | None = None
    every: int | None = None
    count: int | None = None
    probability: float = 1.0
    per_connection: bool = False
    delay_s: float | None = None
    jitter_s: float | None = None
    bytes_per_s: float | None = None
    duration_s: float | None = None
    bits: int | None = None
    data: bytes = b""
    size: int | None = None

    def __post_init__(self) -> None:
        _check_choice("kind", self.kind, WireFaultKind)
        _check_choice("direction", self.direction, WireDirection)
        if not (isinstance(self.address, str) and (self.address + "x").isprintable()):
            raise ConfigurationError(f"address is {self.address!r}, it must be printable text")
        if not isinstance(self.per_connection, bool):
            raise ConfigurationError(
                f"per_connection is {self.per_connection!r}, it must be true or false"
            )
        for name, least in (("at_byte", 0), ("at_message", 0), ("every", 1), ("count", 1)):
            check_integer(name, getattr(self, name), least, 1 << 62)
        check_integer("bits", self.bits, 1, 1 << 16 if self.at_byte is None else 8)
        check_integer("size", self.size, 1, _MOST_BYTES)
        check_bytes("data", self.data)
        _check_number("probability", self.probability, above=0.0, most=1.0)
        _check_number("delay_s", self.delay_s, least=0.0)
        for name in ("jitter_s", "bytes_per_s", "duration_s"):
            _check_number(name, getattr(self, name), above=0.0)
        self._check_kind()

    @property
    def steps_bytes(self) -> bool:
        """Whether it counts bytes of the stream; otherwise messages."""
        return self.at_byte is not None and self.at_message is None

    @property
    def first(self) -> int:
        """The byte of the stream, or the message, at which it first strikes."""
        return (self.at_byte if self.steps_bytes else self.at_message) or 0

    @property
    def offset(self) -> int:
        """The byte within the message at which it strikes."""
        return 0 if self.steps_bytes else self.at_byte or 0

    @property
    def step(self) -> int | None:
        """After how many bytes or messages it strikes again; None for not again."""
        placed = self.at_byte is not None or self.at_message is not None
        if self.every is not None or placed or self.kind in (_Kind.CUT, *_LASTING):
            return self.every
        return 1

    def acts(self, direction: WireDirection, address: str) -> bool:
        """Whether it acts on bytes that go this way on the link of this address."""
        return self.direction in (direction, WireDirection.BOTH) and self.address in ("", address)

    def _check_kind(self) -> None:
        """The amounts are those of the kind."""
        kind = self.kind
        for name in ("delay_s", "jitter_s", "bytes_per_s", "duration_s", "bits", "data", "size"):
            value = getattr(self, name)
            if value not in (None, b"") and name not in _AMOUNTS.get(kind, ()):
                raise ConfigurationError(f"{name} means nothing for a {kind.value}; leave it out")
        needed = _NEEDED.get(kind)
        if needed and getattr(self, needed) is None:
            raise ConfigurationError(f"{needed} is missing, a {kind.value} needs it")
        either = _EITHER.get(kind)
        if either and (getattr(self, either[0]) is None) == (not self.data):
            raise ConfigurationError(
                f"a {kind.value} takes {either[0]} or {either[1]}, one of them"
            )
        if kind in _WHOLE and self.at_byte is not None:
            raise ConfigurationError(
                f"at_byte is {self.at_byte}, but a {kind.value} takes whole messages; "
                "give at_message"
            )
        if kind in _LASTING and self.every is not None and self.duration_s is None:
            raise ConfigurationError(
                f"every is {self.every}, but without duration_s a {kind.value} never ends"
            )


def check_integer(name: str, value: object, least: int, most: int, *, needed: bool = False) -> None:
    """Refuse what is no integer of [least, most]; None passes unless it is needed."""
    if value is None and not needed:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigurationError(
            f"{name} is {value!r}, it must be an integer from {least} to {most}"
        )


def check_bytes(name: str, value: object) -> None:
    """Refuse what is not bytes, or too many of them."""
    if not isinstance(value, bytes):
        raise ConfigurationError(f"{name} is a {type(value).__name__}, it must be bytes")
    if len(value) > _MOST_BYTES:
        raise ConfigurationError(
            f"{name} has {len(value)} bytes, the limit is {_MOST_BYTES}; use fewer"
        )


def _check_choice(name: str, value: object, choices: type[Enum]) -> None:
    if not isinstance(value, choices):
        raise ConfigurationError(f"{name} is {value!r}, it must be a {choices.__name__}")


def _check_number(
    name: str,
    value: object,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
) -> None:
    """Refuse what is no finite number of the range; None passes."""
    if value is None:
        return
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and least <= value <= most
        and above < value
    ):
        return
    low = f"above {above:g}" if above > least else f"at least {least:g}"
    high = "" if most == math.inf else f" and at most {most:g}"
    raise ConfigurationError(f"{name} is {value!r}, it must be a finite number {low}{high}")
