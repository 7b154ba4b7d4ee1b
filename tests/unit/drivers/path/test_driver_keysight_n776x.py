"""The driver of the Keysight N776x attenuators: the bytes that it sends and understands."""

import re

import pytest

from drivers.errors import (
    AnswerError,
    ConfigurationError,
    InstrumentError,
    ReadbackError,
    RefusedError,
)
from drivers.instruments import AttenuatorLimits, Range
from drivers.path.keysight_n776x import MODELS, KeysightN776x, N776xSettings
from tests.wire.built import from_bench_file
from tests.wire.scripted import Script

LIMITS = AttenuatorLimits(attenuation_db=Range(lowest=0.0, highest=45.0))
NONE = b'+0,"No error"\n'
ERR = b";:SYST:ERR?\n"
IDLE = (b":SLOT1:OPC?" + ERR, b"1;" + NONE)
BUSY = (b":SLOT1:OPC?" + ERR, b"0;" + NONE)
HELLO = [
    (b"*CLS\n", b""),
    (b"*IDN?\n", b"Keysight Technologies,N7764A,DE1,1.22\n"),
    (b":INP1:WAV 1.55E-06;:INP1:ATT:SPE 80" + ERR, NONE),
]
IS_SHUT = (b":OUTP1?" + ERR, b"0;" + NONE)


def attenuate(db: bytes) -> tuple[bytes, bytes]:
    return (b":OUTP1:POW:CONTR OFF;:INP1:OFFS 0;:INP1:ATT " + db + ERR, NONE)


def shows(db: bytes, offset: bytes = b"+0.00000000E+000") -> tuple[bytes, bytes]:
    return (b":INP1:ATT?;:INP1:OFFS?" + ERR, db + b";" + offset + b";" + NONE)


SAFE = [
    (b":OUTP1 OFF" + ERR, NONE),
    IDLE,
    attenuate(b"45"),
    shows(b"+4.50000000E+001"),
    IS_SHUT,
]


def opened(*pairs: tuple[bytes, bytes]) -> tuple[Script, KeysightN776x]:
    script = Script([*HELLO, *SAFE, *pairs])
    attenuator = KeysightN776x("voa", limits=LIMITS, link=script.link(), clock=script.clock)
    attenuator.open()
    return script, attenuator


def test_open_shuts_and_goes_to_the_darkest() -> None:
    script, attenuator = opened()
    assert attenuator.identity.model == "N7764A"
    script.finish()


def test_dialogue_of_the_sheet_sets_attenuation_and_opens() -> None:
    script, attenuator = opened(
        attenuate(b"10"),
        BUSY,
        IDLE,
        shows(b"+1.00000000E+001"),
        (b":OUTP1 ON" + ERR, NONE),
        BUSY,
        IDLE,
        (b":OUTP1?" + ERR, b"1;" + NONE),
    )
    attenuator.set_attenuation_db(10.0)
    attenuator.set_shutter(True)
    script.finish()


def test_open_goes_on_when_something_else_is_pending_while_the_shutter_closes() -> None:
    busy = [BUSY] * 101
    script = Script([*HELLO, SAFE[0], *busy, *SAFE[2:]])
    attenuator = KeysightN776x("voa", limits=LIMITS, link=script.link(), clock=script.clock)
    attenuator.open()
    script.finish()


def test_attenuation_is_that_of_the_filter_when_somebody_set_an_offset() -> None:
    script, attenuator = opened(shows(b"14", b"-3"))
    assert attenuator.attenuation_db() == 17.0
    script.finish()


def test_set_shuts_when_the_box_refuses() -> None:
    script, attenuator = opened(
        (attenuate(b"40")[0], b'-222,"Data out of range (StatParmTooLarge)"\n'),
        (b":SYST:ERR?\n", NONE),
        *SAFE,
    )
    with pytest.raises(RefusedError, match=r"-222 Data out of range \(StatParmTooLarge\)"):
        attenuator.set_attenuation_db(40.0)
    script.finish()


def test_set_shuts_when_another_value_is_read_back() -> None:
    script, attenuator = opened(attenuate(b"10"), IDLE, shows(b"12"), *SAFE)
    with pytest.raises(ReadbackError, match=r"set to 10\.0 dB but reads back as 12\.0 dB"):
        attenuator.set_attenuation_db(10.0)
    script.finish()


@pytest.mark.parametrize("answer", [b"ten;0;", b"10;", b"10;0;0;"])
def test_attenuation_is_refused_when_the_answer_is_no_pair_of_numbers(answer: bytes) -> None:
    _, attenuator = opened((b":INP1:ATT?;:INP1:OFFS?" + ERR, answer + NONE))
    with pytest.raises(AnswerError, match=f"got {answer[:2].hex(' ')}"):
        attenuator.attenuation_db()


def test_open_shows_both_names_when_another_instrument_answers() -> None:
    script = Script([HELLO[0], (b"*IDN?\n", b"Agilent Technologies,N7714A,DE1,1.2\n")])
    attenuator = KeysightN776x("voa", limits=LIMITS, link=script.link(), clock=script.clock)
    with pytest.raises(InstrumentError, match=re.escape("64)A was expected")) as raised:
        attenuator.open()
    assert "Agilent Technologies,N7714A" in str(raised.value)


@pytest.mark.parametrize("settings", [{"wavelength_m": 850e-9}, {"speed_db_per_s": 100.0}])
def test_settings_are_refused_when_out_of_range(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        N776xSettings(**settings)


@pytest.mark.parametrize(
    ("name", "slots"),
    [
        ("Keysight N7751A", {1}),
        ("Keysight N7752A", {1, 3}),
        ("Keysight N7764A", {1, 3, 5, 7}),
        ("Keysight N7752A power meter", {5, 6}),
    ],
)
def test_model_takes_only_the_slots_of_its_kind(name: str, slots: set[int]) -> None:
    model = next(model for model in MODELS if model.model == name)
    for slot in range(1, 10):
        if slot in slots:
            from_bench_file(model, channel=slot)
        else:
            with pytest.raises(ConfigurationError, match=f"channel is {slot}"):
                from_bench_file(model, channel=slot)
