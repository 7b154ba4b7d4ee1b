"""The driver of the Keysight 33600A: exact bytes of its dialogue, and what it does about faults."""

import numpy as np
import pytest

from drivers.dialects.keysight_33600a import Keysight33600ASettings, one_play
from drivers.errors import (
    AnswerError,
    ConfigurationError,
    InstrumentError,
    LimitError,
    LinkTimeoutError,
    ReadbackError,
    RefusedError,
    SafetyError,
)
from drivers.instruments import Trigger
from drivers.modulators.keysight_33600a import MODELS, Keysight33600A
from tests.wire.keysight_33600a import LIMITS
from tests.wire.scripted import Script

OK = b'+0,"No error"\n'
ASK = b";:SYST:ERR?\n"
IDENTITY = b"Agilent Technologies,33622A,MY0012345,3.05-1.19-2.00-58-00\n"
Pair = tuple[bytes, bytes]


def told(orders: bytes, answer: bytes = OK) -> Pair:
    return orders + ASK, answer


def asked(question: bytes, answer: bytes) -> Pair:
    return question + ASK, answer + b";" + OK


def greeting(channel: int = 1, load: bytes = b"50", answer: bytes = IDENTITY) -> list[Pair]:
    n = str(channel).encode()
    return [
        (b"*CLS\n", b""),
        (b"*IDN?\n", answer),
        told(
            b":OUTP" + n + b":LOAD " + load + b";:SOUR" + n + b":VOLT:UNIT VPP;"
            b":SOUR" + n + b":FUNC:ARB:FILT NORM"
        ),
        asked(b":SOUR" + n + b":FUNC:ARB:SRAT? MAX", b"+1.00000000000000E+09"),
    ]


def rest(offset: bytes = b"0", first: bytes = b"") -> list[Pair]:
    return [
        (first + b":SOUR1:FUNC DC;:SOUR1:VOLT:OFFS " + offset + b"\n", b""),
        (b":SYST:ERR?\n", OK),
        asked(b":SOUR1:FUNC?;:SOUR1:VOLT:OFFS?", b"DC;" + offset),
    ]


def state(function: bytes = b"DC", name: bytes = b'"vplay1"') -> Pair:
    return asked(b":SOUR1:FUNC?;:SOUR1:FUNC:ARB?", function + b";" + name)


OPEN = [
    *greeting(),
    told(b":OUTP1 OFF"),
    *rest(),
    state(),
    asked(b":OUTP1?", b"0"),
]
REST_LIST = b",".join([b"0"] * 32)
CLEAR = told(b":FORM:BORD SWAP;:SOUR1:DATA:VOL:CLE;:SOUR1:DATA:ARB:DAC vrest1," + REST_LIST)
CODES = bytes.fromhex("0000 0000FF7F00000180") + bytes(54)
"""The idle level, the points 0, 32767, 0, -32767 of the family's guide, the idle level."""
UPLOAD = [(b":SOUR1:DATA:ARB:DAC vplay1,#264" + CODES + b"\n", b""), (b":SYST:ERR?\n", OK)]
LOAD = [state(), *rest(), CLEAR, *UPLOAD]
RATE = asked(b":SOUR1:FUNC:ARB:SRAT?", b"+6.25000000000000E+08")


def arming(source: bytes = b"BUS", output: bytes = b"ON", delay: bytes = b"0") -> Pair:
    return told(
        b":SOUR1:FUNC:ARB vrest1;:SOUR1:VOLT:OFFS 0;:SOUR1:VOLT 2;:SOUR1:FUNC ARB;"
        b":SOUR1:VOLT:RANG:AUTO ONCE;:OUTP:TRIG " + output + b";:TRIG1:SOUR " + source + b";"
        b":TRIG1:SLOP POS;:TRIG1:DEL " + delay + b";:SOUR1:BURS:MODE TRIG;:SOUR1:BURS:NCYC 1;"
        b":SOUR1:BURS:PHAS 0;:SOUR1:BURS:STAT ON;:SOUR1:FUNC:ARB vplay1;"
        b":SOUR1:FUNC:ARB:SRAT 625000000"
    )


def confirmation(
    volts: bytes = b"+2.0000000000000E+00",
    offset: bytes = b"0",
    load: bytes = b"+5.00000000000000E+01",
    delay: bytes = b"0",
    burst: bytes = b"1",
) -> Pair:
    return asked(
        b":SOUR1:VOLT?;:SOUR1:VOLT:OFFS?;:OUTP1:LOAD?;:SOUR1:FUNC:ARB:SRAT?;:TRIG1:DEL?;"
        b":SOUR1:BURS:STAT?",
        b";".join([volts, offset, load, b"+6.25000000000000E+08", delay, burst]),
    )


ARM = [state(), RATE, arming(), confirmation(), state(b"ARB")]
SAFE = [
    told(b":OUTP1 OFF"),
    *rest(first=b":SOUR1:FUNC:ARB vrest1;"),
    state(b"DC", b'"vrest1"'),
    asked(b":OUTP1?", b"0"),
]
WAVE = np.array([0, 1, 0, -1], dtype=np.float32)


def driver(script: Script, load_ohm: float = 50.0, trigger_output: str = "TRIG") -> Keysight33600A:
    return Keysight33600A(
        "generator",
        limits=LIMITS,
        link=script.link(),
        clock=script.clock,
        settings=Keysight33600ASettings(load_ohm=load_ohm, trigger_output=trigger_output),
    )


def opened(*pairs: Pair, step: int = 0) -> tuple[Keysight33600A, Script]:
    script = Script([*OPEN, *pairs], step=step)
    generator = driver(script)
    generator.open()
    return generator, script


def test_driver_plays_one_waveform_with_the_bytes_of_the_guide() -> None:
    generator, script = opened(
        state(),
        told(b":SOUR1:FUNC:ARB:SRAT 625000000"),
        RATE,
        *LOAD,
        told(b":OUTP1 ON"),
        asked(b":OUTP1?", b"1"),
        *ARM,
        state(b"ARB"),
        told(b":TRIG1"),
        state(b"ARB"),
        step=3,
    )
    assert generator.identity.serial == "MY0012345"
    assert not generator.simulated
    generator.set_sample_rate(625e6)
    generator.load(0, WAVE)
    generator.set_output(0, True)
    generator.arm(Trigger.SOFTWARE)
    before_s = script.clock.now()
    generator.trigger()
    # 32 points at 625 MSa/s: it waits for so short a play.
    assert script.clock.now() - before_s == pytest.approx(32 / 625e6)
    assert not generator.is_armed()
    script.finish()


def test_driver_is_simulated_when_the_serial_number_is_a_twins() -> None:
    answer = IDENTITY.replace(b"MY0012345", b"SIM0012345")
    script = Script([*greeting(answer=answer), *OPEN[4:]])
    generator = driver(script)
    generator.open()
    assert generator.simulated


def test_driver_waits_for_the_line_when_armed_for_it() -> None:
    generator, script = opened(
        *LOAD,
        state(),
        RATE,
        arming(b"EXT", b"OFF", b"5e-05"),
        confirmation(delay=b"+5.00000000000000E-05"),
        *[state(b"ARB")] * 2,
    )
    generator.load(0, WAVE)
    generator.arm(Trigger.EXTERNAL, 50e-6)
    script.clock.sleep(100.0)
    assert generator.is_armed()
    script.finish()


@pytest.mark.parametrize("trigger", [Trigger.SOFTWARE, Trigger.EXTERNAL])
def test_driver_gives_its_pulse_on_the_sync_socket_when_told_so(trigger: Trigger) -> None:
    software = trigger is Trigger.SOFTWARE
    sync = b":OUTP:SYNC:SOUR CH1;:OUTP:SYNC ON;" if software else b""
    orders = arming(b"BUS" if software else b"EXT", b"OFF")[0]
    orders = orders.replace(b":OUTP:TRIG OFF;", b":OUTP:TRIG OFF;" + sync)
    script = Script([*OPEN, *LOAD, state(), RATE, (orders, OK), confirmation(), state(b"ARB")])
    generator = driver(script, trigger_output="SYNC")
    generator.open()
    generator.load(0, WAVE)
    generator.arm(trigger)
    script.finish()


def test_driver_counts_a_long_play_as_over_after_its_duration() -> None:
    slow = (RATE[0], RATE[1].replace(b"6.25000000000000E+08", b"1.00000000000000E+03"))
    sent, answer = confirmation()
    slowly = (sent, answer.replace(b"6.25000000000000E+08", b"1.00000000000000E+03"))
    arm = (arming()[0].replace(b"SRAT 625000000", b"SRAT 1000"), OK)
    generator, script = opened(
        *LOAD,
        state(),
        slow,
        arm,
        slowly,
        *[state(b"ARB")] * 2,
        told(b":TRIG1"),
        *[state(b"ARB")] * 2,
    )
    generator.load(0, WAVE)
    generator.arm(Trigger.SOFTWARE)
    generator.trigger()
    assert generator.is_armed()
    script.clock.sleep(32e-3)
    assert not generator.is_armed()
    script.finish()


def test_driver_loads_anew_when_the_idle_level_changed_after_loading() -> None:
    half = b"16384"
    codes = b"\x00\x40" + CODES[2:10] + b"\x00\x40" * 27
    generator, script = opened(
        *LOAD,
        state(),
        *rest(b"0.5", first=b":SOUR1:FUNC:ARB vrest1;"),
        state(),
        told(
            b":FORM:BORD SWAP;:SOUR1:DATA:VOL:CLE;:SOUR1:DATA:ARB:DAC vrest1,"
            + b",".join([half] * 32)
        ),
        (b":SOUR1:DATA:ARB:DAC vplay1,#264" + codes + b"\n", b""),
        (b":SYST:ERR?\n", OK),
        RATE,
        arming(),
        confirmation(),
        state(b"ARB"),
    )
    generator.load(0, WAVE)
    generator.set_idle(0, 0.5)
    generator.arm(Trigger.SOFTWARE)
    script.finish()


def test_driver_makes_room_when_idle_level_and_amplitude_are_too_much_together() -> None:
    script = Script(
        [
            *OPEN,
            state(),
            (
                b":SOUR1:FUNC DC;:SOUR1:VOLT:OFFS 0;:SOUR1:VOLT 0.01;:SOUR1:VOLT:OFFS 4.5\n",
                b"",
            ),
            (b":SYST:ERR?\n", OK),
            asked(b":SOUR1:FUNC?;:SOUR1:VOLT:OFFS?", b"DC;4.5"),
        ]
    )
    generator = Keysight33600A(
        "generator",
        limits=MODELS[-1].limits,  # type: ignore[arg-type]
        link=script.link(),
        clock=script.clock,
    )
    generator.open()
    generator.set_idle(0, 4.5)
    script.finish()


def test_driver_sets_the_load_that_the_settings_name() -> None:
    script = Script([*greeting(load=b"INF"), *OPEN[4:]])
    driver(script, load_ohm=float("inf")).open()
    script.finish()


@pytest.mark.parametrize("load_ohm", [0.0, -50.0, 20e3, float("nan")])
def test_settings_are_refused_when_the_load_is_out_of_range(load_ohm: float) -> None:
    with pytest.raises(ConfigurationError, match="load_ohm"):
        Keysight33600ASettings(load_ohm=load_ohm)


def test_driver_is_refused_when_the_load_takes_away_the_voltage() -> None:
    with pytest.raises(ConfigurationError, match=r"1\.0 V are allowed.*0\.909 V into 5\.0 ohm"):
        driver(Script([]), load_ohm=5.0)


def test_settings_are_refused_when_the_filter_is_unknown() -> None:
    with pytest.raises(ConfigurationError, match="NORM, STEP, OFF"):
        Keysight33600ASettings(filter="BESSEL")


def test_settings_are_refused_when_the_trigger_output_is_unknown() -> None:
    with pytest.raises(ConfigurationError, match="TRIG, SYNC"):
        Keysight33600ASettings(trigger_output="REAR")


def test_driver_is_at_rest_when_only_a_conflict_was_reported() -> None:
    generator, script = opened(
        state(),
        (b":SOUR1:FUNC DC;:SOUR1:VOLT:OFFS 0.25\n", b""),
        (b":SYST:ERR?\n", b'-221,"Settings conflict; burst turned off"\n'),
        (b":SYST:ERR?\n", OK),
        asked(b":SOUR1:FUNC?;:SOUR1:VOLT:OFFS?", b"DC;+2.50000000000000E-01"),
    )
    generator.set_idle(0, 0.25)
    script.finish()


@pytest.mark.parametrize("found", [b"ARB;+2.5E-01", b"DC;+2.4E-01", b"SIN;+1.0E-01"])
def test_driver_names_the_errors_when_the_rest_was_not_reached(found: bytes) -> None:
    generator, _ = opened(
        state(),
        (b":SOUR1:FUNC DC;:SOUR1:VOLT:OFFS 0.25\n", b""),
        (b":SYST:ERR?\n", b'-222,"Data out of range"\n'),
        (b":SYST:ERR?\n", OK),
        asked(b":SOUR1:FUNC?;:SOUR1:VOLT:OFFS?", found),
        *OPEN[4:-4],
        *rest(b"0.25"),
        *OPEN[-2:],
    )
    with pytest.raises(RefusedError, match="-222 Data out of range"):
        generator.set_idle(0, 0.25)


def test_driver_stops_at_the_instruments_own_limit_of_the_rate() -> None:
    script = Script(
        [
            *greeting()[:3],
            asked(b":SOUR1:FUNC:ARB:SRAT? MAX", b"+2.50000000000000E+08"),
            *OPEN[4:],
            state(),
            *OPEN[4:],
        ]
    )
    generator = driver(script)
    generator.open()
    with pytest.raises(LimitError, match="instrument's own limit of 250000000"):
        generator.set_sample_rate(625e6)
    script.finish()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"volts": b"4"}, "amplitude"),
        ({"offset": b"0.1"}, "offset"),
        ({"load": b"9.9E37"}, "load"),
        ({"delay": b"1E-6"}, "delay"),
        ({"burst": b"0"}, "burst"),
    ],
    ids=["amplitude", "offset", "load", "delay", "burst"],
)
def test_arming_is_found_out_when_it_was_not_applied(change: dict[str, bytes], named: str) -> None:
    generator, script = opened(*LOAD, state(), RATE, arming(), confirmation(**change), *SAFE)
    generator.load(0, WAVE)
    with pytest.raises(ReadbackError, match=named):
        generator.arm(Trigger.SOFTWARE)
    script.finish()


def test_refused_upload_is_reported_and_made_safe() -> None:
    refused = (b":SYST:ERR?\n", b'+786,"Specified arb waveform already exists"\n')
    generator, script = opened(
        state(),
        *rest(),
        CLEAR,
        UPLOAD[0],
        refused,
        (b":SYST:ERR?\n", OK),
        *OPEN[4:],
    )
    with pytest.raises(RefusedError, match="786 Specified arb waveform already exists"):
        generator.load(0, WAVE)
    script.finish()


def test_arming_is_refused_when_the_delay_is_beyond_the_instrument() -> None:
    generator, script = opened(*LOAD, state(), *SAFE)
    generator.load(0, WAVE)
    with pytest.raises(LimitError, match="1000"):
        generator.arm(Trigger.EXTERNAL, 1001.0)
    script.finish()


def test_stranger_is_refused_with_both_names() -> None:
    script = Script([*greeting(answer=b"RIGOL TECHNOLOGIES,DG4162,DG1,0\n")[:2]])
    with pytest.raises(InstrumentError, match=r"33600A.*RIGOL TECHNOLOGIES,DG4162"):
        driver(script).open()
    script.finish()


def test_garbage_is_shown_in_hexadecimal() -> None:
    garbage = (RATE[0], b"\xff\x00garbage\n")
    generator, script = opened(garbage, *greeting(), garbage)
    with pytest.raises(AnswerError, match="ff 00 67 61"):
        generator.sample_rate_hz()
    script.finish()


def test_order_is_not_repeated_when_there_is_no_answer() -> None:
    generator, script = opened(
        state(), *rest(), CLEAR, UPLOAD[0], (b":SYST:ERR?\n", b""), *greeting(), *OPEN[4:]
    )
    with pytest.raises(LinkTimeoutError, match="generator: load 4 samples"):
        generator.load(0, WAVE)
    script.finish()


def test_safe_state_is_not_reached_when_the_output_stays_on() -> None:
    script = Script([*OPEN[:-1], *[asked(b":OUTP1?", b"1"), state()] * 600])
    with pytest.raises(SafetyError, match="not the safe state"):
        driver(script).open()


@pytest.mark.parametrize("name", [b'"VPLAY1"', b'"INT:\\VPLAY1.ARB"', b"vplay1"])
def test_waveform_is_known_when_named_by_a_path(name: bytes) -> None:
    generator, _ = opened(state(b"ARB", name), state(b"ARB", b'"INT:\\OTHER.ARB"'))
    assert generator.is_armed()
    assert not generator.is_armed()


def test_codes_are_the_rounded_volts_when_the_waveform_is_long() -> None:
    """Against a slow reference; single precision may round half a code to either side."""
    volts = np.random.default_rng(3).uniform(-1, 1, 100_003).astype(np.float32)
    expected = [7, *(round(float(one) * 32767) for one in volts), 7]
    points = one_play(volts.copy(), full_v=1.0, idle_code=7)
    assert points.dtype == np.dtype("<i2")
    assert len(points) == len(expected)
    assert np.max(np.abs(points.astype(np.int32) - expected)) <= 1
    assert np.mean(points == expected) > 0.999


@pytest.mark.parametrize("full_v", [0.3, 1.0, 4.9])
def test_codes_stay_within_the_instruments_when_the_volts_are_at_full_scale(full_v: float) -> None:
    volts = np.array([full_v, -full_v], dtype=np.float32)
    points = one_play(volts, full_v=full_v, idle_code=0)
    assert points[:4].tolist() == [0, 32767, -32767, 0]


def test_models_have_the_rates_of_the_series() -> None:
    found = {one.model: (one.limits.sample_rate_hz.highest, one.channels) for one in MODELS}  # type: ignore[union-attr]
    assert found["Keysight 33622A"] == (1e9, 2)
    assert found["Keysight 33611A"] == (660e6, 1)
    assert found["Keysight 33522B"] == (250e6, 2)
    assert found["Keysight 33512B"] == (160e6, 2)
    assert all(one.limits.channels == 1 and not one.experimental for one in MODELS)  # type: ignore[union-attr]
