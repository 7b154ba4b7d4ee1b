"""Formats of statements: the one that is written, and those of earlier versions that are read.

A statement of an earlier format keeps its signature, and everything that it shares with today's is
compared as ever. Its bits are those of the version that wrote it.

=========================  =======================================================================
veilight certificate 3     written today
veilight certificate 2     adds the bits of kept and of verified light, which is no bound where a
                           session had both or the ledger knew of earlier light; without the figure
                           for a memory over copies, the deviations of the calibrations and what
                           tells a local estimate from a bound
=========================  =======================================================================
"""

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["FORMAT", "earlier_format", "in_common", "is_format"]

FORMAT: Final = "veilight certificate 3"
_EARLIER: Final = {
    "veilight certificate 2": (
        "it added the bits of kept and of verified light, which is no bound where there is both, "
        "and has no figure for a memory over copies"
    ),
}
_OWN_WORDS = ("format", "adversary", "total")
_OWN_BITS = ("bits_per_value", "total_bits", "certified", "bits_with_memory", "upper_bound")


def is_format(name: object) -> bool:
    """Whether statements of this format can be read.

    Args:
        name: as a statement has it.
    """
    return name == FORMAT or name in _EARLIER


def earlier_format(statement: Mapping[str, Any]) -> str | None:
    """What is to be said of a statement's format; None if it is today's or unknown.

    Args:
        statement: as read from a certificate.
    """
    name = statement.get("format")
    if not isinstance(name, str) or name not in _EARLIER:
        return None
    return (
        f"{name}, written by an earlier version: {_EARLIER[name]}. Its bits were not compared; "
        "certify the run again for today's."
    )


def in_common(statement: Mapping[str, Any]) -> dict[str, Any]:
    """A statement without what formats do not share: words, and how bits follow from estimates.

    Args:
        statement: plain data of any format.
    """
    shared = {name: value for name, value in statement.items() if name not in _OWN_WORDS}
    for part, own in (("layers", _OWN_BITS), ("trust", ("deviations",))):
        items = shared.get(part)
        if isinstance(items, list | tuple):
            shared[part] = [_without(item, own) for item in items]
    if "ledger" in shared:
        shared["ledger"] = _without(shared["ledger"], ("charge_rule",))
    return shared


def _without(item: object, names: tuple[str, ...]) -> object:
    if not isinstance(item, Mapping):
        return item
    return {name: value for name, value in item.items() if name not in names}
