"""JSON as model files hold it: strict, and with no way to fail but a `ModelError`."""

import json
from typing import NoReturn

from drivers.errors import ModelError

__all__ = ["MAX_JSON_BYTES", "decode_json_object", "encode_json"]

MAX_JSON_BYTES = 1 << 22


def decode_json_object(what: str, text: bytes | str) -> dict[str, object]:
    """The JSON object in `text`.

    Args:
        what: names the text in errors.
        text: as read; NaN and infinity, which JSON does not have, are refused.

    Raises:
        ModelError: not UTF-8, not JSON, nested beyond reason, or not an object.
    """
    if len(text) > MAX_JSON_BYTES:
        raise ModelError(f"{what}: {len(text)} bytes exceed the cap of {MAX_JSON_BYTES} bytes")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{what} is not valid JSON: {error}; the file is damaged") from error
    if not isinstance(value, dict):
        raise ModelError(f"{what} must be a JSON object, got {type(value).__name__}")
    return value


def encode_json(what: str, value: dict[str, object], *, indent: int | None = None) -> bytes:
    """JSON text of `value`.

    Raises:
        ModelError: it holds something that JSON cannot, such as NaN or an array, or too much.
    """
    try:
        text = json.dumps(value, allow_nan=False, indent=indent, sort_keys=True).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{what} must be plain JSON values: {error}; convert them") from error
    if len(text) > MAX_JSON_BYTES:
        raise ModelError(
            f"{what}: {len(text)} bytes exceed the cap of {MAX_JSON_BYTES} bytes; store less"
        )
    return text


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
