"""Qontrol's dialogue: one line or one frame out, lines back, and errors that come unasked.

A message is a line of text or a frame that begins with a byte above 0x7F; either is answered by
lines of text. An error report may stand before, between or after the lines of an answer, or come
when nothing was asked. Source: the maker's Python interface (takeqontrol/api, 1.1.20) and its
getting-started guide.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import AnswerError, LinkTimeoutError, RefusedError
from drivers.transports.link import Link
from drivers.transports.reader import Reader, garbled

__all__ = ["MOST_CHANNELS", "Answer", "Expected", "ask", "order", "voltage_frame"]

MOST_CHANNELS: Final = 256
"""Outputs of a chain that this program drives at most."""
_END: Final = b"\n"
_LONGEST_LINE: Final = 256
_MOST_STRAY: Final = 64
_ERROR: Final = re.compile(rb"[A-Za-z]{1,3}(\d{1,3}):(\d{1,5})")
_FULL_CODE: Final = 65535
_VECTOR: Final = 0x82
"""Header: binary, a number of values for consecutive channels; the ones are even."""
_SET_VOLTS: Final = 0x00
_SERIAL_ERROR, _POWERED_UP = 15, 90
_UNASKED: Final = (1, 2, 3, 4, 5, 30)
_MEANINGS: Final = {
    0: "unknown error",
    1: "over-voltage",
    2: "over-current",
    3: "power error",
    4: "calibration error",
    5: "output error",
    10: "unrecognised command",
    11: "bad parameter",
    12: "no such channel",
    13: "forbidden",
    14: "its buffer overflowed",
    16: "time-out or internal software error",
    17: "internal bus error (SPI)",
    18: "converter error",
    19: "internal bus error (I2C)",
    30: "too many errors, some were not sent",
    31: "firmware trap",
}


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The lines that an answer must have.

    Args:
        form: of each line.
        count: how many.
        what: for people, such as "a voltage".
    """

    form: re.Pattern[bytes]
    count: int = 1
    what: str = "OK"


_OK: Final = Expected(form=re.compile(rb"OK"))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back.

    Args:
        lines: the answer; too few of them only where there are trips.
        trips: what went wrong at an output, such as "over-current at output 3".
        refusal: why the command was not carried out; empty where it was.
    """

    lines: tuple[str, ...]
    trips: tuple[str, ...]
    refusal: str = ""


def ask(link: Link, message: str, expected: Expected, timeout_s: float | None = None) -> Answer:
    """Ask in text, changing nothing.

    Args:
        link: to the chain.
        message: such as `vall?`.
        expected: the lines of the answer.
        timeout_s: for query and answer.

    Raises:
        RefusedError: the chain does not know the query.
        AnswerError: other lines, or the chain was reset.
        LinkError: see `Link.ask`.
    """
    read = _reading(expected, link.discard())
    return _accepted(link, message, link.ask(message.encode() + _END, read, timeout_s))


def order(link: Link, message: str | bytes, timeout_s: float | None = None) -> Answer:
    """Give an order, which is answered by OK; it is never sent twice.

    Args:
        link: to the chain.
        message: a line of text without its end, or a whole frame.
        timeout_s: for order and answer.

    Raises:
        RefusedError: the chain did not carry it out.
        AnswerError: another line, or the chain was reset.
        LinkError: see `Link.order`.
    """
    data = message.encode() + _END if isinstance(message, str) else message
    shown = message if isinstance(message, str) else message[:8].hex(" ")
    return _accepted(link, shown, link.order(data, _reading(_OK, link.discard()), timeout_s))


def voltage_frame(first: int, volts: NDArray[np.float64], full_scale_v: float) -> bytes:
    """The frame that sets consecutive outputs.

    Header, command, channel (three bytes), number of values and the values, all big-endian; a value
    is V / full scale * 65535, truncated.

    Args:
        first: number of the first output in the chain.
        volts: 0 to `full_scale_v`, shape (outputs,).
        full_scale_v: of the modules.
    """
    codes = np.floor(volts / full_scale_v * _FULL_CODE).astype(">u2")
    head = bytes((_VECTOR, _SET_VOLTS, 0))
    return b"".join(
        (head, first.to_bytes(2, "big"), len(codes).to_bytes(2, "big"), codes.tobytes())
    )


def _reading(expected: Expected, waiting: bytes) -> Callable[[Reader], Answer]:
    """What reads an answer behind the lines that were waiting, of which only errors count."""
    stray = [line.strip() for line in waiting.split(_END) if _ERROR.fullmatch(line.strip())]

    def answer(reader: Reader) -> Answer:
        lines: list[str] = []
        trips = [trip for line in _taken(stray) if (trip := _told(line)[0])]
        for _ in range(expected.count + _MOST_STRAY):
            if len(lines) == expected.count:
                break
            try:
                text = reader.line(_END, _LONGEST_LINE).strip()
            except LinkTimeoutError:
                if trips:  # the report of the trip may be all that there is
                    break
                raise
            if _ERROR.fullmatch(text):
                trip, refusal = _told(text)
                if refusal:
                    return Answer(lines=tuple(lines), trips=tuple(trips), refusal=refusal)
                trips.append(trip)
            elif expected.form.fullmatch(text):
                lines.append(text.decode("ascii"))
            elif text:
                raise garbled(expected.what, text)
        else:
            raise AnswerError(f"{len(trips)} error reports and no {expected.what}: {trips[-1:]}")
        return Answer(lines=tuple(lines), trips=tuple(trips))

    return answer


def _taken(lines: list[bytes]) -> Sequence[bytes]:
    """The lines, once: a query that is sent again has not them waiting."""
    taken = tuple(lines)
    lines.clear()
    return taken


def _told(text: bytes) -> tuple[str, str]:
    """A trip of an output, or why a command was refused; one of them is empty.

    Raises:
        AnswerError: the chain was reset, or received damaged bytes.
    """
    found = _ERROR.fullmatch(text)
    assert found is not None
    number, place = int(found[1]), int(found[2])
    shown = text.decode("ascii")
    if number == _POWERED_UP:
        raise AnswerError(
            f"the chain was switched on anew ({shown}): all set points are gone, its outputs are "
            "at 0 V; look at its supply, then set them again"
        )
    if number == _SERIAL_ERROR:
        raise AnswerError(f"the chain received damaged bytes ({shown}); look at the cable")
    meaning = _MEANINGS.get(number, "an error that the maker does not list")
    if number in _UNASKED:
        return f"{meaning} at output {place} ({shown})", ""
    return "", f"{meaning} ({shown})"


def _accepted(link: Link, message: str, answer: Answer) -> Answer:
    if answer.refusal:
        raise RefusedError(
            f"{link.address}: {message!r} was refused: {answer.refusal}; take it as not carried out"
        )
    return answer
