"""The twin of the Thorlabs MBX in its exact bytes."""

import pytest

from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import BiasPart
from sim_backend.wire.session import Session
from sim_backend.wire.twins.thorlabs_mbx import ThorlabsMBXTwin
from tests.wire.raw import rubbish


def lit() -> tuple[SimulatedBench, BiasPart, Session]:
    bench = SimulatedBench()
    bench.scene.server_laser.set_emission(True)
    bench.clock.sleep(10.0)
    part = bench.part("server", "weight_bias")
    assert isinstance(part, BiasPart)
    return bench, part, ThorlabsMBXTwin(clock=bench.clock, bias=part).session()


def said(session: Session, text: bytes) -> bytes:
    session.feed(text)
    return session.take()


def test_twin_holds_the_worked_dialogue() -> None:
    bench, _, session = lit()
    assert said(session, b"MZM:MODE: 7\r") == b""
    assert said(session, b"MZM:MODE?\r") == b"7\r"
    assert said(session, b"MZM:RESET\r") == b"1\r"
    assert said(session, b"MZM:CALIBRATING?\r") == b"1\r"
    bench.clock.sleep(30.0)
    assert said(session, b"MZM:CALIBRATING?\r") == b"0\r"
    assert said(session, b"MZM:MODE: 3\r") == b""
    assert said(session, b"MZM:SETPOINT?\r") == b"0\r"
    bench.clock.sleep(3.0)
    assert said(session, b"MZM:SETPOINT?\r") == b"1\r"
    assert said(session, b"VOA:MODE: 0\r") == b"1\r"
    assert said(session, b"VOA:ATTEN: 6.5\r") == b""
    assert said(session, b"VOA:ATTEN?\r") == b"6.5\r"


def test_twin_darkens_the_modulator_when_it_locks_to_the_null() -> None:
    bench, part, session = lit()
    said(session, b"MZM:MODE: 1\r")
    bench.clock.sleep(3.0)
    bright_w = part.tap_power_w()
    said(session, b"MZM:MODE: 2\r")
    bench.clock.sleep(3.0)
    assert part.tap_power_w() < 0.01 * bright_w
    assert float(said(session, b"MZM:TAP:MW?\r")) == pytest.approx(
        part.tap_power_w() * 1e3, rel=1e-5
    )


def test_twin_takes_millivolts_and_says_volts() -> None:
    _, part, session = lit()
    said(session, b"MZM:HOLD:VOLTAGE: 5420\r")
    assert part.voltage_v == 0.0
    said(session, b"MZM:MODE: 7\r")
    assert part.voltage_v == 5.42
    assert said(session, b"MZM:HOLD:VOLTAGE?\r") == b"5420\r"
    assert float(said(session, b"MZM:VOLTAGE?\r")) == 5.42
    said(session, b"MZM:MODE: 0\r")
    assert part.voltage_v == 0.0


@pytest.mark.parametrize(
    "text",
    [
        b"MZM:HOLD:VOLTAGE: 10001\r",
        b"MZM:HOLD:VOLTAGE: 1.5\r",
        b"MZM:HOLD:VOLTAGE:5\r",
        b"MZM:MODE: 10\r",
        b"FOO?\r",
        b"\r",
    ],
)
def test_twin_is_silent_and_unmoved_when_it_does_not_understand(text: bytes) -> None:
    _, part, session = lit()
    said(session, b"MZM:MODE: 7\rMZM:HOLD:VOLTAGE: 1000\r")
    assert said(session, text) == b""
    assert part.voltage_v == 1.0
    assert said(session, b"MZM:MODE?\r") == b"7\r"


def test_twin_answers_commands_that_come_in_pieces() -> None:
    _, _, session = lit()
    for byte in b"RGB:RED: 40\rRGB:RED?\r":
        session.feed(bytes([byte]))
    assert session.take() == b"40\r"


def test_twin_survives_ten_thousand_random_and_damaged_inputs() -> None:
    _, _, session = lit()
    good = [b"MZM:MODE: 3\r", b"MZM:VOLTAGE?\r", b"VOA:MODE: 0\r", b"VOA:ATTEN: 6.5\r"]
    for message in rubbish(good, 10_000, seed=5):
        session.feed(message)
    session.take()
    session.feed(b"\rMZM:MODE: 7\rMZM:MODE?\r")
    assert session.take().endswith(b"7\r")
