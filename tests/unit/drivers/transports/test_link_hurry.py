"""A link in a hurry: short, once, and clean afterwards."""

import pytest

from drivers.errors import LinkTimeoutError
from drivers.transports.reader import line
from tests.wire.scripted import Script, ScriptedLine

LIMIT_S = 0.025


def nothing() -> None:
    return


def test_dead_link_costs_the_limit_once_when_there_is_a_hurry() -> None:
    # The order goes out each time: an instrument that is not heard may well hear.
    script = Script([(b"OFF\n", b"")] * 4)
    link = script.link(timeout_s=2.0)
    link.attach("laser", nothing)
    with link.urgent(LIMIT_S):
        for _ in range(3):
            with pytest.raises(LinkTimeoutError):
                link.order(b"OFF\n", line())
    assert script.clock.now() == pytest.approx(LIMIT_S)
    with link.urgent(LIMIT_S), pytest.raises(LinkTimeoutError, match="is left until there is more"):
        link.send(b"OFF\n")
    assert script.clock.now() == pytest.approx(LIMIT_S)
    script.finish()


def test_query_is_not_asked_again_when_there_is_a_hurry() -> None:
    script = Script([(b"ON?\n", b"")])
    link = script.link(timeout_s=2.0)
    link.attach("laser", nothing)
    with link.urgent(LIMIT_S), pytest.raises(LinkTimeoutError, match=r"within 0\.025 s"):
        link.ask(b"ON?\n", line())
    assert script.clock.now() == pytest.approx(LIMIT_S)
    script.finish()


def test_link_that_was_given_up_works_again_when_there_is_time() -> None:
    script = Script([(b"OFF\n", b""), (b"OFF\n", b"OK\n"), (b"OFF\n", b"OK\n")])
    link = script.link(timeout_s=2.0)
    link.attach("laser", nothing)
    with link.urgent(LIMIT_S), pytest.raises(LinkTimeoutError):
        link.order(b"OFF\n", line())
    assert link.order(b"OFF\n", line()) == b"OK"
    assert script.opened == 2
    with link.urgent(LIMIT_S):
        assert link.order(b"OFF\n", line()) == b"OK"
    script.finish()


def test_no_exchange_begins_after_the_limit_and_the_link_stays_clean() -> None:
    script = Script([(b"A\n", b"1\n"), (b"B\n", b"2\n")])
    link = script.link(timeout_s=2.0)
    link.attach("shutter", nothing)
    with link.urgent(LIMIT_S):
        link.order(b"A\n", line())
        script.clock.sleep(LIMIT_S)  # a filter moves
        with pytest.raises(LinkTimeoutError, match=r"is left until there is more time for it$"):
            link.order(b"B\n", line())
    assert link.order(b"B\n", line()) == b"2"
    assert script.opened == 1
    script.finish()


def test_exchanges_begin_after_the_limit_when_the_others_have_to_wait() -> None:
    script = Script([(b"A\n", b"1\n"), (b"B\n", b"2\n"), (b"C\n", b"")])
    link = script.link(timeout_s=2.0)
    link.attach("pump", nothing)
    with link.urgent(LIMIT_S, patient=True):
        link.order(b"A\n", line())
        script.clock.sleep(1.0)
        assert link.order(b"B\n", line()) == b"2"
        with pytest.raises(LinkTimeoutError, match=r"within 0\.025 s"):
            link.order(b"C\n", line())
    script.finish()


def test_serial_line_is_not_drained_when_there_is_no_time_for_it() -> None:
    script = ScriptedLine([(b"A\n", b""), (b"OFF\n", b""), (b"OFF\n", b"OK\n")])
    link = script.link(timeout_s=1.0)
    link.attach("laser", nothing)
    with pytest.raises(LinkTimeoutError):
        link.order(b"A\n", line())
    begin_s = script.clock.now()
    with link.urgent(LIMIT_S), pytest.raises(LinkTimeoutError, match="is left until"):
        link.order(b"OFF\n", line())
    assert script.clock.now() == begin_s
    assert link.order(b"OFF\n", line()) == b"OK"
    script.finish()


def test_cleaning_ends_with_the_limit_when_the_greeting_takes_longer() -> None:
    greeting = [(b"*IDN?\n", b"me\n"), (b"V?\n", b"1\n")]
    silent, answered = (b"OFF\n", b""), (b"OFF\n", b"OK\n")
    script = Script([(b"A\n", b""), greeting[0], silent, *greeting, answered])
    link = script.link(timeout_s=1.0)
    greeted: list[float] = []

    def greet() -> None:
        link.ask(b"*IDN?\n", line())
        script.clock.sleep(0.05)  # as between the zeros that bring a module into step
        greeted.append(script.clock.now())
        link.ask(b"V?\n", line())

    link.attach("laser", greet)
    with pytest.raises(LinkTimeoutError):
        link.order(b"A\n", line())
    with link.urgent(LIMIT_S), pytest.raises(LinkTimeoutError, match="is left until"):
        link.order(b"OFF\n", line())
    assert len(greeted) == 1
    assert link.order(b"OFF\n", line()) == b"OK"
    assert script.opened == 3
    script.finish()


def test_connecting_takes_no_longer_than_the_limit_when_the_cable_is_out() -> None:
    script = Script([(b"A\n", b"")])
    link = script.link(timeout_s=2.0)
    asked_s: list[float] = []
    link.attach("laser", nothing)
    with pytest.raises(LinkTimeoutError):
        link.order(b"A\n", line())

    def opener(timeout_s: float) -> Script:
        asked_s.append(timeout_s)
        raise LinkTimeoutError(f"no connection within {timeout_s} s")

    link._opener = opener
    with link.urgent(LIMIT_S):
        for _ in range(2):
            with pytest.raises(LinkTimeoutError):
                link.order(b"OFF\n", line())
    assert asked_s == [LIMIT_S]


def test_order_goes_out_once_when_only_its_answer_is_missing() -> None:
    script = Script([(b"A\n", b""), (b"OFF\n", b"")])
    link = script.link(timeout_s=2.0)
    link.attach("laser", nothing)
    with pytest.raises(LinkTimeoutError):
        link.order(b"A\n", line())
    with link.urgent(LIMIT_S), pytest.raises(LinkTimeoutError):
        link.order(b"OFF\n", line())
    script.finish()


def test_limit_grows_with_the_patience_for_emulators() -> None:
    script = Script([(b"OFF\n", b"")])
    link = script.link(timeout_s=2.0)
    link.patience = 20.0
    link.attach("laser", nothing)
    with link.urgent(LIMIT_S), pytest.raises(LinkTimeoutError, match=r"within 0\.5 s"):
        link.order(b"OFF\n", line())
    assert script.clock.now() == pytest.approx(0.5)
