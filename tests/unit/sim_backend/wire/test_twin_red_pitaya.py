"""The twin of the Red Pitaya: raw bytes as the server's source and its maker's examples say."""

import numpy as np
import pytest

from drivers.instruments import Trigger
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import DigitiserPart, GeneratorPart
from sim_backend.wire.session import TwinPlace
from sim_backend.wire.twins.red_pitaya import MAKERS, RedPitayaTwin
from tests.wire.raw import rubbish

NO_ERROR = b'0,"No error"\r\n'


class Rig:
    """The server's board: OUT1 on the weight modulator, IN1 on the returned light."""

    def __init__(self, *, connected: bool = True) -> None:
        self.bench = SimulatedBench()
        signal = self.bench.part("server", "return_digitiser")
        output = self.bench.part("server", "weight_generator")
        assert isinstance(signal, DigitiserPart)
        assert isinstance(output, GeneratorPart)
        self.signal, self.output = signal.unit, output.unit
        self.line = output.line
        self.twin = RedPitayaTwin(
            clock=self.bench.clock,
            serial="SIM3",
            inputs={1: signal} if connected else {},
            outputs={1: output} if connected else {},
        )
        self.session = self.twin.session()

    def say(self, *lines: bytes) -> bytes:
        self.session.feed(b"".join(line + b"\r\n" for line in lines))
        return self.session.take()

    def error(self) -> bytes:
        return self.say(b"SYST:ERR:NEXT?")

    def ready(self) -> "Rig":
        self.say(
            b"ACQ:RST", b"ACQ:DEC:Factor 8", b"ACQ:DATA:FORMAT BIN", b"ACQ:DATA:Units RAW",
            b"ACQ:TRig:LEV 0", b"ACQ:TRig:DLY 0", b"ACQ:START",
        )  # fmt: skip
        return self

    def armed(self) -> "Rig":
        self.say(
            b"SOUR1:TRAC:DATA:DATA 0.25,1,-1,0.25", b"SOUR1:VOLT 0.5", b"SOUR1:FREQ:FIX 1000000",
            b"SOUR1:BURS:STAT BURST", b"SOUR1:BURS:NCYC 1", b"SOUR1:BURS:NOR 1",
            b"SOUR1:BURS:INITValue 0.1", b"SOUR1:BURS:LASTValue 0.2", b"SOUR1:TRig:SOUR EXT_PE",
            b"SOUR1:FUNC ARBITRARY", b"OUTPUT1:STATE ON", b"DIG:PIN:DIR OUT,DIO1_P",
        )  # fmt: skip
        return self


def test_twin_answers_the_dialogue_of_the_guide() -> None:
    rig = Rig().ready()
    assert rig.say(b"ACQ:TRig NOW") == b""
    assert rig.say(b"ACQ:TRig:STAT?") == b"TD\r\n"
    assert rig.say(b"ACQ:TRig:FILL?") == b"1\r\n"
    answer = rig.say(b"ACQ:SOUR1:DATA:Old:N? 4")
    assert answer[:3] == b"#18"
    assert answer[-2:] == b"\r\n"
    assert len(answer) == 3 + 8 + 2
    assert (
        rig.say(
            b"SOUR1:FUNC SINE", b"SOUR1:FREQ:FIX 1000", b"SOUR1:VOLT 0.5", b"OUTPUT1:STATE ON",
            b"SOUR1:TRig:INT",
        )
        == b""
    )  # fmt: skip
    assert rig.error() == NO_ERROR


def test_record_takes_the_time_of_its_samples() -> None:
    rig = Rig().ready()
    before_s = rig.bench.clock.now()
    rig.say(b"ACQ:TRig NOW")
    assert rig.bench.clock.now() - before_s >= 8192 * 8 / 125e6


def test_first_half_is_old_when_the_trigger_comes_right_after_the_start() -> None:
    rig = Rig().ready()
    rig.say(b"ACQ:TRig NOW")
    first = rig.twin.acquisition.buffers[1].copy()
    rig.say(b"ACQ:START", b"ACQ:TRig NOW")
    place = rig.twin.acquisition.trigger_place
    kept = (place + np.arange(8192, 16384)) % 16384
    new = (place + np.arange(8192)) % 16384
    again = rig.twin.acquisition.buffers[1]
    np.testing.assert_array_equal(again[kept], first[kept])
    assert np.mean(again[new] == first[new]) < 0.9


def test_codes_are_big_endian_first_and_little_endian_when_asked() -> None:
    rig = Rig().ready()
    rig.say(b"ACQ:TRig NOW")
    question = b"ACQ:SOUR1:DATA:STArt:N? 16380,8"
    big = np.frombuffer(rig.say(question)[4:-2], dtype=">i2")
    rig.say(b"ACQ:DATA:BYTE:ORDER LEND")
    little = np.frombuffer(rig.say(question)[4:-2], dtype="<i2")
    np.testing.assert_array_equal(big, little)
    buffer = rig.twin.acquisition.buffers[1]
    np.testing.assert_array_equal(big, np.concatenate([buffer[16380:], buffer[:4]]))
    assert rig.say(b"ACQ:SOUR1:DATA:STArt:End? 16380,3") == rig.say(question)


def test_text_and_volts_are_in_braces() -> None:
    rig = Rig().ready()
    rig.say(b"ACQ:TRig NOW", b"ACQ:DATA:FORMAT ASCII")
    code = int(rig.say(b"ACQ:SOUR1:DATA:STArt:N? 7,1").strip(b"{}\r\n"))
    rig.say(b"ACQ:DATA:Units VOLTS")
    volts = float(rig.say(b"ACQ:SOUR1:DATA:STArt:N? 7,1").strip(b"{}\r\n"))
    assert volts == pytest.approx(code / 8192, abs=1e-6)
    rig.say(b"ACQ:DATA:FORMAT BIN")
    assert np.frombuffer(rig.say(b"ACQ:SOUR1:DATA:STArt:N? 7,1")[3:-2], ">f4")[0] == code / 8192


@pytest.mark.parametrize(
    ("mode", "count"), [(b"PRE_TRIG", 11), (b"POST_TRIG", 11), (b"PRE_POST_TRIG", 21)]
)
def test_data_round_the_trigger_have_one_more(mode: bytes, count: int) -> None:
    rig = Rig().ready()
    rig.say(b"ACQ:TRig NOW")
    answer = rig.say(b"ACQ:SOUR1:DATA:TRig? 10," + mode)
    assert answer[2:4] == str(2 * count).encode()


def test_input_waits_for_the_line_and_its_source_goes_back() -> None:
    rig = Rig().ready()
    rig.say(b"ACQ:TRig EXT_PE")
    assert rig.say(b"ACQ:TRig:STAT?", b"ACQ:TRig:FILL?") == b"WAIT\r\n0\r\n"
    assert rig.signal.waits()
    assert rig.signal.pre_trigger_s == pytest.approx(8192 * 8 / 125e6)
    rig.line.fire(rig.output)
    assert rig.say(b"ACQ:TRig:STAT?", b"ACQ:TRig:FILL?") == b"TD\r\n1\r\n"
    assert not rig.signal.waits()


def test_input_that_was_not_started_does_not_wait() -> None:
    rig = Rig()
    rig.say(b"ACQ:RST", b"ACQ:TRig EXT_PE")
    assert not rig.signal.waits()


def test_stop_ends_the_waiting() -> None:
    rig = Rig().ready()
    rig.say(b"ACQ:TRig EXT_PE", b"ACQ:STOP", b"ACQ:TRig DISABLED")
    assert not rig.signal.waits()
    assert rig.say(b"ACQ:TRig:STAT?") == b"TD\r\n"


def test_unconnected_input_records_noise_about_an_offset() -> None:
    rig = Rig(connected=False).ready()
    rig.say(b"ACQ:TRig NOW")
    codes = rig.twin.acquisition.buffers[2]
    # 8192 of 16384 are new: mean 20 and deviation 8 codes of those; failure below 1e-9.
    new = codes[(rig.twin.acquisition.trigger_place + np.arange(8192)) % 16384]
    assert abs(new.mean() - 20) < 7 * 8 / 8192**0.5
    assert 7 < new.std() < 9


def test_burst_plays_its_table_once_on_the_line() -> None:
    rig = Rig().armed()
    assert rig.error() == NO_ERROR
    assert rig.output.idle_v == [0.1]
    np.testing.assert_allclose(rig.output.waveforms[0], [0.125, 0.5, -0.5, 0.125])
    assert rig.output.sample_rate_hz == 4e6
    assert rig.output.waits()
    rig.say(b"SOUR1:TRig:INT")
    assert rig.twin.outputs[1].plays == 0


def test_pin_plays_all_that_wait_when_it_rises() -> None:
    rig = Rig().armed()
    tap = rig.bench.part("client", "tap_digitiser")
    assert isinstance(tap, DigitiserPart)
    tap.unit.armed = Trigger.EXTERNAL
    rig.say(b"DIG:PIN DIO1_P,1")
    assert rig.twin.outputs[1].plays == 1
    assert tap.unit.record is not None
    assert rig.output.idle_v == [0.2]
    rig.say(b"DIG:PIN DIO1_P,1")
    assert rig.twin.outputs[1].plays == 1
    rig.say(b"DIG:PIN DIO1_P,0", b"DIG:PIN DIO1_P,1")
    assert rig.twin.outputs[1].plays == 2


@pytest.mark.parametrize("pin", [b"DIO2_P", b"LED1", b"DIO0_P"])
def test_pin_that_is_no_output_fires_nothing(pin: bytes) -> None:
    rig = Rig().armed()
    if pin != b"DIO2_P":
        rig.say(b"DIG:PIN:DIR OUT," + pin)
    rig.say(b"DIG:PIN " + pin + b",1")
    assert rig.twin.outputs[1].plays == 0


def test_own_output_triggers_the_inputs_when_they_wait_for_it() -> None:
    rig = Rig().armed().ready()
    rig.say(b"SOUR1:TRig:SOUR INT", b"ACQ:TRig AWG_PE")
    assert not rig.signal.waits()
    rig.say(b"SOUR1:TRig:INT")
    assert rig.say(b"ACQ:TRig:STAT?", b"ACQ:TRig:FILL?") == b"TD\r\n1\r\n"


def test_direct_voltage_is_there_when_it_was_started() -> None:
    rig = Rig()
    rig.say(b"SOUR1:VOLT 0", b"SOUR1:FUNC DC", b"SOUR1:VOLT:OFFS 0.3", b"OUTPUT1:STATE ON")
    assert rig.output.idle_v == [0.0]
    rig.say(b"SOUR1:TRig:INT")
    assert rig.output.idle_v == [pytest.approx(0.3)]


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"*idn?", b"REDPITAYA,INSTR2025,SIM3,01-21\r\n"),
        (b"SYST:BRD:Name?", b"STEMlab 125-14 v1.0\r\n"),
        (b"acq:dec 1024;:acq:dec?", b"1024\r\n"),
        (b"ACQ:DEC:FACTOR 17;FACTOR?", b"17\r\n"),
        (b"ACQ:AVG OFF;AVG?", b"OFF\r\n"),
        (b"ACQ:SOUR2:GAIN HV;GAIN?", b"HV\r\n"),
        (b"ACQ:TRIG:LEV 0.5;LEV?;HYST?", b"0.5;0.005\r\n"),
        (b"ACQ:TRIG:DLY:NS 64;:ACQ:TRIG:DLY?", b"8\r\n"),
        (b"ACQ:BUF:SIZE?", b"16384\r\n"),
        (b"SOUR2:FUNC?;VOLT?;FREQ:FIX?", b"SINE;0.8;1000\r\n"),
        (b"SOUR1:TRAC:DATA:DATA 0.5,-2;DATA?", b"{0.500000,-1.000000}\r\n"),
        (b"SOUR1:VOLT -0.5;VOLT?", b"-0.5\r\n"),
        (b"OUTPUT2:STATE ON;STATE?", b"ON\r\n"),
        (b"DIG:PIN LED1,1;:DIG:PIN? LED1;PIN:DIR? DIO3_N", b"1;IN\r\n"),
        (b"ACQ:DATA:BYTE:ORDER?;:ACQ:DATA:FORMAT?;Units?", b"BEND;ASCII;VOLTS\r\n"),
    ],
)
def test_twin_understands_foreign_spellings(sent: bytes, answer: bytes) -> None:
    assert Rig().say(sent) == answer


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        (b"ACQ:DEC:Factor 3", b"9506"),
        (b"ACQ:DEC 17", b"9506"),
        (b"ACQ:SOUR3:GAIN LV", b"9500"),
        (b"ACQ:DATA:FORMAT HEX", b"-200"),
        (b"SOUR1:VOLT 1.1", b"9506"),
        (b"SOUR1:VOLT 0.6;VOLT:OFFS 0.5", b"9506"),
        (b"SOUR1:FREQ:FIX 63E6", b"9506"),
        (b"SOUR1:BURS:INT:PER 5E6", b"9506"),
        (b"SOUR1:NOISE 1", b"-113"),
        (b"ACQ:TRig", b"8891"),
        (b"SOUR1:TRAC:DATA:DATA " + b"0," * 16384 + b"0", b"9506"),
    ],
    ids=lambda value: value[:20].decode() if isinstance(value, bytes) else str(value),
)
def test_twin_reports_errors_by_their_numbers(sent: bytes, number: bytes) -> None:
    rig = Rig()
    assert rig.say(sent) == b""
    assert rig.say(b"*STB?") == b"4\r\n"
    assert rig.error().startswith(number + b",")


def test_missing_parameter_is_reported_twice() -> None:
    rig = Rig()
    rig.say(b"ACQ:TRig")
    assert rig.error().startswith(b"8891,")
    assert rig.error().startswith(b"-109,")
    assert rig.error() == NO_ERROR


def test_failed_query_is_silent_until_told_otherwise() -> None:
    rig = Rig()
    assert rig.say(b"ACQ:SOUR3:GAIN?") == b""
    rig.bench.clock.sleep(100.0)
    assert rig.session.take() == b""
    assert rig.say(b"RP:RET_ON_ERROR ON", b"ACQ:SOUR3:GAIN?") == b"\r\n"


def test_lone_line_feed_does_not_end_a_command() -> None:
    rig = Rig()
    rig.session.feed(b"*IDN?\n")
    assert rig.session.take() == b""
    rig.session.feed(b"*STB?\r")
    assert rig.session.take() == b""
    rig.session.feed(b"\n")
    assert rig.session.take() == b"REDPITAYA,INSTR2025,SIM3,01-21\r\n0\r\n"


def test_format_and_errors_belong_to_a_connection_but_units_to_the_board() -> None:
    rig = Rig()
    rig.say(b"ACQ:DATA:FORMAT BIN", b"ACQ:DATA:Units RAW", b"NONSENSE")
    rig.session = rig.twin.session()
    assert rig.say(b"ACQ:DATA:FORMAT?", b"ACQ:DATA:Units?") == b"ASCII\r\nRAW\r\n"
    assert rig.error() == NO_ERROR


def test_maker_takes_an_input_and_an_output_of_one_number() -> None:
    bench = SimulatedBench()
    both = (bench.part("server", "return_digitiser"), bench.part("server", "weight_generator"))
    for make in MAKERS.values():
        twin = make(TwinPlace(clock=bench.clock, serial="SIM1", parts={1: both}))
        assert isinstance(twin, RedPitayaTwin)
        assert set(twin.acquisition.parts) == {1}
        assert twin.outputs[1].part is both[1]


def test_twin_survives_random_and_mutated_input() -> None:
    rig = Rig(connected=False)
    good = [
        b"ACQ:START\r\nACQ:TRig NOW\r\n", b"ACQ:SOUR1:DATA:STArt:N? 10,20\r\n", b"*STB?\r\n",
        b"ACQ:SOUR1:DATA:TRig? 10,POST_TRIG\r\n", b"SOUR1:TRAC:DATA:DATA 0.5,1,nan\r\n",
        b"SOUR1:FUNC ARBITRARY;BURS:STAT BURST\r\n", b"SOUR:TRig:INT\r\n", b"ACQ:TRig:DLY 1E9\r\n",
        b"DIG:PIN:DIR OUT,DIO1_P\r\nDIG:PIN DIO1_P,1\r\n", b"ACQ:DEC:Factor 65536\r\n",
        b"SOUR1:FREQ:FIX 0\r\n", b"ACQ:SOUR1:DATA? #15abcde\r\n", b"RP:RET_ON_ERROR ON\r\n",
    ]  # fmt: skip
    for message in rubbish(good, 10_000, seed=125):
        rig.session.feed(message)
        rig.session.take()
    rig.session = rig.twin.session()
    assert rig.say(b"*STB?") == b"0\r\n"
