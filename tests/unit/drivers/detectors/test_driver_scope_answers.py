"""Whatever a scope answers, its driver understands it or says AnswerError."""

import re
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest

from drivers.detectors import (
    keysight_infiniium,
    keysight_infiniivision,
    rohde_schwarz_rto,
    tektronix_mso56,
)
from drivers.dialects.scope import RecordForm, Scope
from drivers.errors import AnswerError, LinkError, LinkTimeoutError, RefusedError, TraceError
from drivers.instruments import DigitiserLimits
from drivers.transports.link import Link
from drivers.transports.streams import Buffer
from tests.wire.scripted import ScriptedClock

Maker = Callable[..., Scope]

ALLOWED = (AnswerError, LinkError, RefusedError, TraceError)
SCOPES: dict[str, tuple[Maker, DigitiserLimits, bytes, bytes]] = {
    "InfiniiVision": (
        keysight_infiniivision.KeysightInfiniiVision,
        keysight_infiniivision.MODELS[0].limits,  # type: ignore[dict-item]
        b'0,0,1000,1,+1.25E-009,-1.25E-008,0,+7.8125E-003,+0.0E+000,128;+0,"No error"\n',
        b"#800001000" + bytes(range(100, 200)) * 10 + b';+0,"No error"\n',
    ),
    "MSO5": (
        tektronix_mso56.TektronixMso56,
        tektronix_mso56.MODELS[0].limits,  # type: ignore[dict-item]
        b"1.25E-9;-6.25E-7;0;1.5625E-6;0.0E+0;0.0E+0;1000;0\n",
        b"#3200" + bytes(range(200)) + b";0\n",
    ),
    "RTO": (
        rohde_schwarz_rto.RohdeSchwarzRto,
        rohde_schwarz_rto.MODELS[0].limits,  # type: ignore[dict-item]
        b'-6.25E-07,6.25E-07,1000,1;0.11;0;0;800000000;0,"No error"\n',
        b"#41000" + bytes(range(100)) * 10 + b';0,"No error"\n',
    ),
    "Infiniium": (
        keysight_infiniium.KeysightInfiniium,
        keysight_infiniium.MODELS[0].limits,  # type: ignore[dict-item]
        b'2,1,1000,0,1.25E-09,-1.25E-07,0,3E-05,0,0,3,1,1,1,1,"d","t","m",2,100,2,1,2,0;0,"No"\n',
        b"#42000" + bytes(range(200)) * 10 + b';0,"No"\n',
    ),
}
NUMBERS = (b"nan", b"inf", b"-inf", b"1e300", b"-1", b"0", b"1e-320", b"9.91E37", b"", b"x", b'"')


class Answering:
    """A stream with one answer about the form of a record, and one record."""

    reopens: ClassVar[bool] = True
    messages: ClassVar[bool] = False

    def __init__(self, answers: list[bytes], clock: ScriptedClock) -> None:
        self._answers = answers
        self._clock = clock
        self._left = b""

    def send(self, data: Buffer, timeout_s: float) -> None:
        del timeout_s
        message = bytes(data)
        if b"PRE?" in message or b"NR_Pt?" in message or b"HEAD?" in message:
            self._left = self._answers[0]
        elif b"DATA?" in message or b"CURVe?" in message:
            self._left = self._answers[1]
        elif b"*ESR?" in message:
            self._left = b"0\n"
        else:
            self._left = b'1;0,"No error"\n' if b"*OPC?" in message else b'0,"No error"\n'

    def receive_into(self, buffer: memoryview, timeout_s: float) -> int:
        if not self._left:
            self._clock.sleep(timeout_s)
            raise LinkTimeoutError("no answer")
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def discard(self) -> bytes:
        self._left = b""
        return b""

    def close(self) -> None:
        self._left = b""


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, cut or doubled, or a number replaced by a strange one."""
    found = bytearray(data)
    kind = rng.integers(0, 4)
    if kind == 0:
        places = list(re.finditer(rb"[+-]?\d[\d.Ee+-]*", bytes(found[:200])))
        if places:
            place = places[int(rng.integers(0, len(places)))]
            found[place.start() : place.end()] = NUMBERS[int(rng.integers(0, len(NUMBERS)))]
    elif kind == 1:
        for place in rng.integers(0, len(found), 3):
            found[int(place)] = int(rng.integers(0, 256))
    elif kind == 2:
        del found[int(rng.integers(0, len(found))) :]
    else:
        begin = int(rng.integers(0, len(found)))
        found[begin:begin] = found[begin : begin + 9]
    return bytes(found)


@pytest.mark.parametrize("name", sorted(SCOPES))
def test_scope_raises_nothing_else_when_answers_are_mutated(name: str) -> None:
    make, limits, form, block = SCOPES[name]
    rng = np.random.default_rng(7)
    clock = ScriptedClock()
    answers = [form, block]
    link = Link("fuzz", lambda _: Answering(answers, clock), clock=clock, timeout_s=1.0)
    scope = make("tap", limits=limits, link=link, clock=clock)
    link.attach("tap", lambda: None)
    scope._asked = type(scope._asked)(sample_rate_hz=800e6, samples=100, range_v=1.0)
    understood = 0
    for _ in range(2500):
        answers[:] = (
            [mutated(form, rng), block] if rng.random() < 0.8 else [form, mutated(block, rng)]
        )
        try:
            scope._get_settings()
            scope._fetch()
            understood += 1
        except ALLOWED:
            continue
    assert 0 < understood < 2500


@pytest.mark.parametrize(
    "change",
    [
        {"interval_s": 0.0},
        {"interval_s": float("nan")},
        {"samples": -1},
        {"trigger": float("inf")},
        {"volts_per_code": -1.0},
        {"volts_at_zero": float("nan")},
    ],
    ids=str,
)
def test_record_form_is_refused_when_no_record_can_be_so(change: dict[str, float]) -> None:
    good: dict[str, float] = {
        "interval_s": 1e-9,
        "samples": 10,
        "trigger": 0.0,
        "volts_per_code": 1e-3,
        "volts_at_zero": 0.0,
        "step_v": 1e-3,
        "range_v": 1.0,
    }
    with pytest.raises(AnswerError, match="cannot be"):
        RecordForm(**{**good, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("trigger", "first", "left"),
    [(0.0, 0, 10), (-0.6, 0, 10), (-1.6, -2, 0), (2.4, 2, 8), (12.0, 12, 0)],
)
def test_record_form_counts_from_the_trigger_when_it_lies_anywhere(
    trigger: float, first: int, left: int
) -> None:
    form = RecordForm(
        interval_s=1e-9,
        samples=10,
        trigger=trigger,
        volts_per_code=1e-3,
        volts_at_zero=0.0,
        step_v=1e-3,
        range_v=1.0,
    )
    assert form.first == first
    assert form.after_trigger(1) == left
    assert form.after_trigger(3) == -(-left // 3)


@pytest.mark.parametrize(("rate_hz", "stride"), [(1e9, 1), (250e6, 4), (300e6, 0), (2e9, 0)])
def test_record_form_finds_the_stride_when_the_rate_divides(rate_hz: float, stride: int) -> None:
    form = RecordForm(
        interval_s=1e-9,
        samples=10,
        trigger=0.0,
        volts_per_code=1e-3,
        volts_at_zero=0.0,
        step_v=1e-3,
        range_v=1.0,
    )
    assert form.stride(rate_hz) == stride
