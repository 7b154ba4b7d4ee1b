"""Reading a table of numbers line by line, with the line in every complaint."""

import csv
import math
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DataError
from veilight.datasets._build import Part
from veilight.datasets._types import MAXIMUM_CLASSES

__all__ = ["read_csv"]

_LONGEST_LINE = 1 << 24


def read_csv(path: Path, *, label_column: str | None, maximum_bytes: int) -> Part:
    """Read inputs and labels of a table.

    Args:
        path: The file, UTF-8, with or without a byte order mark.
        label_column: Heading of the label column, or None for the rule of `load_csv`.
        maximum_bytes: Cap on the inputs in memory, in bytes.

    Returns:
        Inputs ``(samples, columns)`` and labels ``(samples,)``.

    Raises:
        DataError: If the table cannot be read, with the line.
    """
    table = _Table(path, label_column, maximum_bytes)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(_bounded_lines(stream, path), strict=True)
            try:
                for row in rows:
                    if row:
                        table.add(row, rows.line_num)
            except (csv.Error, UnicodeDecodeError) as error:
                raise DataError(
                    f"{path}, near line {rows.line_num + 1}: no CSV text in UTF-8 ({error}); save "
                    "the table as CSV, UTF-8, with commas."
                ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    return table.finish()


class _Table:
    """The rows so far. Values go into flat arrays, for a Python float takes six times the room."""

    def __init__(self, path: Path, label_column: str | None, maximum_bytes: int) -> None:
        self._path = path
        self._label_column = label_column
        self._maximum_bytes = maximum_bytes
        self._headings: list[str] | None = None
        self._width = 0
        self._label_index = 0
        self._values = array("f")
        self._labels = array("q")
        self._lines = array("q")

    def add(self, row: list[str], line: int) -> None:
        """Take one row of cells, the first of which may be the header."""
        if self._width == 0:
            self._width = len(row)
            header = self._is_header(row, line)
            self._headings = [cell.strip() for cell in row] if header else None
            self._label_index = self._find_label(line)
            if header:
                return
        if len(row) != self._width:
            raise DataError(
                f"{self._path}, line {line}: {len(row)} cells, but the first line has "
                f"{self._width}; every line needs as many."
            )
        numbers = self._parse(row, line)
        self._labels.append(self._as_label(numbers.pop(self._label_index), line))
        self._values.extend(numbers)
        self._lines.append(line)
        if 4 * len(self._values) > self._maximum_bytes:
            raise DataError(
                f"{self._path} is too large: by line {line} it fills the cap of "
                f"{self._maximum_bytes} bytes. Use a smaller set, or raise maximum_bytes."
            )

    def finish(self) -> Part:
        """Check what can be checked at once, and hand out the arrays."""
        if not self._labels:
            raise DataError(f"{self._path} holds no samples; give one line of numbers per sample.")
        values = np.frombuffer(self._values, dtype=np.float32).reshape(len(self._labels), -1)
        if not (math.isfinite(values.min()) and math.isfinite(values.max())):
            self._refuse_not_finite(values)
        return values, np.array(self._labels, dtype=np.int64)

    def _is_header(self, row: list[str], line: int) -> bool:
        """Whether the first row is a header, by the rule of `load_csv`."""
        if len(row) < 2:
            raise DataError(
                f"{self._path}, line {line}: one cell only; a table needs a label and at least one "
                "input, separated by commas (not by semicolons or tabs)."
            )
        words = [not _is_number(cell) for cell in row]
        named = self._label_column is not None or "label" in (cell.strip() for cell in row)
        return named or words[-1] or 2 * sum(words) > len(words)

    def _find_label(self, line: int) -> int:
        """Number of the label column, from 0."""
        headings = self._headings or []
        wanted = "label" if self._label_column is None else self._label_column
        if headings.count(wanted) == 1:
            return headings.index(wanted)
        if self._label_column is None and wanted not in headings:
            return self._width - 1
        shown = ", ".join(headings[:10]) + (", ..." if len(headings) > 10 else "")
        raise DataError(
            f"{self._path}, line {line}: {headings.count(wanted)} columns are headed {wanted!r}, "
            f"one is needed. The headings are {shown}."
        )

    def _parse(self, row: list[str], line: int) -> list[float]:
        """The row's numbers."""
        try:
            numbers = [float(cell) for cell in row]
        except ValueError:
            numbers = []
        # Python reads 1_000 as a number; in a table it is a slip of the pen.
        if not numbers or "_" in "".join(row):
            index = next(index for index, cell in enumerate(row) if not _is_number(cell))
            raise DataError(
                f"{self._path}, line {line}, {self._column(index)}: {row[index][:40]!r} is not a "
                "number; correct the cell or remove the line."
            )
        return numbers

    def _as_label(self, value: float, line: int) -> int:
        """A class number; NaN fails the comparison."""
        if not (0 <= value < MAXIMUM_CLASSES and value.is_integer()):
            shown = "NaN" if math.isnan(value) else f"{value:g}"
            raise DataError(
                f"{self._path}, line {line}, {self._column(self._label_index)}: the label is "
                f"{shown}; labels are whole numbers from 0 to {MAXIMUM_CLASSES - 1}. Number the "
                "classes, or name the label column."
            )
        return int(value)

    def _refuse_not_finite(self, values: NDArray[np.float32]) -> None:
        """Name the first cell that holds no finite 32-bit number."""
        row, column = divmod(int(np.argmin(np.isfinite(values))), values.shape[1])
        what = "NaN" if math.isnan(values[row, column]) else "infinite, or too large for 32 bits"
        column += column >= self._label_index
        raise DataError(
            f"{self._path}, line {self._lines[row]}, {self._column(column)}: the value is {what}; "
            "correct the cell or remove the line."
        )

    def _column(self, index: int) -> str:
        """A column as people know it."""
        heading = self._headings[index] if self._headings else ""
        return f"column {index + 1}" + (f" ({heading[:40]})" if heading else "")


def _is_number(cell: str) -> bool:
    """Whether a cell holds a number, NaN and infinity included."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _bounded_lines(stream: TextIO, path: Path) -> Iterator[str]:
    """Lines of bounded length: a file without line ends would be read whole."""
    while line := stream.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise DataError(
                f"{path} has a line of {_LONGEST_LINE} characters or more; is it a CSV file?"
            )
        yield line
