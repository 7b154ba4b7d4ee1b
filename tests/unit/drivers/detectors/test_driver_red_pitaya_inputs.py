"""The inputs of a Red Pitaya: exact bytes of the dialogue, and records against the scene."""

import numpy as np
import pytest

from drivers.detectors.red_pitaya import MODELS, RedPitayaDigitiser
from drivers.errors import AnswerError, LimitError, LinkTimeoutError, RefusedError
from drivers.instruments import DigitiserLimits, GeneratorLimits, Trigger
from drivers.modulators.red_pitaya import MODELS as OUTPUTS
from drivers.modulators.red_pitaya import RedPitayaGenerator
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import DigitiserPart, GeneratorPart
from sim_backend.wire.twins.red_pitaya import RedPitayaTwin
from tests.wire.red_pitaya import board
from tests.wire.rigs import loopback_link
from tests.wire.scripted import Script

ERROR = b"SYST:ERR:NEXT?\r\n"
OK = b'0,"No error"\r\n'
Pair = tuple[bytes, bytes]


def told(*orders: bytes) -> Pair:
    return b"".join(order + b"\r\n" for order in orders) + ERROR, OK


def asked(question: bytes, answer: bytes) -> Pair:
    return question + b"\r\n" + ERROR, answer + b"\r\n" + OK


GREET = [
    (b"*CLS\r\n", b""),
    asked(b"*IDN?", b"REDPITAYA,INSTR2025,,01-21"),
    asked(b"SYST:BRD:Name?", b"STEMlab 125-14 v1.0"),
    told(b"ACQ:DATA:FORMAT BIN"),
]
ABORT = told(b"ACQ:STOP", b"ACQ:TRig DISABLED")
TRIGGERED = asked(b"ACQ:TRig:STAT?", b"TD")
WAITING = asked(b"ACQ:TRig:STAT?", b"WAIT")
FULL = asked(b"ACQ:TRig:FILL?", b"1")
OPEN = [*GREET, ABORT, TRIGGERED]
CONFIGURE = [
    told(
        b"ACQ:RST",
        b"ACQ:DEC:Factor 8",
        b"ACQ:AVG ON",
        b"ACQ:DATA:Units RAW",
        b"ACQ:DATA:FORMAT BIN",
        b"ACQ:SOUR1:GAIN LV",
        b"ACQ:TRig:DLY 0",
    ),
    asked(b"ACQ:DEC:Factor?", b"8"),
    asked(b"ACQ:SOUR1:GAIN?", b"LV"),
    asked(b"ACQ:TRig:DLY?", b"0"),
]


def limits() -> DigitiserLimits:
    found = next(one.limits for one in MODELS if one.model.endswith("LV"))
    assert isinstance(found, DigitiserLimits)
    return found


def opened(*pairs: Pair) -> tuple[RedPitayaDigitiser, Script]:
    script = Script([*OPEN, *pairs])
    digitiser = RedPitayaDigitiser(
        "digitiser", limits=limits(), link=script.link(), clock=script.clock
    )
    digitiser.open()
    return digitiser, script


def test_driver_takes_a_record_with_the_bytes_of_the_guide() -> None:
    data = bytes.fromhex("0010 FFF0 0000 1FFF")
    digitiser, script = opened(
        *CONFIGURE,
        told(b"ACQ:START", b"ACQ:TRig NOW"),
        TRIGGERED,
        asked(b"ACQ:TRig:FILL?", b"0"),
        TRIGGERED,
        FULL,
        TRIGGERED,
        FULL,
        asked(b"ACQ:TPOS?", b"16383"),
        (b"ACQ:SOUR1:DATA:STArt:N? 16383,4\r\n" + ERROR, b"#18" + data + b"\r\n" + OK),
    )
    digitiser.configure(125e6 / 8, 4, 1.0)
    digitiser.arm(Trigger.IMMEDIATE)
    digitiser.wait(1.0)
    trace = digitiser.fetch()
    np.testing.assert_allclose(trace.volts[0], np.array([16, -16, 0, 8191]) / 8192, rtol=1e-6)
    assert trace.clipped == 1
    assert trace.step_v == 1 / 8192
    script.finish()


def test_driver_waits_for_the_line_and_is_armed_until_the_record_is_full() -> None:
    digitiser, script = opened(
        *CONFIGURE,
        told(b"ACQ:START", b"ACQ:TRig EXT_PE"),
        WAITING,
        TRIGGERED,
        asked(b"ACQ:TRig:FILL?", b"0"),
        WAITING,
    )
    digitiser.configure(125e6 / 8, 4, 1.0)
    digitiser.arm(Trigger.EXTERNAL)
    assert not digitiser.is_safe()
    assert not digitiser.is_safe()
    assert not digitiser.is_done()
    script.finish()


def test_trigger_is_put_ahead_when_the_record_is_longer_than_half_of_the_memory() -> None:
    orders, answer = CONFIGURE[0]
    digitiser, script = opened(
        (orders.replace(b"DLY 0", b"DLY 7824"), answer),
        *CONFIGURE[1:3],
        asked(b"ACQ:TRig:DLY?", b"7824"),
    )
    assert digitiser.configure(125e6 / 8, 16000, 1.0).samples == 16000
    script.finish()


@pytest.mark.parametrize(
    ("rate_hz", "nearest"),
    [
        (125e6 / 3, "31250000"),
        (125e6 / 9, "15625000"),
        (125e6 / 13, "7812500"),
        (1e6 + 7, "1000000"),
    ],
)
def test_rate_is_refused_with_the_nearest_when_the_board_has_it_not(
    rate_hz: float, nearest: str
) -> None:
    digitiser, script = opened(ABORT, TRIGGERED)
    with pytest.raises(LimitError, match=f"nearest is {nearest}"):
        digitiser.configure(rate_hz, 4, 1.0)
    script.finish()


def test_refused_setting_is_reported() -> None:
    orders, _ = CONFIGURE[0]
    digitiser, script = opened(
        (orders, b'-113,"Undefined header"\r\n'), (ERROR, OK), ABORT, TRIGGERED
    )
    with pytest.raises(RefusedError, match="-113 Undefined header"):
        digitiser.configure(125e6 / 8, 4, 1.0)
    script.finish()


def test_gain_is_garbled_when_it_is_neither_of_the_two() -> None:
    digitiser, _ = opened(
        *CONFIGURE[:2], asked(b"ACQ:SOUR1:GAIN?", b"MV"), CONFIGURE[3], ABORT, TRIGGERED
    )
    with pytest.raises(AnswerError, match="LV or HV"):
        digitiser.configure(125e6 / 8, 4, 1.0)


def test_format_is_set_again_when_the_link_was_opened_anew() -> None:
    lost = (WAITING[0], b"")
    digitiser, script = opened(
        *CONFIGURE, told(b"ACQ:START", b"ACQ:TRig EXT_PE"), lost, *GREET, lost
    )
    digitiser.configure(125e6 / 8, 4, 1.0)
    digitiser.arm(Trigger.EXTERNAL)
    with pytest.raises(LinkTimeoutError, match="digitiser"):
        digitiser.is_done()
    script.finish()


def test_models_have_the_range_of_their_jumper() -> None:
    found = {one.model.split()[-1]: one.limits for one in MODELS}
    assert {name: one.range_v.highest for name, one in found.items()} == {"LV": 1.0, "HV": 20.0}  # type: ignore[union-attr]


def test_record_begins_at_the_trigger_and_is_the_scenes_when_played_on_a_twin() -> None:
    """The same shot by the twin's unit: what is fetched is its record from the trigger on."""
    bench = SimulatedBench()
    twin: RedPitayaTwin = board(bench)
    part = bench.part("server", "return_digitiser")
    assert isinstance(part, DigitiserPart)
    link = loopback_link(twin, bench.clock)
    with RedPitayaDigitiser("digitiser", limits=limits(), link=link, clock=bench.clock) as one:
        one.configure(125e6 / 8, 9000, 1.0)
        one.arm(Trigger.EXTERNAL)
        assert part.unit.waits()
        assert part.unit.pre_trigger_s == pytest.approx((8192 - 824) / (125e6 / 8))
        before_s = bench.clock.now()
        source = bench.part("server", "weight_generator")
        assert isinstance(source, GeneratorPart)
        source.line.fire(source.unit)
        assert part.unit.record is not None
        expected = part.unit.record.volts[8192 - 824 :][:9000]
        one.wait(1.0)
        trace = one.fetch()
    np.testing.assert_allclose(trace.volts[0], np.clip(expected, -1, 1), atol=0.51 / 8192)
    assert bench.clock.now() - before_s >= 9000 / (125e6 / 8)


def test_both_kinds_share_a_board_and_its_link_when_one_triggers_the_other() -> None:
    bench = SimulatedBench()
    twin = board(bench)
    link = loopback_link(twin, bench.clock)
    found = OUTPUTS[0].limits
    assert isinstance(found, GeneratorLimits)
    digitiser = RedPitayaDigitiser("records", limits=limits(), link=link, clock=bench.clock)
    generator = RedPitayaGenerator("weights", limits=found, link=link, clock=bench.clock)
    with digitiser, generator:
        generator.set_sample_rate(125e6)
        generator.load(0, np.full(1000, 0.5, dtype=np.float32))
        generator.set_output(0, True)
        generator.arm(Trigger.SOFTWARE)
        digitiser.configure(125e6, 1200, 1.0)
        digitiser.arm(Trigger.EXTERNAL)
        assert not digitiser.is_done()
        generator.trigger()
        assert digitiser.is_done()
        assert digitiser.fetch().volts.shape == (1, 1200)
        assert twin.outputs[1].plays == 1
        digitiser.close()
        assert generator.output(0)
