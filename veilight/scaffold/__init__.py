"""A new driver from templates: driver, twin and tests that work together, to be filled in."""

from veilight.scaffold.kinds import KINDS, KindPlace, kind_named
from veilight.scaffold.new_driver import NewDriver
from veilight.scaffold.writing import Written, WrittenFile, write_driver

__all__ = [
    "KINDS",
    "KindPlace",
    "NewDriver",
    "Written",
    "WrittenFile",
    "kind_named",
    "write_driver",
]
