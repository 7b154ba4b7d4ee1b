"""The outputs of a Red Pitaya: exact bytes of the dialogue, and plays into the scene."""

import numpy as np
import pytest

from drivers.errors import ConfigurationError, InstrumentError, LimitError, ReadbackError
from drivers.instruments import GeneratorLimits, Trigger
from drivers.modulators.red_pitaya import MODELS, RedPitayaGenerator, RedPitayaGeneratorSettings
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import DigitiserPart, GeneratorPart
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


def rest(volts: bytes = b"0") -> list[Pair]:
    return [
        told(
            b"SOUR1:VOLT 0",
            b"SOUR1:VOLT:OFFS 0",
            b"SOUR1:FUNC DC",
            b"SOUR1:BURS:STAT CONTINUOUS",
            b"SOUR1:TRig:SOUR INT",
            b"SOUR1:VOLT:OFFS " + volts,
            b"SOUR1:TRig:INT",
        ),
        asked(b"SOUR1:VOLT:OFFS?", volts),
    ]


GREET = [
    (b"*CLS\r\n", b""),
    asked(b"*IDN?", b"REDPITAYA,INSTR2025,,01-21"),
    asked(b"SYST:BRD:Name?", b"STEMlab 125-14 v1.0"),
]
DIRECT = asked(b"SOUR1:FUNC?", b"DC")
WAVEFORM = asked(b"SOUR1:FUNC?", b"ARBITRARY")
OPEN = [
    *GREET,
    told(b"OUTPUT1:STATE OFF"),
    *rest(),
    DIRECT,
    asked(b"OUTPUT1:STATE?", b"OFF"),
]
WAVE = np.array([0.5, -1.0, 0.25], dtype=np.float32)


def table(*values: float, lead: int = 0, idle: float = 0.0) -> Pair:
    numbers = [*[idle] * (1 + lead), *values]
    numbers += [idle] * (16384 - len(numbers))
    return told(b"SOUR1:TRAC:DATA:DATA " + ",".join(f"{one:.6f}" for one in numbers).encode())


RATE = asked(b"SOUR1:FREQ:FIX?", b"7629.39")
ARMING = told(
    b"SOUR1:VOLT 0",
    b"SOUR1:VOLT:OFFS 0",
    b"SOUR1:BURS:STAT BURST",
    b"SOUR1:BURS:NCYC 1",
    b"SOUR1:BURS:NOR 1",
    b"SOUR1:BURS:INITValue 0",
    b"SOUR1:BURS:LASTValue 0",
    b"SOUR1:TRig:SOUR EXT_PE",
    b"SOUR1:FUNC ARBITRARY",
    b"SOUR1:VOLT 1",
)
CONFIRM = [
    asked(b"SOUR1:VOLT?", b"1"),
    asked(b"SOUR1:VOLT:OFFS?", b"0"),
    asked(b"SOUR1:BURS:STAT?", b"BURST"),
]
LOAD = [DIRECT, *rest(), table(0.5, -1, 0.25)]


def limits() -> GeneratorLimits:
    found = MODELS[0].limits
    assert isinstance(found, GeneratorLimits)
    return found


def opened(*pairs: Pair) -> tuple[RedPitayaGenerator, Script]:
    script = Script([*OPEN, *pairs])
    generator = RedPitayaGenerator(
        "generator", limits=limits(), link=script.link(), clock=script.clock
    )
    generator.open()
    return generator, script


def test_driver_plays_one_table_by_its_pin() -> None:
    generator, script = opened(
        DIRECT,
        told(b"SOUR1:FREQ:FIX 7629.39453125"),
        RATE,
        *LOAD,
        told(b"OUTPUT1:STATE ON"),
        DIRECT,
        told(b"SOUR1:TRig:INT"),
        asked(b"OUTPUT1:STATE?", b"ON"),
        DIRECT,
        RATE,
        told(b"DIG:PIN:DIR OUT,DIO1_P", b"DIG:PIN DIO1_P,0"),
        ARMING,
        *CONFIRM,
        WAVEFORM,
        WAVEFORM,
        told(b"DIG:PIN DIO1_P,1", b"DIG:PIN DIO1_P,0"),
        WAVEFORM,
    )
    generator.set_sample_rate(125e6)
    generator.load(0, WAVE)
    generator.set_output(0, True)
    generator.arm(Trigger.SOFTWARE)
    generator.trigger()
    assert script.clock.now() == pytest.approx(16384 / 125e6, rel=1e-5)
    assert not generator.is_armed()
    script.finish()


def test_delay_is_made_of_samples_when_armed_for_the_line() -> None:
    generator, script = opened(
        *LOAD, DIRECT, RATE, table(0.5, -1, 0.25, lead=125), ARMING, *CONFIRM, WAVEFORM
    )
    generator.load(0, WAVE)
    generator.arm(Trigger.EXTERNAL, 1e-6)
    script.finish()


def test_arming_is_refused_when_delay_and_waveform_do_not_fit() -> None:
    generator, script = opened(*LOAD, DIRECT, RATE, *OPEN[3:])
    generator.load(0, WAVE)
    with pytest.raises(LimitError, match="16384 samples of the board"):
        generator.arm(Trigger.EXTERNAL, 16380 / 125e6)
    script.finish()


@pytest.mark.parametrize("index", [0, 1, 2], ids=["amplitude", "offset", "burst"])
def test_arming_is_found_out_when_it_was_not_applied(index: int) -> None:
    wrong = [b"0.5", b"0.1", b"CONTINUOUS"][index]
    question, _ = CONFIRM[index]
    confirm = [*CONFIRM[:index], (question, wrong + b"\r\n" + OK)]
    generator, script = opened(*LOAD, DIRECT, RATE, ARMING, *confirm, *OPEN[3:])
    generator.load(0, WAVE)
    with pytest.raises(ReadbackError, match="was set to"):
        generator.arm(Trigger.EXTERNAL)
    script.finish()


def test_rest_is_found_out_when_the_level_is_another() -> None:
    orders, check = rest(b"0.25")
    generator, _ = opened(
        DIRECT, orders, (check[0], b"0.2\r\n" + OK), told(b"OUTPUT1:STATE OFF"), *rest(b"0.25"),
        *OPEN[-2:],
    )  # fmt: skip
    with pytest.raises(ReadbackError, match="idle level"):
        generator.set_idle(0, 0.25)


def test_stranger_is_refused() -> None:
    script = Script([GREET[0], asked(b"*IDN?", b"ACME,X,1,2")])
    generator = RedPitayaGenerator(
        "generator", limits=limits(), link=script.link(), clock=script.clock
    )
    with pytest.raises(InstrumentError, match="ACME,X"):
        generator.open()


@pytest.mark.parametrize("pin", ["DIO0_P", "LED1", "", "DIO8_N"])
def test_settings_are_refused_when_the_pin_cannot_drive_the_line(pin: str) -> None:
    with pytest.raises(ConfigurationError, match="trigger_pin"):
        RedPitayaGeneratorSettings(trigger_pin=pin)


def test_scene_gets_the_volts_and_the_line_its_pulse_when_played_on_a_twin() -> None:
    bench = SimulatedBench()
    twin = board(bench)
    part, tap = bench.part("server", "weight_generator"), bench.part("client", "tap_digitiser")
    assert isinstance(part, GeneratorPart)
    assert isinstance(tap, DigitiserPart)
    volts = np.random.default_rng(5).uniform(-1, 1, 500).astype(np.float32)
    link = loopback_link(twin, bench.clock)
    with RedPitayaGenerator("weights", limits=limits(), link=link, clock=bench.clock) as generator:
        generator.set_sample_rate(125e6)
        generator.set_idle(0, 0.25)
        generator.load(0, volts)
        generator.set_output(0, True)
        assert part.unit.idle_v == [0.25]
        generator.arm(Trigger.SOFTWARE, 8e-7)
        np.testing.assert_allclose(part.unit.waveforms[0][101:601], volts, atol=1e-6)
        assert part.unit.waveforms[0].size == 16384
        assert part.unit.sample_rate_hz == 125e6
        assert (part.unit.waveforms[0][100], part.unit.waveforms[0][-1]) == (0.25, 0.25)
        assert part.unit.idle_v == [0.25]
        tap.unit.armed = Trigger.EXTERNAL
        generator.trigger()
        assert tap.unit.record is not None
        assert twin.outputs[1].plays == 1
        generator.stop()
        assert not part.unit.waits()
        assert part.unit.idle_v == [0.25]
