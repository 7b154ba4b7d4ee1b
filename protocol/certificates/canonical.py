"""The one byte string that a value is signed as: JSON with sorted keys and no room for choice.

Numbers are written as Python writes them (the shortest text that reads back to the same float), so
a statement that is read and written again has the same bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from drivers.errors import DataError

__all__ = ["canonical_json", "fingerprint", "parse_json"]

MAX_BYTES = 64 * 1024 * 1024


def canonical_json(value: object) -> bytes:
    """UTF-8 JSON with sorted keys, no spaces, no NaN and no infinity.

    Args:
        value: plain data or a dataclass of plain data.

    Raises:
        DataError: the value holds NaN, infinity or something that JSON cannot.
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    try:
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        return text.encode()
    except (ValueError, TypeError) as error:
        raise DataError(
            f"certificate: a value cannot be written as JSON: {error}; a NaN in a record means "
            "that an estimate failed: find which one before anything is certified"
        ) from error


def fingerprint(value: object) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal.

    Raises:
        DataError: see `canonical_json`.
    """
    return hashlib.sha256(canonical_json(value)).hexdigest()


def parse_json(content: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object from a file's bytes; a name that occurs twice is refused.

    Args:
        content: the file.
        what: its name, for messages.

    Raises:
        DataError: too large, not JSON, not an object, NaN, or a name occurs twice.
    """
    if len(content) > MAX_BYTES:
        raise DataError(f"{what}: {len(content)} bytes, the limit is {MAX_BYTES}")
    try:
        value = json.loads(
            content, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise DataError(f"{what}: not a JSON file that can be read: {error}") from error
    if not isinstance(value, Mapping):
        raise DataError(f"{what}: a JSON object was expected")
    return dict(value)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return data


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")
