"""A table as text, so that the template only lays it out."""

from dataclasses import dataclass

__all__ = ["Cell", "Column", "Table", "columns_of", "row_of"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Text, a smaller remark under it, and for a heat map its shade from 0 to 1."""

    text: str
    note: str = ""
    shade: float | None = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """Heading, a heading shared with its neighbours, and whether the column holds numbers."""

    label: str
    group: str = ""
    number: bool = True


@dataclass(frozen=True, kw_only=True)
class Table:
    """A caption, columns and rows; the first cell of a row is its heading."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def row_of(*cells: str | tuple[str, str]) -> tuple[Cell, ...]:
    """Cells of texts, or of pairs of a text and its remark."""
    return tuple(
        Cell(text=cell) if isinstance(cell, str) else Cell(text=cell[0], note=cell[1])
        for cell in cells
    )


def columns_of(first: str, *numbers: str) -> tuple[Column, ...]:
    """A column of headings, then columns of numbers."""
    return (Column(label=first, number=False), *(Column(label=label) for label in numbers))
