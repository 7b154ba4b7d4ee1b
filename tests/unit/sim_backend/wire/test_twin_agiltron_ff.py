"""The twin of the Agiltron FF switches in its exact bytes."""

import pytest

from sim_backend.instruments import SimulatedBench
from sim_backend.wire.session import Session
from sim_backend.wire.twins.agiltron_ff import AgiltronFFTwin
from tests.wire.raw import rubbish


def lit(model: str = "FF1x4", output: int = 1) -> tuple[SimulatedBench, Session]:
    bench = SimulatedBench()
    twin = AgiltronFFTwin(
        model=model, clock=bench.clock, switch=bench.scene.client_switch, lit=output
    )
    return bench, twin.session()


def said(bench: SimulatedBench, session: Session, data: str) -> bytes:
    session.feed(bytes.fromhex(data))
    bench.clock.sleep(0.01)
    return session.take()


def test_twin_echoes_a_set_and_tells_its_output() -> None:
    bench, session = lit()
    assert said(bench, session, "01 11 00 00") == bytes.fromhex("01 11 00 01")
    assert said(bench, session, "01 12 00 03") == bytes.fromhex("01 12 00 03")
    assert bench.scene.client_switch.selected() == "blocked"
    assert said(bench, session, "01 11 00 00") == bytes.fromhex("01 11 00 03")
    said(bench, session, "01 12 00 01")
    assert bench.scene.client_switch.selected() == "light"


def test_twin_lets_the_light_on_at_the_output_that_it_is_told() -> None:
    bench, session = lit("FF1x8", 8)
    assert bench.scene.client_switch.selected() == "blocked"
    said(bench, session, "01 12 00 08")
    assert bench.scene.client_switch.selected() == "light"


def test_twin_answers_after_milliseconds() -> None:
    bench, session = lit()
    session.feed(bytes.fromhex("01 11 00 00"))
    bench.clock.sleep(0.004)
    assert session.take() == b""
    bench.clock.sleep(0.006)
    assert session.take() != b""


@pytest.mark.parametrize("data", ["01 12 00 00", "01 12 00 05", "01 13 00 01", "02 12 00 01"])
def test_twin_is_silent_and_unmoved_when_it_does_not_understand(data: str) -> None:
    bench, session = lit()
    assert said(bench, session, data) == b""
    assert said(bench, session, "01 11 00 00") == bytes.fromhex("01 11 00 01")


def test_twin_takes_packets_in_pieces_and_forgets_a_broken_one() -> None:
    bench, session = lit()
    said(bench, session, "01 12")
    assert said(bench, session, "00 02") == bytes.fromhex("01 12 00 02")
    said(bench, session, "01 12")
    bench.clock.sleep(1.0)
    assert said(bench, session, "01 11 00 00") == bytes.fromhex("01 11 00 02")


def test_twin_survives_ten_thousand_random_and_damaged_inputs() -> None:
    bench, session = lit()
    good = [bytes.fromhex("01 12 00 02"), bytes.fromhex("01 11 00 00")]
    answered = 0
    for message in rubbish(good, 10_000, seed=10):
        session.feed(message)
        # After half a second it forgets an order that is not whole.
        bench.clock.sleep(0.6)
        answered += bool(session.take())
    assert answered > 2000
    bench.clock.sleep(1.0)
    session.take()
    assert said(bench, session, "01 12 00 04") == bytes.fromhex("01 12 00 04")
