"""The driver of the Keysight M8195A: exact bytes of its dialogue, and plays into the scene."""

import numpy as np
import pytest

from drivers.errors import (
    ConfigurationError,
    InstrumentError,
    LimitError,
    ReadbackError,
    RefusedError,
)
from drivers.instruments import GeneratorLimits, Trigger
from drivers.modulators.keysight_m8195a import MODELS, KeysightM8195A, KeysightM8195ASettings
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import DigitiserPart, GeneratorPart
from sim_backend.wire.twins.keysight_m8195a import KeysightM8195ATwin
from tests.wire.rigs import loopback_link
from tests.wire.scripted import Script

OK = b'0,"No error"\n'
ASK = b";:SYST:ERR?\n"
Pair = tuple[bytes, bytes]


def told(orders: bytes, answer: bytes = OK) -> Pair:
    return orders + ASK, answer


def asked(question: bytes, answer: bytes) -> Pair:
    return question + ASK, answer + b";" + OK


GREET = [
    (b"*CLS\n", b""),
    (b"*IDN?\n", b"Keysight Technologies,M8195A,DE12345678,4.0.0.0-2\n"),
]
MODE = [
    told(b":ABOR;:INST:DACM FOUR;:INST:MEM:EXT:RDIV DIV4;:TRAC1:MMOD EXT;:TRAC4:MMOD EXT"),
    asked(b"*OPC?", b"1"),
]


def rest(code: bytes = b"0") -> Pair:
    return told(
        b":ABOR;:TRAC1:DEL:ALL;:TRAC4:DEL:ALL;:TRAC1:DEF 1,1280," + code + b";:TRAC4:DEF 1,1280,0;"
        b":TRAC1:SEL 1;:TRAC4:SEL 1;:VOLT1:AMPL 1;:VOLT1:OFFS 0;:FUNC1:MODE ARB;"
        b":INIT:CONT1 ON;:INIT:IMM"
    )


SAFE = [
    told(b":OUTP1 OFF"),
    told(b":OUTP4 OFF"),
    rest(),
    asked(b":TRAC1:SEL?", b"1"),
    asked(b":OUTP1?", b"0"),
]
OPEN = [*GREET, *SAFE[:2], *MODE, *SAFE[2:]]
RESTING = asked(b":TRAC1:SEL?", b"1")
PLAYING = asked(b":TRAC1:SEL?", b"2")
WAVE = np.array([0.5, -0.5, 0.25], dtype=np.float32)
POINTS = b"\x00\x7f\x81\x40" + bytes(1276)
"""The idle level, 127, -127, 64 (63.5 to the even number), the idle level."""


def upload(points: bytes = POINTS) -> list[Pair]:
    return [
        told(b":ABOR;:TRAC1:DEF 2,1280;:TRAC4:DEF 2,1280,0"),
        (b":TRAC1:DATA 2,0,#41280" + points + b"\n", b""),
        (b":SYST:ERR?\n", OK),
        (b":TRAC4:DATA 2,0,#41024" + b"\x7f" * 1024 + b"\n", b""),
        (b":SYST:ERR?\n", OK),
        told(b":INIT:IMM"),
    ]


LOAD = [RESTING, rest(), *upload()]
RATE = asked(b":FREQ:RAST?", b"6.50000000000000E+10")


def arming(output: bytes = b"ON") -> Pair:
    return told(
        b":ABOR;:TRAC1:SEL 2;:TRAC4:SEL 2;:INIT:CONT1 OFF;:INIT:GATE1 OFF;:ARM:TRIG:SLOP POS;"
        b":ARM:TRIG:LEV 0.5;:OUTP4 " + output + b";:INIT:IMM"
    )


AMPLITUDE = asked(b":VOLT1:AMPL?", b"1.000000E+00")


def limits() -> GeneratorLimits:
    found = MODELS[0].limits
    assert isinstance(found, GeneratorLimits)
    return found


def opened(*pairs: Pair) -> tuple[KeysightM8195A, Script]:
    script = Script([*OPEN, *pairs])
    generator = KeysightM8195A("generator", limits=limits(), link=script.link(), clock=script.clock)
    generator.open()
    return generator, script


def test_driver_plays_one_segment_with_the_bytes_of_the_guide() -> None:
    generator, script = opened(
        RESTING,
        told(b":ABOR;:FREQ:RAST 65000000000"),
        asked(b"*OPC?", b"1"),
        rest(),
        RATE,
        *LOAD,
        told(b":OUTP1 ON"),
        asked(b":OUTP1?", b"1"),
        RESTING,
        RATE,
        arming(),
        AMPLITUDE,
        *[PLAYING] * 2,
        told(b":TRIG:BEG"),
        PLAYING,
    )
    generator.set_sample_rate(16.25e9)
    generator.load(0, WAVE)
    generator.set_output(0, True)
    generator.arm(Trigger.SOFTWARE)
    generator.trigger()
    assert not generator.is_armed()
    script.finish()


def test_driver_is_experimental() -> None:
    assert MODELS[0].experimental


def test_segments_are_made_anew_when_the_idle_level_changed_after_loading() -> None:
    points = b"\x40" + POINTS[1:4] + b"\x40" * 1276
    generator, script = opened(
        *LOAD,
        RESTING,
        rest(b"64"),
        RESTING,
        RATE,
        rest(b"64"),
        *upload(points),
        arming(b"OFF"),
        AMPLITUDE,
        *[PLAYING] * 2,
    )
    generator.load(0, WAVE)
    generator.set_idle(0, 0.25)
    generator.arm(Trigger.EXTERNAL)
    script.clock.sleep(1e3)
    assert generator.is_armed()
    script.finish()


def test_arming_is_found_out_when_the_amplitude_is_another() -> None:
    generator, script = opened(
        *LOAD, RESTING, RATE, arming(), asked(b":VOLT1:AMPL?", b"5.0E-01"), *SAFE
    )
    generator.load(0, WAVE)
    with pytest.raises(ReadbackError, match="amplitude"):
        generator.arm(Trigger.SOFTWARE)
    script.finish()


def test_arming_is_refused_when_the_delay_needs_too_much_memory() -> None:
    generator, script = opened(*LOAD, RESTING, RATE, *SAFE)
    generator.load(0, WAVE)
    with pytest.raises(LimitError, match="67108864 are allowed"):
        generator.arm(Trigger.EXTERNAL, 1.0)
    script.finish()


def test_refused_segment_is_reported() -> None:
    refused = told(b":ABOR;:TRAC1:DEF 2,1280;:TRAC4:DEF 2,1280,0", b'-222,"Data out of range"\n')
    generator, script = opened(RESTING, rest(), refused, (b":SYST:ERR?\n", OK), *SAFE)
    with pytest.raises(RefusedError, match="-222 Data out of range"):
        generator.load(0, WAVE)
    script.finish()


def test_stranger_is_refused_with_both_names() -> None:
    script = Script([GREET[0], (b"*IDN?\n", b"Keysight Technologies,M8190A,1,2\n")])
    generator = KeysightM8195A("generator", limits=limits(), link=script.link(), clock=script.clock)
    with pytest.raises(InstrumentError, match=r"M8195A.*M8190A"):
        generator.open()


def test_settings_are_refused_when_the_line_has_no_output_of_its_own() -> None:
    with pytest.raises(ConfigurationError, match="trigger_channel"):
        KeysightM8195ASettings(trigger_channel=5)
    with pytest.raises(ConfigurationError, match="trigger_level_v"):
        KeysightM8195ASettings(trigger_level_v=5.0)
    with pytest.raises(ConfigurationError, match="own output"):
        KeysightM8195A("x", limits=limits(), link=Script([]).link(), channel=4)


def test_scene_gets_the_volts_and_the_line_its_pulse_when_played_on_a_twin() -> None:
    bench = SimulatedBench()
    part, tap = bench.part("server", "weight_generator"), bench.part("client", "tap_digitiser")
    assert isinstance(part, GeneratorPart)
    assert isinstance(tap, DigitiserPart)
    twin = KeysightM8195ATwin(clock=bench.clock, serial="SIM1", parts={2: part})
    volts = np.random.default_rng(5).uniform(-0.5, 0.5, 600_000).astype(np.float32)
    generator = KeysightM8195A(
        "x", limits=limits(), link=loopback_link(twin, bench.clock), clock=bench.clock, channel=2
    )
    with generator:
        generator.set_sample_rate(15e9)
        generator.set_idle(0, 0.25)
        generator.load(0, volts)
        generator.set_output(0, True)
        assert part.unit.idle_v == [pytest.approx(0.25, abs=2.5e-3)]
        generator.arm(Trigger.EXTERNAL, 1e-8)
        assert part.unit.waits()
        assert part.unit.sample_rate_hz == 15e9
        np.testing.assert_allclose(part.unit.waveforms[0][151:600_151], volts, atol=0.51 / 254)
        generator.stop()
        assert not part.unit.waits()
        generator.load(0, volts[:5000])
        generator.arm(Trigger.SOFTWARE)
        tap.unit.armed = Trigger.EXTERNAL
        generator.trigger()
        assert tap.unit.record is not None
        assert twin.plays == 1
