"""The twin of the Thorlabs OSW-E switches in its exact bytes."""

import pytest

from sim_backend.instruments import SimulatedBench
from sim_backend.wire.session import Session
from sim_backend.wire.twins.thorlabs_osw_e import ThorlabsOSWETwin
from tests.wire.raw import rubbish


def lit(state: int = 1) -> tuple[SimulatedBench, Session]:
    bench = SimulatedBench()
    twin = ThorlabsOSWETwin(
        model="OSW22-E", clock=bench.clock, switch=bench.scene.client_switch, lit=state
    )
    bench.clock.sleep(1.0)
    return bench, twin.session()


def said(session: Session, text: bytes) -> bytes:
    session.feed(text)
    return session.take()


def test_twin_holds_the_worked_dialogue() -> None:
    bench, session = lit()
    assert said(session, b"S 2\n") == b""
    bench.clock.sleep(0.3)
    assert said(session, b"S?\n") == b"2\r\n"
    assert bench.scene.client_switch.selected() == "blocked"
    assert said(session, b"S 1\r\n") == b""
    bench.clock.sleep(0.3)
    assert said(session, b"S?\r\n") == b"1\r\n"
    assert bench.scene.client_switch.selected() == "light"


def test_twin_tells_the_state_of_before_for_a_while() -> None:
    bench, session = lit()
    assert said(session, b"S 2\nS?\n") == b"1\r\n"
    bench.clock.sleep(0.11)
    assert said(session, b"S?\n") == b"2\r\n"


def test_twin_lets_the_light_on_in_the_state_that_it_is_told() -> None:
    bench, session = lit(state=2)
    assert bench.scene.client_switch.selected() == "blocked"
    said(session, b"S 2\n")
    bench.clock.sleep(0.1)
    assert bench.scene.client_switch.transmission() > 0.5


@pytest.mark.parametrize("query", [b"T?\n", b"I?\n"], ids=["board", "name"])
def test_twin_tells_texts_of_one_line(query: bytes) -> None:
    _, session = lit()
    answer = said(session, query)
    assert answer.endswith(b"\r\n")
    assert answer.count(b"\n") == 1
    assert len(answer) > 2


@pytest.mark.parametrize("text", [b"S 3\n", b"S2\n", b"s?\n", b"FOO\n", b"\n"])
def test_twin_is_silent_and_unmoved_when_it_does_not_understand(text: bytes) -> None:
    bench, session = lit()
    assert said(session, text) == b""
    bench.clock.sleep(0.3)
    assert said(session, b"S?\n") == b"1\r\n"


def test_twin_survives_ten_thousand_random_and_damaged_inputs() -> None:
    bench, session = lit()
    for message in rubbish([b"S 1\n", b"S?\n", b"I?\n", b"S 2\n"], 10_000, seed=6):
        session.feed(message)
    session.take()
    said(session, b"\nS 2\n")
    bench.clock.sleep(0.2)
    assert said(session, b"S?\n") == b"2\r\n"
