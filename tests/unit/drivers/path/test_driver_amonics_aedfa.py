"""The driver of the Amonics AEDFA in its exact bytes."""

import pytest

from drivers.dialects.gain_table import GainTable
from drivers.errors import (
    AnswerError,
    ConfigurationError,
    InstrumentError,
    LimitError,
    LinkTimeoutError,
    ReadbackError,
    SafetyError,
)
from drivers.instruments import AmplifierLimits, Range
from drivers.path.amonics_aedfa import AEDFASettings, AmonicsAEDFA
from tests.wire.scripted import Script, ScriptedLine

Pair = tuple[bytes, bytes]


def query(path: str, answer: str) -> Pair:
    return f"{path}?\r\n".encode(), f"{answer}\r\n".encode()


def put(path: str, value: str) -> Pair:
    return f"{path} {value}\r\n".encode(), b""


def number(value: float) -> str:
    return f"{value:e}"


IDENTITY = [
    query(":CAL:SYS:MODEL", "AEDFA-PA-30-B-FA"),
    query(":CAL:SYS:SERIAL", "A123"),
]
RANGES = [
    query(":READ:CH:POW:IN", number(1)),
    query(":READ:DRIV:UNIT:ACC:CH1", "mA"),
    query(":READ:DRIV:MIN:ACC:CH1", number(0)),
    query(":READ:DRIV:MAX:ACC:CH1", number(400)),
    query(":READ:DRIV:STEP:ACC:CH1", number(1)),
]
GREETING = [*IDENTITY, query(":READ:MODE:NAMES", "ACC"), *RANGES]
SAFE = [
    put(":DRIV:MCTRL", "0"),
    query(":DRIV:MCTRL", "0"),
    put(":DRIV:ACC:STAT:CH1", "0"),
    query(":DRIV:ACC:STAT:CH1", "0"),
    query(":DRIV:MCTRL", "0"),
]
OFF = query(":DRIV:MCTRL", "0")
TABLE = GainTable.parse("100 mA = 0 dB, 200 mA = 10 dB, 300 mA = 15 dB, 500 mA = 17 dB")
SEED = query(":SENS:POW:IN:CH1", number(0.5))
READS_150 = query(":DRIV:ACC:CUR:CH1", number(150))
STARTS = [
    OFF,
    READS_150,
    put(":MODE:SW:CH1", "ACC"),
    put(":DRIV:ACC:CUR:CH1", "0"),
    put(":DRIV:ACC:STAT:CH1", "1"),
    query(":DRIV:ACC:STAT:CH1", "1"),
]
RAMP = [put(":DRIV:ACC:CUR:CH1", str(current)) for current in range(15, 151, 15)]
READS_ON = [query(":DRIV:MCTRL", "1"), query(":DRIV:ACC:STAT:CH1", "1")]


def driver_of(script: Script) -> AmonicsAEDFA:
    limits = AmplifierLimits(
        gain_db=Range(lowest=0.0, highest=17.0), seed_power_w=Range(lowest=1e-6, highest=1e-3)
    )
    return AmonicsAEDFA(
        "amplifier", limits=limits, link=script.link(), clock=script.clock, table=TABLE
    )


def opened(*pairs: Pair) -> tuple[ScriptedLine, AmonicsAEDFA]:
    script = ScriptedLine([*GREETING, *SAFE, *pairs])
    driver = driver_of(script)
    driver.open()
    return script, driver


def test_open_asks_who_it_is_and_switches_the_master_off_first() -> None:
    script = ScriptedLine([*GREETING, *SAFE])
    assert driver_of(script).open().text == "Amonics AEDFA-PA-30-B-FA A123 "
    script.finish()


def test_messages_are_fifty_milliseconds_apart() -> None:
    script, driver = opened(*[query(":SENS:POW:OUT:CH1", number(1))] * 20)
    begin_s = script.clock.now()
    for _ in range(20):
        driver.output_power_w()
    assert script.clock.now() - begin_s >= 19 * 0.05


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({0: query(":CAL:SYS:MODEL", "K8000")}, "Amonics EDFA was expected, 'Amonics,K8000'"),
        ({2: query(":READ:MODE:NAMES", "APC")}, r"modes 'APC'; constant current \(ACC\) is needed"),
        ({3: query(":READ:CH:POW:IN", number(0))}, "has no monitor of its input power"),
        ({4: query(":READ:DRIV:UNIT:ACC:CH1", "mW")}, "its current is in 'mW'"),
    ],
    ids=["stranger", "mode", "monitor", "unit"],
)
def test_open_is_refused_when_the_amplifier_does_not_suit(
    changed: dict[int, Pair], message: str
) -> None:
    greeting = [changed.get(place, pair) for place, pair in enumerate(GREETING)]
    with pytest.raises(InstrumentError, match=message):
        driver_of(ScriptedLine(greeting[: max(max(changed) + 1, 2)])).open()


def test_gain_is_set_by_the_table_and_reads_back_from_the_current() -> None:
    script, driver = opened(OFF, OFF, put(":DRIV:ACC:CUR:CH1", "150"), READS_150)
    driver.set_gain_db(5.0)
    script.finish()


def test_gain_is_set_in_amperes_when_that_is_the_unit() -> None:
    amperes = [
        query(":READ:DRIV:UNIT:ACC:CH1", "A"),
        query(":READ:DRIV:MIN:ACC:CH1", number(0)),
        query(":READ:DRIV:MAX:ACC:CH1", number(0.4)),
        query(":READ:DRIV:STEP:ACC:CH1", number(0.001)),
    ]
    script = ScriptedLine(
        [
            *GREETING[:4],
            *amperes,
            *SAFE,
            OFF,
            OFF,
            put(":DRIV:ACC:CUR:CH1", "0.15"),
            query(":DRIV:ACC:CUR:CH1", number(0.15)),
        ]
    )
    driver = driver_of(script)
    driver.open()
    driver.set_gain_db(5.0)
    script.finish()


def test_gain_that_the_amplifier_cannot_reach_is_refused() -> None:
    _, driver = opened(OFF, OFF, *SAFE)
    with pytest.raises(LimitError, match=r"16\.5 dB needs 450 mA .* own limits are 0 to 400 mA"):
        driver.set_gain_db(16.5)


def test_gain_that_is_not_taken_is_found_out() -> None:
    _, driver = opened(
        OFF,
        OFF,
        put(":DRIV:ACC:CUR:CH1", "150"),
        query(":DRIV:ACC:CUR:CH1", number(90)),
        *SAFE,
    )
    with pytest.raises(ReadbackError, match=r"gain was set to 5\.0 dB but reads back as -1"):
        driver.set_gain_db(5.0)


def test_pump_goes_on_in_order_and_the_current_is_raised_in_steps() -> None:
    script, driver = opened(
        SEED,
        *STARTS,
        SEED,
        put(":DRIV:MCTRL", "1"),
        query(":DRIV:MCTRL", "2"),
        query(":DRIV:MCTRL", "2"),
        query(":DRIV:MCTRL", "1"),
        query(":DRIV:ACC:CUR:CH1", number(0)),
        *RAMP,
        *READS_ON,
    )
    driver.set_pump(True)
    script.finish()


def test_pump_is_left_alone_when_it_is_on() -> None:
    script, driver = opened(SEED, *READS_ON, *READS_ON)
    driver.set_pump(True)
    script.finish()


def test_pump_is_not_ordered_when_the_seed_goes_at_the_last_moment() -> None:
    script, driver = opened(SEED, *STARTS, query(":SENS:POW:IN:CH1", number(1e-5)), *SAFE)
    with pytest.raises(SafetyError, match=r"the seed power is 1e-08 W, pumping needs 1e-06"):
        driver.set_pump(True)
    script.finish()


def test_order_to_switch_is_given_again_when_it_was_not_heard() -> None:
    deaf = [OFF] * 9
    script, driver = opened(
        SEED,
        *STARTS,
        SEED,
        put(":DRIV:MCTRL", "1"),
        *deaf,
        put(":DRIV:MCTRL", "1"),
        query(":DRIV:MCTRL", "1"),
        query(":DRIV:ACC:CUR:CH1", number(0)),
        *RAMP,
        *READS_ON,
    )
    driver.set_pump(True)
    script.finish()


def test_locked_stage_is_named() -> None:
    locked = [*STARTS[:-1], query(":DRIV:ACC:STAT:CH1", "4")]
    off = [*SAFE[:3], query(":DRIV:ACC:STAT:CH1", "4"), SAFE[4]]
    script, driver = opened(SEED, *locked, *off)
    with pytest.raises(InstrumentError, match="is locked, its interlock was opened; find out why"):
        driver.set_pump(True)
    script.finish()


def test_pump_counts_as_off_when_the_stage_is_locked_behind_the_master() -> None:
    script, driver = opened(query(":DRIV:MCTRL", "1"), query(":DRIV:ACC:STAT:CH1", "4"))
    assert not driver.pump()
    script.finish()


def test_mode_is_asked_for_when_there_are_several() -> None:
    several = [*IDENTITY, query(":READ:MODE:NAMES", "APC,ACC"), *RANGES]
    script = ScriptedLine([*several, *SAFE, SEED, *STARTS[:3], query(":MODE:SW:CH1", "APC"), *SAFE])
    driver = driver_of(script)
    driver.open()
    with pytest.raises(InstrumentError, match="stays in mode 'APC' after the order ACC"):
        driver.set_pump(True)
    script.finish()


def test_powers_are_in_watts() -> None:
    script, driver = opened(SEED, query(":SENS:POW:OUT:CH1", "1.230000e+01"))
    assert driver.seed_power_w() == pytest.approx(0.5e-3)
    assert driver.output_power_w() == pytest.approx(12.3e-3)
    script.finish()


@pytest.mark.parametrize("answer", [b"\r\n", b"x\r\n", b"nan\r\n", b"\xff\xfe\r\n"])
def test_garbage_is_shown_and_named_when_it_is_answered(answer: bytes) -> None:
    wrong = (b":SENS:POW:OUT:CH1?\r\n", answer)
    _, driver = opened(wrong, *GREETING, wrong)
    with pytest.raises(
        AnswerError, match=r"amplifier: output power\?: .*(got [0-9a-f]{2}|nothing)"
    ):
        driver.output_power_w()


def test_state_that_does_not_exist_is_refused() -> None:
    wrong = query(":DRIV:MCTRL", "3")
    _, driver = opened(wrong, *GREETING, wrong)
    with pytest.raises(AnswerError, match=r"expected one of \(0, 1, 2, 4\)"):
        driver.pump()


def test_open_says_that_nothing_answers() -> None:
    with pytest.raises(LinkTimeoutError, match="amplifier: open: script: no complete answer"):
        driver_of(ScriptedLine([(b":CAL:SYS:MODEL?\r\n", b"")] * 2)).open()


def test_table_goes_through_its_points_and_on_beyond_them() -> None:
    assert TABLE.current_ma(0.0) == 100
    assert TABLE.current_ma(12.5) == pytest.approx(250)
    assert TABLE.gain_db(200.0) == pytest.approx(10)
    assert TABLE.gain_db(0.0) == pytest.approx(-10)
    assert TABLE.gain_db(700.0) == pytest.approx(19)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "gain_table is missing"),
        ("60 mA = 0 dB", "at least two points"),
        ("60 mA = 0 dB, 50 mA = 3 dB", "the currents in the table of gains must rise"),
        ("60 mA = 3 dB, 70 mA = 3 dB", "the gains in the table of gains must rise"),
        ("60 = 3, 70 mA = 4 dB", "'60 = 3' is not of the form"),
    ],
)
def test_table_is_refused_when_it_is_none(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        _ = AEDFASettings(gain_table=text).table
