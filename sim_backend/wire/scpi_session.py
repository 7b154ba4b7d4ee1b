"""The grammar of IEEE 488.2 and SCPI, as an instrument hears it.

Owns messages and their units, long and short forms, optional nodes, numeric suffixes, relative
headers, blocks by their length, and the common commands. What a command does is said by a table of
the twin.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.scpi_calls import (
    Answer,
    Call,
    Complaint,
    ErrorQueue,
    Handler,
    Later,
    block,
)
from sim_backend.wire.session import Session

__all__ = ["Answer", "Call", "Complaint", "ErrorQueue", "Handler", "Later", "ScpiSession", "block"]

_LONGEST = 1 << 28


@dataclass
class _Message:
    """One message: its units not yet executed, and the answers so far."""

    units: deque[tuple[str, bytes | None]]
    path: str = ""
    answers: list[bytes] = field(default_factory=list)


class ScpiSession(Session):
    r"""One connection to an instrument that speaks SCPI.

    The table maps patterns to handlers: `"[:SOURce#]:POWer[:LEVel]"` for an order, the same with a
    `?` for a query. Capitals are the short form, `[]` may be left out, `#` takes a number. Common
    commands are in the table too where they differ from the usual; `*IDN?` must be.

    Args:
        clock: simulated time.
        table: of the twin.
        errors: of the twin.
        ends: marks that end a message; all are removed.
        end: behind an answer.
        complete: whether nothing is pending, for `*OPC?` and `*WAI`, which wait for it.
    """

    def __init__(
        self,
        clock: SimulatedClock,
        table: Mapping[str, Handler],
        errors: ErrorQueue,
        *,
        ends: bytes = b"\n",
        end: bytes = b"\n",
        complete: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(clock)
        self.errors = errors
        self._end = end
        self._ends = ends
        self._complete = complete
        common: dict[str, Handler] = {
            "*CLS": lambda _: errors.clear(),
            "*ESR?": self._event_register,
            "*OPC?": lambda _: Later(until=complete, answer="1"),
            "*OPC": lambda _: None,
            "*WAI": lambda _: Later(until=complete),
            "*RST": lambda _: None,
            "*TST?": lambda _: "0",
            ":SYSTem:ERRor[:NEXT]?": lambda _: errors.next(),
        }
        self._handlers = [
            (_compiled(pattern), handler) for pattern, handler in {**common, **table}.items()
        ]
        self._found: dict[str, tuple[Handler, tuple[int, ...]] | None] = {}
        self._input = bytearray()
        self._scanned = 0
        self._needed = 0
        self._units: deque[tuple[str, bytes | None]] = deque()
        self._unit_begin = 0
        self._message_block: bytes | None = None
        self._quote = 0
        self._messages: deque[_Message] = deque()
        self._waiting: Later | None = None

    @property
    def is_busy(self) -> bool:
        """See `Session.is_busy`."""
        return bool(self._messages)

    def feed(self, data: bytes) -> None:
        """See `Session.feed`."""
        self._input += data
        if len(self._input) > _LONGEST:
            self._forget_input()
            self.errors.add(-363, "Input buffer overrun")
            return
        self._scan()
        self.progress()

    def progress(self) -> None:
        """Execute what has come, as far as nothing holds it up."""
        while self._messages:
            if self._waiting is not None:
                if not self._waiting.until():
                    return
                waited, self._waiting = self._waiting, None
                answer = waited.answer() if callable(waited.answer) else waited.answer
                self._collect(self._messages[0], answer)
            message = self._messages[0]
            while message.units and self._waiting is None:
                text, data = message.units.popleft()
                self._execute(message, text, data)
            if self._waiting is None:
                self._messages.popleft()
                if message.answers:
                    self.say(b";".join(message.answers) + self._end)

    def end_message(self) -> None:
        """See `Session.end_message`: it ends a line too, and a block that is not whole is lost."""
        if not self._needed and (self._input or self._units or self._message_block is not None):
            self.feed(self._ends[-1:])
        if self._needed or self._input:
            self._forget_input()
            self.errors.add(-161, "Invalid block data")

    def interrupt(self) -> None:
        """See `Session.interrupt`."""
        super().interrupt()
        self.errors.add(-410, "Query INTERRUPTED")

    def clear(self) -> None:
        """See `Session.clear`: what it waits for (`*OPC?`, `*WAI`) is forgotten too."""
        super().clear()
        self._forget_input()
        self._messages.clear()
        self._waiting = None

    def next_at(self) -> float | None:
        """See `Session.next_at`."""
        if self._waiting is not None and not self._answers:
            return self._waiting.at_s
        return super().next_at()

    def _scan(self) -> None:
        """Cut the input into messages; a block counts by its length, whatever is in it."""
        data = self._input
        if len(data) < self._needed:
            return
        place = self._scanned
        while place < len(data):
            byte = data[place]
            if self._quote:
                self._quote = 0 if byte == self._quote else self._quote
                if byte == 0x0A:  # a quote that nobody closed ends with the line
                    self._quote = 0
                    continue
            elif byte in (0x22, 0x27):
                self._quote = byte
            elif byte == 0x23 and place + 1 >= len(data):
                break
            elif byte == 0x23 and 0x31 <= data[place + 1] <= 0x39:
                after = self._block_end(place)
                if after is None:
                    break
                if after > 0:
                    place = after
                    continue
            elif byte == 0x3B:
                self._cut_unit(place)
            elif byte in self._ends[-1:]:
                self._cut_unit(place)
                self._messages.append(_Message(units=self._units))
                self._units = deque()
                del data[: place + 1]
                self._unit_begin = 0
                place = -1
            place += 1
        self._scanned = place

    def _block_end(self, place: int) -> int | None:
        """Where a block that begins here ends; None if it has not come whole, -1 if it is none."""
        data = self._input
        digits = data[place + 1] - 0x30
        begin = place + 2 + digits
        if len(data) < begin:
            return None
        count = bytes(data[place + 2 : begin])
        if not count.isdigit():
            return -1
        end = begin + int(count)
        if int(count) > _LONGEST:
            return -1
        if len(data) < end:
            self._needed = end
            self._scanned = place
            return None
        self._message_block = bytes(memoryview(data)[begin:end])
        # The block leaves the text, so that nothing in it is taken for text.
        del data[place:end]
        self._needed = 0
        return place

    def _cut_unit(self, place: int) -> None:
        raw = bytes(self._input[self._unit_begin : place])
        self._unit_begin = place + 1
        text = raw.decode("latin-1").strip()
        if text or self._message_block is not None:
            self._units.append((text, self._message_block))
        self._message_block = None

    def _forget_input(self) -> None:
        self._input.clear()
        self._scanned = self._needed = self._unit_begin = self._quote = 0
        self._units = deque()
        self._message_block = None

    def _execute(self, message: _Message, text: str, data: bytes | None) -> None:
        header, _, rest = text.partition(" ")
        if "\t" in header:
            header, _, rest = text.partition("\t")
        found = self._look_up(message, header)
        if found is None:
            self.errors.add(-113, "Undefined header")
            return
        handler, suffixes = found
        arguments = tuple(one.strip() for one in _split(rest)) if rest.strip() else ()
        if data is not None and arguments and not arguments[-1]:
            arguments = arguments[:-1]
        try:
            answer = handler(Call(suffixes=suffixes, arguments=arguments, block=data))
        except Complaint as complaint:
            self.errors.add(complaint.number, complaint.text)
            return
        if isinstance(answer, Later):
            self._waiting = answer
        else:
            self._collect(message, answer)

    def _look_up(self, message: _Message, header: str) -> tuple[Handler, tuple[int, ...]] | None:
        """The handler of a header: relative to the last one of the message, else from the root."""
        name = header.upper()
        if name.startswith("*"):
            return self._find(name)
        relative = not name.startswith(":")
        for full in ([message.path + ":" + name] if relative and message.path else []) + [
            name if not relative else ":" + name
        ]:
            found = self._find(full)
            if found is not None:
                message.path = full.rstrip("?").rpartition(":")[0]
                return found
        return None

    def _find(self, header: str) -> tuple[Handler, tuple[int, ...]] | None:
        if header not in self._found:
            if len(self._found) > 4096:  # rubbish on the line must not fill the memory
                self._found.clear()
            self._found[header] = None
            for pattern, handler in self._handlers:
                match = pattern.fullmatch(header)
                if match:
                    suffixes = tuple(int(one) if one else 1 for one in match.groups())
                    self._found[header] = (handler, suffixes)
                    break
        return self._found[header]

    @staticmethod
    def _collect(message: _Message, answer: "str | bytes | None") -> None:
        if answer is not None:
            message.answers.append(answer.encode("latin-1") if isinstance(answer, str) else answer)

    def _event_register(self, _: Call) -> str:
        events, self.errors.events = self.errors.events, 0
        return str(events)


def _split(text: str) -> list[str]:
    """At the commas that are not in quotes."""
    if '"' not in text and "'" not in text:
        return text.split(",")
    parts, begin, quote = [], 0, ""
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == ",":
            parts.append(text[begin:place])
            begin = place + 1
    return [*parts, text[begin:]]


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of the table as a regular expression for a header in capitals, colon first."""
    rooted = pattern if pattern.startswith((":", "[:", "*")) else f":{pattern}"
    out = []
    for token in re.findall(r"[A-Za-z_*]+|[\[\]:#?]|\d+", rooted):
        if token == "[":
            out.append("(?:")
        elif token == "]":
            out.append(")?")
        elif token == "#":
            out.append(r"(\d{0,6})")
        elif token in ":?":
            out.append(re.escape(token))
        else:
            short = "".join(character for character in token if not character.islower())
            long = token.upper()
            forms = (
                re.escape(long) if short == long else f"(?:{re.escape(long)}|{re.escape(short)})"
            )
            out.append(forms)
    return re.compile("".join(out))
