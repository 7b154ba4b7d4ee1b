"""Bench files whose calibration takes shorter records than by default, for the sake of time."""

from pathlib import Path
from typing import Final

__all__ = ["shorten_records"]

_SHORTER: Final = """
[calibration.electronic_noise]
samples = 262144
[calibration.digitiser]
samples = 65536
[calibration.shot_noise]
samples = 262144
powers = 5
[calibration.delay]
symbols = 16384
"""


def shorten_records(bench_file: Path) -> None:
    """Shorten the records of the routines that take longest, as a user would.

    Args:
        bench_file: of a bench without these sections; one of a pair is enough.
    """
    with bench_file.open("a", encoding="utf-8") as file:
        file.write(_SHORTER)
