"""Where two statements differ: by name, numbers up to what machines may differ by."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeGuard

__all__ = ["differences"]

_RELATIVE = 1e-6


def differences(stated: object, expected: object, where: str = "") -> Iterator[str]:
    """Dotted names of everything that is not the same in two values of plain data.

    Floats may differ by a millionth: another machine may round otherwise.

    Args:
        stated: what a certificate says.
        expected: what the record gives.
        where: name of the values.
    """
    if isinstance(stated, Mapping) and isinstance(expected, Mapping):
        for name in sorted({*stated, *expected}):
            place = f"{where}.{name}" if where else str(name)
            if name not in stated or name not in expected:
                yield place
            else:
                yield from differences(stated[name], expected[name], place)
    elif _is_list(stated) and _is_list(expected):
        if len(stated) != len(expected):
            yield where
            return
        for index, pair in enumerate(zip(stated, expected, strict=True)):
            yield from differences(pair[0], pair[1], f"{where}[{index}]")
    elif not _same(stated, expected):
        yield where


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _same(one: object, two: object) -> bool:
    numbers = (int, float)
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if isinstance(one, numbers) and isinstance(two, numbers):
        return math.isclose(one, two, rel_tol=_RELATIVE, abs_tol=_RELATIVE**2)
    return one == two
