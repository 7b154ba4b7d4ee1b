"""Checks the header of a safetensors file against the tensors that a network needs.

The layout is that of https://github.com/huggingface/safetensors: eight bytes with the length of
the header (little endian), the header (a JSON object: name to type, shape and byte range), the
data without gaps. All is checked before a tensor is allocated.
"""

import math
from collections.abc import Mapping
from reprlib import repr as short

from drivers.errors import ModelError
from protocol.models._json import decode_json_object
from protocol.models.graph import Shape

__all__ = ["MAX_HEADER_BYTES", "check_header", "largest_file_bytes"]

MAX_HEADER_BYTES = 1 << 20

_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_LENGTH_BYTES = 8
_OTHER_KINDS = {b"\x80": "a pickle", b"PK\x03\x04": "a zip or torch.save archive"}


def check_header(data: bytes, shapes: Mapping[str, Shape]) -> None:
    """Refuse a file that does not hold exactly the tensors `shapes`, and nothing else.

    Args:
        data: the whole file.
        shapes: name and shape of every tensor that must be there.

    Raises:
        ModelError: truncated, another kind of file, a header that is too long or malformed, or
            a tensor that is missing, surplus, of a wrong type, shape or byte range.
    """
    header, size = _split(data)
    header.pop("__metadata__", None)
    surplus = sorted(set(header) - set(shapes))
    if surplus:
        raise ModelError(f"tensor {short(surplus[0])} does not belong to the network described")
    ranges = []
    for name, shape in shapes.items():
        if name not in header:
            raise ModelError(f"tensor {name!r} is missing; the description needs it")
        ranges.append(_checked_range(name, header[name], shape, size))
    end = 0
    for begin, next_end in sorted(ranges):
        if begin != end:
            raise ModelError(f"the tensors overlap or leave a gap at byte {end} of the data")
        end = next_end
    if end != size:
        raise ModelError(
            f"{size} bytes of data, the tensors need {end}; the file is truncated or damaged: "
            "copy it again"
        )


def largest_file_bytes(shapes: Mapping[str, Shape]) -> int:
    """Bytes of the largest file that can hold the tensors `shapes`: all in the widest type."""
    entries = sum(math.prod(shape) for shape in shapes.values())
    return _LENGTH_BYTES + MAX_HEADER_BYTES + max(_ITEM_BYTES.values()) * entries


def _split(data: bytes) -> tuple[dict[str, object], int]:
    """The parsed header and the number of bytes behind it."""
    for magic, kind in _OTHER_KINDS.items():
        if data.startswith(magic) and data[_LENGTH_BYTES : _LENGTH_BYTES + 1] != b"{":
            raise ModelError(
                f"this is {kind}, not a safetensors file; it was not opened, as that can run any "
                "code. Convert it where you trust it, with from_module and save_model"
            )
    if len(data) < _LENGTH_BYTES:
        raise ModelError(f"truncated: {len(data)} bytes are no safetensors file; copy it again")
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise ModelError(
            f"not a safetensors file, or damaged: a header of {length} bytes exceeds the cap of "
            f"{MAX_HEADER_BYTES} bytes"
        )
    begin = _LENGTH_BYTES + length
    if begin > len(data):
        raise ModelError(
            f"truncated: {len(data)} bytes, the header alone needs {begin}; copy it again"
        )
    return decode_json_object("the header", data[_LENGTH_BYTES:begin]), len(data) - begin


def _checked_range(name: str, entry: object, shape: Shape, size: int) -> tuple[int, int]:
    where = f"tensor {name!r}"
    if not isinstance(entry, Mapping):
        raise ModelError(f"{where}: its header entry must be an object")
    kind = entry.get("dtype")
    if not isinstance(kind, str) or kind not in _ITEM_BYTES:
        raise ModelError(f"{where}: type {short(kind)} is not one of {', '.join(_ITEM_BYTES)}")
    if entry.get("shape") != list(shape):
        raise ModelError(
            f"{where} has shape {short(entry.get('shape'))}, the network needs {list(shape)}"
        )
    offsets = entry.get("data_offsets")
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or not all(type(offset) is int for offset in offsets)
    ):
        raise ModelError(f"{where}: data_offsets must be two whole numbers")
    begin, end = offsets
    if not 0 <= begin <= end <= size:
        raise ModelError(f"{where}: its bytes lie outside the file; truncated: copy it again")
    needed = math.prod(shape) * _ITEM_BYTES[kind]
    if end - begin != needed:
        raise ModelError(f"{where}: {end - begin} bytes of data, its shape needs {needed}")
    return begin, end
