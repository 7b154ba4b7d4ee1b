"""Faults on a wire as data: what goes wrong, where, how often, and the seed that replays it.

Owns the values and their text forms. What a fault does to the bytes is said by
`sim_backend.wire.fault_stages`, and a plan is put on a link by `sim_backend.wire.faulty_pipe` (in
one process) and `sim_backend.wire.proxy` (between processes).

A plan in TOML; in JSON the keys are the same:

    seed = 7
    message_end_hex = "0a"          # messages end with a line feed; without it, each read is one

    [[faults]]
    kind = "cut"
    direction = "to client"
    at_byte = 12
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from typing import TypeVar

from drivers.errors import ConfigurationError
from drivers.settings_files import MAXIMUM_BYTES, nearest, parse_toml
from sim_backend.wire.fault_values import (
    WireDirection,
    WireFault,
    WireFaultKind,
    check_bytes,
    check_integer,
)

__all__ = [
    "WireDirection",
    "WireFault",
    "WireFaultKind",
    "WireFaultPlan",
    "plan_from_json",
    "plan_from_toml",
    "plan_to_json",
    "plan_to_toml",
]

_WHERE = "wire fault plan"
_Choice = TypeVar("_Choice", bound=Enum)


@dataclass(frozen=True, kw_only=True)
class WireFaultPlan:
    """The faults of a run, in the order in which they act, and what replays them.

    The same plan over the same bytes, given in the same pieces, gives the same bytes.

    Args:
        faults: the faults.
        seed: of all random numbers, at least 0; each fault and direction has its own stream.
        message_end: the bytes that end a message, which may then come in any pieces; empty where
            each piece that is read counts as a message.

    Raises:
        ConfigurationError: a value is of the wrong type or out of range.
    """

    faults: tuple[WireFault, ...] = ()
    seed: int = 0
    message_end: bytes = b""

    def __post_init__(self) -> None:
        if not isinstance(self.faults, tuple):
            raise ConfigurationError(
                f"faults is a {type(self.faults).__name__}, it must be a tuple"
            )
        for index, fault in enumerate(self.faults):
            if not isinstance(fault, WireFault):
                raise ConfigurationError(f"faults.{index} is {fault!r}, it must be a WireFault")
        check_integer("seed", self.seed, 0, 1 << 128, needed=True)
        check_bytes("message_end", self.message_end)


def plan_from_json(text: str) -> WireFaultPlan:
    """A plan from its JSON text.

    Args:
        text: at most 1 MiB.

    Raises:
        ConfigurationError: the text is no JSON, or a key or value is wrong; names the dotted path.
    """
    _check_size(text)
    try:
        table = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{_WHERE} is not valid JSON: {error}") from error
    if not isinstance(table, dict):
        raise ConfigurationError(f"{_WHERE} is a {type(table).__name__}, it must be an object")
    return _plan_of(table)


def plan_from_toml(text: str) -> WireFaultPlan:
    """A plan from its TOML text.

    Args:
        text: at most 1 MiB.

    Raises:
        ConfigurationError: the text is no TOML, or a key or value is wrong; names the dotted path.
    """
    _check_size(text)
    return _plan_of(parse_toml(text, _WHERE))


def plan_to_json(plan: WireFaultPlan) -> str:
    """The JSON text of a plan; what has its default value is left out."""
    return json.dumps(_table_of(plan), indent=2, ensure_ascii=False) + "\n"


def plan_to_toml(plan: WireFaultPlan) -> str:
    """The TOML text of a plan; what has its default value is left out."""
    table = _table_of(plan)
    # What JSON writes for one string, number or truth value is TOML too.
    lines = [f"{k} = {json.dumps(table[k])}" for k in ("seed", "message_end_hex") if k in table]
    for fault in _rows(table):
        lines += ["", "[[faults]]"]
        lines += [
            f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in fault.items()
        ]
    return "\n".join(lines) + "\n"


def _table_of(plan: WireFaultPlan) -> dict[str, object]:
    table: dict[str, object] = {"seed": plan.seed}
    if plan.message_end:
        table["message_end_hex"] = plan.message_end.hex()
    table["faults"] = [_row_of(fault) for fault in plan.faults]
    return table


def _rows(table: Mapping[str, object]) -> list[dict[str, object]]:
    rows = table.get("faults", [])
    if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        raise ConfigurationError(f"{_WHERE}: faults must be a list of tables; write [[faults]]")
    return rows


def _row_of(fault: WireFault) -> dict[str, object]:
    row: dict[str, object] = {}
    for item in fields(fault):
        value = getattr(fault, item.name)
        if item.default is not MISSING and value == item.default:
            continue
        if isinstance(value, bytes):
            row[f"{item.name}_hex"] = value.hex()
        else:
            row[item.name] = value.value if isinstance(value, Enum) else value
    return row


def _plan_of(table: Mapping[str, object]) -> WireFaultPlan:
    _check_keys(table, ("faults", "seed", "message_end_hex"), "")
    faults = tuple(_fault_of(row, f"faults.{index}.") for index, row in enumerate(_rows(table)))
    seed = table.get("seed", 0)
    try:
        return WireFaultPlan(
            faults=faults,
            seed=seed,  # type: ignore[arg-type]
            message_end=_unhex("message_end_hex", table.get("message_end_hex", "")),
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{_WHERE}: {error}") from error


_ROW_KEYS = tuple("data_hex" if item.name == "data" else item.name for item in fields(WireFault))


def _fault_of(row: Mapping[str, object], prefix: str) -> WireFault:
    _check_keys(row, _ROW_KEYS, prefix)
    values = dict(row)
    try:
        for key, choices in (("kind", WireFaultKind), ("direction", WireDirection)):
            if key not in values:
                raise ConfigurationError(f"{key} is missing; it has no default")
            values[key] = _choice(key, values[key], choices)
        if "data_hex" in values:
            values["data"] = _unhex("data_hex", values.pop("data_hex"))
        # The types are checked by the class itself.
        return WireFault(**values)  # type: ignore[arg-type]
    except ConfigurationError as error:
        raise ConfigurationError(f"{_WHERE}: {prefix}{error}") from error


def _check_keys(table: Mapping[str, object], known: tuple[str, ...], prefix: str) -> None:
    for key in table:
        if key not in known:
            hint = nearest(key, known, prefix) or f"known are {', '.join(known)}"
            raise ConfigurationError(f"{_WHERE}: unknown key {prefix}{key}; {hint}")


def _check_size(text: str) -> None:
    if len(text) > MAXIMUM_BYTES:
        raise ConfigurationError(
            f"{_WHERE} has {len(text)} characters, the limit is {MAXIMUM_BYTES}"
        )


def _choice(key: str, value: object, choices: type[_Choice]) -> _Choice:
    """The member of an enumeration that a text names."""
    names = [member.value for member in choices]
    if value in names:
        return choices(value)
    hint = nearest(str(value), names) or f"choose from {', '.join(names)}"
    raise ConfigurationError(f"{key} is {value!r}; {hint}")


def _unhex(key: str, value: object) -> bytes:
    """Bytes from hexadecimal digits."""
    try:
        if isinstance(value, str):
            return bytes.fromhex(value)
    except ValueError:
        pass
    raise ConfigurationError(f"{key} is {value!r}, it must be text of pairs of hexadecimal digits")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return table


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")
