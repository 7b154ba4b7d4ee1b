"""OZ Optics' text dialogue: every command, an order too, is answered and the answer has an end.

The lines of an answer are followed by `Done`; a refusal ends with `Error!`. Facts: QMI's and
pylablib's drivers; no maker's document was read.
"""

from collections.abc import Callable
from typing import Final

from drivers.errors import RefusedError
from drivers.transports.link import Link
from drivers.transports.reader import Reader, garbled

__all__ = ["ask_lines", "order_lines"]

_END: Final = b"\r\n"
_DONE: Final = b"Done"
_REFUSED: Final = b"Error!"
_LONGEST_LINE: Final = 256
_MOST_LINES: Final = 8


def ask_lines(
    link: Link, command: str, check: Callable[[bytes], None] = lambda _: None
) -> list[str]:
    """Ask, changing nothing.

    Args:
        link: to the instrument.
        command: such as `V?`.
        check: raises AnswerError where a line makes no sense.

    Returns:
        The lines before `Done`.

    Raises:
        RefusedError: the instrument says that it is an error.
        AnswerError: no text, no end, or refused by `check`; twice.
        LinkError: see `Link.ask`.
    """
    return _accepted(link, command, link.ask(command.encode() + _END, _reading(check)))


def order_lines(
    link: Link, command: str, check: Callable[[bytes], None] = lambda _: None
) -> list[str]:
    """Give an order; it is never sent twice. As `ask_lines` otherwise."""
    return _accepted(link, command, link.order(command.encode() + _END, _reading(check)))


def _reading(check: Callable[[bytes], None]) -> Callable[[Reader], list[str]]:
    def lines(reader: Reader) -> list[str]:
        """The lines with the end mark, which says whether the command was carried out."""
        found: list[bytes] = []
        for _ in range(_MOST_LINES):
            text = reader.line(_END, _LONGEST_LINE).strip()
            found.append(text)
            if text == _DONE or text.endswith(_REFUSED):
                break
        else:
            raise garbled("an answer that ends with Done", b" ".join(found))
        for text in found:
            if not text.isascii():
                raise garbled("lines of text", text)
        if found[-1] == _DONE:
            for text in found[:-1]:
                check(text)
        return [text.decode("ascii") for text in found]

    return lines


def _accepted(link: Link, command: str, lines: list[str]) -> list[str]:
    if lines[-1] == _DONE.decode():
        return lines[:-1]
    raise RefusedError(
        f"{link.address}: {command!r} was refused: {' '.join(lines)!r}; take it as not carried out"
    )
