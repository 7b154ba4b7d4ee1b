"""What broken digitisers do to records."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sim_backend.instruments.faults import FaultFinder, FaultKind
from sim_backend.scene.converters import Record

__all__ = ["damaged"]


def damaged(record: Record, before: Record | None, fault: FaultFinder) -> Record:
    """A record as it is delivered by a digitiser with faults.

    Args:
        record: as it would be.
        before: the record before it, or None.
        fault: the digitiser's fault of a kind, or None.
    """
    if fault(FaultKind.TRACE_DUPLICATED) is not None and before is not None:
        record = before
    for kind, apply in _APPLY.items():
        found = fault(kind)
        if found is not None:
            record = apply(record, found.amount)
    return record


def _offset_ramp(record: Record, size_v: float) -> Record:
    """Zero error that grows to `size_v`, seen by the converter: on its grid and in its range."""
    ramp = np.linspace(0.0, size_v, record.volts.size, dtype=np.float32)
    return _converted(record, record.volts + ramp, record.range_v)


def _clipped(record: Record, fraction: float) -> Record:
    return _converted(record, record.volts, fraction * record.range_v)


def _converted(record: Record, volts: NDArray[np.float32], limit_v: float) -> Record:
    highest = math.floor(limit_v / record.step_v)
    codes = np.rint(volts / record.step_v)
    beyond = (codes > highest - 1) | (codes < -highest)
    codes = np.clip(codes, -highest, highest - 1)
    return replace(
        record,
        volts=(codes * record.step_v).astype(np.float32),
        clipped=record.clipped + int(np.count_nonzero(beyond)),
    )


def _stuck_bit(record: Record, bit: float) -> Record:
    """Codes are two's complement, as converters give them."""
    codes = np.rint(record.volts / record.step_v).astype(np.int32) | (1 << int(bit))
    return replace(record, volts=(codes * record.step_v).astype(np.float32))


def _constant(record: Record, _: float) -> Record:
    return replace(record, volts=np.full_like(record.volts, record.volts[0]))


def _short(record: Record, fraction: float) -> Record:
    missing = max(1, round(fraction * record.volts.size))
    return replace(record, volts=record.volts[: record.volts.size - missing])


def _not_numbers(record: Record, count: float) -> Record:
    volts = record.volts.copy()
    volts[: int(count)] = np.nan
    return replace(record, volts=volts)


_APPLY: dict[FaultKind, Callable[[Record, float], Record]] = {
    FaultKind.TRACE_OFFSET_RAMP: _offset_ramp,
    FaultKind.TRACE_CLIPPED: _clipped,
    FaultKind.TRACE_STUCK_BIT: _stuck_bit,
    FaultKind.TRACE_CONSTANT: _constant,
    FaultKind.TRACE_SHORT: _short,
    FaultKind.TRACE_NAN: _not_numbers,
}
