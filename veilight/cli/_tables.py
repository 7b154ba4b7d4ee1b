"""Leakage as tables: who, how much, how sure, and what is assumed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from veilight.cli._screen import Screen

if TYPE_CHECKING:
    from protocol.certificates import TestRecord
    from protocol.leakage import LeakageSummary

__all__ = ["bits", "counted", "leakage_table", "seconds", "tests_table"]


def bits(value: float) -> str:
    """A number of bits with three digits that count."""
    return "0" if value == 0 else f"{value:.3g}"


def seconds(value: float) -> str:
    """A time in the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def counted(number: int, what: str) -> str:
    """A number with its noun, such as `1 query` or `2 samples`."""
    if number == 1:
        return f"1 {what}"
    plural = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{number:,} {plural}"


def tests_table(screen: Screen, tests: Sequence["TestRecord"]) -> None:
    """Where the tests over the session stood at its end; nothing where none ran."""
    if tests:
        screen.table(
            "Tests over the session: refused above the limit",
            ("whose", "test", "score", "limit", "symbols", "passed"),
            [
                (
                    test.party,
                    test.name,
                    f"{test.score:.3g}",
                    f"{test.limit:.3g}",
                    f"{test.symbols:,}",
                    "yes" if test.passed else "NO",
                )
                for test in tests
            ],
            numbers=(2, 3, 4),
        )


def leakage_table(screen: Screen, title: str, figures: Sequence["LeakageSummary"]) -> None:
    """One row per adversary; what each figure assumes stands below the table."""
    notes: list[str] = []
    rows = []
    for figure in figures:
        if figure.assumptions not in notes:
            notes.append(figure.assumptions)
        note = notes.index(figure.assumptions) + 1
        rows.append(
            (
                f"{figure.adversary} ({note})",
                bits(figure.worst_bits_per_symbol),
                bits(figure.mean_bits_per_symbol),
                bits(figure.total_bits),
                "at most" if figure.upper_bound else "estimate",
                _confidence(figure.confidence),
            )
        )
    columns = ("to whom", "worst layer", "mean", "total [bit]", "kind", "confidence")
    screen.table(title, columns, rows, numbers=(1, 2, 3))
    screen.tell("\n".join(f"  ({number}) {note}" for number, note in enumerate(notes, 1)) + "\n")


def _confidence(value: float | None) -> str:
    return "asymptotic" if value is None else f"1 - {1 - value:.2g}"
