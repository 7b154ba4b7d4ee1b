"""The twin of the Thorlabs PM100 power meters in its exact bytes."""

import numpy as np
import pytest

from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import PowerPart
from sim_backend.wire.session import Session
from sim_backend.wire.twins.thorlabs_pm100 import ThorlabsPM100Twin
from tests.wire.raw import rubbish


def lit() -> tuple[SimulatedBench, PowerPart, ThorlabsPM100Twin, Session]:
    bench = SimulatedBench()
    bench.scene.server_laser.set_emission(True)
    bench.clock.sleep(10.0)
    part = bench.part("server", "launch_power_meter")
    assert isinstance(part, PowerPart)
    twin = ThorlabsPM100Twin(model="PM100D", clock=bench.clock, serial="SIM1", head=part)
    return bench, part, twin, twin.session()


def said(session: Session, text: bytes) -> bytes:
    session.feed(text)
    return session.take()


# The bias of the modulator drifts, and with it the light, by a percent in seconds.
def read(bench: SimulatedBench, session: Session, query: bytes = b"READ?\n") -> float:
    answer = said(session, query)
    bench.clock.sleep(0.5)
    return float(answer or session.take())


NO_ERROR = b'+0,"No error"\n'


def test_twin_holds_the_worked_dialogue() -> None:
    bench, part, _, session = lit()
    assert said(session, b"*IDN?\n") == b"Thorlabs,PM100D,SIM1,2.4.0\n"
    assert said(session, b"SYST:SENS:IDN?\n").count(b",") == 5
    assert said(session, b"SENS:CORR:WAV 1550\n") == b""
    assert said(session, b"SENS:CORR:WAV?\n") == b"1.550000E+03\n"
    said(session, b"SENS:POW:UNIT W\nSENS:POW:RANG:AUTO 1\nSENS:AVER:COUN 10\n")
    assert read(bench, session) == pytest.approx(part.read_w(0.1), rel=0.05)
    assert said(session, b"FOO\n") == b""
    assert said(session, b"SYST:ERR?\n") == b'-113,"Undefined header"\n'
    assert said(session, b"SYST:ERR?\n") == NO_ERROR


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (b"CORR:WAV 1310\nSENSE:CORR:WAV?\n", b"1.310000E+03\n"),
        (b":sens:corr:wav 1.31um\n:SENSe:CORRection:WAVelength?\n", b"1.310000E+03\n"),
        (b"SENS:CORR:WAV? MIN\n", b"8.000000E+02\n"),
        (b"SENS:CORR:WAV MAX\r\nSENS:CORR:WAV?\r\n", b"1.700000E+03\n"),
        (b"AVER:COUN 10\nAVER?\n", b"10\n"),
        (b"SYST:SENSOR:IDN?\n", b"S155C,12345,01-JAN-2020,1,18,289\n"),
        (b":SENSE:POW:RANGE 1e-3\n:SENSE:POW:RANGE?\n", b"2.000000E-03\n"),
        (b"SENS:POW:RANG? MAX\n", b"2.000000E-02\n"),
        (b"ABOR;:STAT:OPER?\n", b"0\n"),
        (b"CONF:POW;:CONF?\n", b"POW\n"),
        (b"INP:FILT 1\nINP:PDI:FILT:LPAS:STAT?\n", b"1\n"),
        (b"CORR 3\nSENS:CORR:LOSS?\n", b"3.000000E+00\n"),
        (b"CORR:BEAM 2.5\nCORR:BEAM?\n", b"2.500000E+00\n"),
        (b"FOO?\n*ESR?\n", b"32\n"),
    ],
)
def test_twin_takes_the_spellings_of_other_drivers(text: bytes, answer: bytes) -> None:
    _, _, _, session = lit()
    assert said(session, text) == answer


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"CONF POW\n", b"-113"),
        (b"AVER\n", b"-109"),
        (b"MEAS:POW\n", b"-113"),
        (b"SENS:CORR:WAV 1701\n", b"-222"),
        (b"SENS:AVER:COUN 0\n", b"-222"),
        (b"SENS:POW:UNIT V\n", b"-224"),
        (b"SENS:CORR:WAV red\n", b"-104"),
    ],
)
def test_twin_queues_an_error_and_does_not_answer(text: bytes, number: bytes) -> None:
    _, _, _, session = lit()
    assert said(session, text) == b""
    assert said(session, b"SYST:ERR?\n").startswith(number)
    assert said(session, b"SYST:ERR?\n") == NO_ERROR


def test_twin_answers_when_it_has_averaged() -> None:
    bench, _, _, session = lit()
    read(bench, session)  # the range is found by now
    said(session, b"SENS:AVER:COUN 1000\n")
    assert said(session, b"READ?\n") == b""
    bench.clock.sleep(0.29)
    assert session.take() == b""
    bench.clock.sleep(0.02)
    assert session.take().endswith(b"\n")


def test_twin_needs_longer_when_the_range_changes() -> None:
    bench, _, _, session = lit()
    said(session, b"SENS:POW:RANG MAX\nSENS:POW:RANG:AUTO 1\n")
    said(session, b"READ?\n")
    bench.clock.sleep(0.01)
    assert session.take() == b""
    bench.clock.sleep(0.5)
    assert session.take() != b""


def test_twin_reads_wrong_when_the_wavelength_is_wrong() -> None:
    bench, _, _, session = lit()
    right_w = read(bench, session)
    said(session, b"SENS:CORR:WAV 1310\n")
    assert read(bench, session, b"MEAS:POW?\n") == pytest.approx(right_w * 1550 / 1310, rel=0.05)


def test_twin_reads_its_mark_when_the_range_is_too_small() -> None:
    bench, _, _, session = lit()
    said(session, b"SENS:POW:RANG MIN\n")
    assert read(bench, session) == 9.9e37


def test_twin_leaks_the_unit_of_its_front_panel() -> None:
    bench, _, twin, session = lit()
    watts = read(bench, session)
    twin.press_unit_key()
    assert said(session, b"SENS:POW:UNIT?\n") == b"DBM\n"
    assert read(bench, session) == pytest.approx(10 * np.log10(watts / 1e-3), abs=0.2)


def test_twin_zeroes_in_the_dark() -> None:
    bench, part, _, session = lit()
    bench.scene.server_laser.set_emission(False)
    bench.clock.sleep(1.0)
    assert said(session, b"SENS:CORR:COLL:ZERO:INIT\n") == b""
    assert said(session, b"SENS:CORR:COLL:ZERO:STAT?\n") == b"1\n"
    bench.clock.sleep(1.1)
    assert said(session, b"SENS:CORR:COLL:ZERO:STAT?\n") == b"0\n"
    # The zero error of 5 pW is gone; six standard deviations of two readings are left.
    noise_w = part.head.settings.noise_w_per_sqrt_hz
    assert abs(part.read_w(1.0)) < 6 * noise_w


def test_twin_complains_when_it_is_asked_before_its_answer_was_read() -> None:
    bench, _, _, session = lit()
    session.feed(b"SENS:CORR:WAV?\n")
    session.feed(b"SENS:AVER:COUN?\n")
    assert session.take() == b"1.550000E+03\n"
    assert said(session, b"SYST:ERR?\n").startswith(b"-410")
    said(session, b"SENS:AVER:COUN 1000\nREAD?\n")
    assert said(session, b"*IDN?\n") == b""
    bench.clock.sleep(1.0)
    assert session.take() != b""


def test_twin_without_a_head_says_so() -> None:
    bench = SimulatedBench()
    twin = ThorlabsPM100Twin(
        model="PM100USB", clock=bench.clock, serial="SIM1", head=None, sensor=False
    )
    session = twin.session()
    assert said(session, b"SYST:SENS:IDN?\n").startswith(b"no sensor")
    assert said(session, b"READ?\n") == b""
    assert said(session, b"SYST:ERR?\n").startswith(b"-231")


def test_twin_survives_ten_thousand_random_and_damaged_inputs() -> None:
    bench, _, _, session = lit()
    good = [b"SENS:CORR:WAV 1550\n", b"READ?\n", b"SENS:POW:RANG? MAX\n", b"AVER:COUN 10\n"]
    for count, message in enumerate(rubbish(good, 10_000, seed=8)):
        session.feed(message)
        if count % 10 == 0:
            bench.clock.sleep(0.1)
            session.take()
    session.feed(b"\n\n")
    bench.clock.sleep(10.0)
    session.take()
    said(session, b"*CLS\n")
    assert said(session, b"SYST:ERR?\n") == NO_ERROR
