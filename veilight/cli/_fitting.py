"""How a table is fitted to a narrow screen: headings folded first, then columns in parts."""

from collections.abc import Sequence

__all__ = ["fitted"]

_BETWEEN = 3
"""Characters between two columns, as rich sets them without edges."""
_EDGES = 2


def fitted(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Sequence[int],
    width: int,
) -> list[tuple[list[int], list[str]]]:
    """The tables that show all columns within a width.

    A number is never cut: its heading is folded at its words, and where that is not enough the
    table goes on below itself, with its first column again so that rows can be told apart.

    Args:
        columns: headings.
        rows: cells as text.
        numbers: indices of the columns whose cells stay on one line.
        width: characters of a line.

    Returns:
        For each table the indices of its columns, and all headings as they are to be shown.
    """
    everything = list(range(len(columns)))
    cells = [[row[index] for row in rows] for index in everything]
    wide = [
        max(map(len, [columns[index], *cells[index]]))
        if index in numbers
        else _longest_word([columns[index], *cells[index]])
        for index in everything
    ]
    if _total(wide) <= width:
        return [(everything, list(columns))]
    headings = [
        _folded(heading, max(map(len, cells[index]), default=0)) if index in numbers else heading
        for index, heading in enumerate(columns)
    ]
    narrow = [
        max(map(len, [*headings[index].split("\n"), *cells[index]]))
        if index in numbers
        else wide[index]
        for index in everything
    ]
    parts = [[0]]
    for index in everything[1:]:
        if len(parts[-1]) > 1 and _total([narrow[i] for i in (*parts[-1], index)]) > width:
            parts.append([0])
        parts[-1].append(index)
    return [(part, headings) for part in parts]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _BETWEEN * (len(widths) - 1) + _EDGES


def _longest_word(texts: Sequence[str]) -> int:
    return max((len(word) for text in texts for word in text.split()), default=0)


def _folded(heading: str, width: int) -> str:
    """The heading on as many lines as it takes to be hardly wider than its column's cells."""
    width = max(width, _longest_word([heading]))
    lines: list[str] = []
    for word in heading.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)
