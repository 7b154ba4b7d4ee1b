"""What the safety of a bench does about an interlock that is open, or that cannot be asked."""

from collections.abc import Iterator

import pytest

from drivers.bench import Bench
from drivers.errors import LinkError, SafetyError
from drivers.instruments import Laser, OpticalAmplifier
from tests.unit.drivers.bench.paper_bench import Paper, client_table, paper_bench, server_table


@pytest.fixture
def paper() -> Paper:
    paper = Paper()
    paper.seen_w["oscillator_power_meter"] = lambda: paper.lit("return_oscillator") / 100
    paper.seen_w["amplifier"] = lambda: 1e-4
    return paper


@pytest.fixture
def server(paper: Paper) -> Iterator[Bench]:
    with paper_bench(server_table(), paper) as bench:
        yield bench


def answer(bench: Bench, role: str, closed: bool | None) -> None:
    vars(bench.instruments[role])["_get_interlock"] = lambda: closed


@pytest.mark.parametrize("closed", [True, None], ids=["closed", "cannot say"])
def test_bench_has_light_when_no_interlock_says_that_it_is_open(
    server: Bench, closed: bool | None
) -> None:
    answer(server, "laser", closed)
    assert server.get("laser", Laser).interlock_closed() is closed
    server.safety.rearm("operator")
    server.safety.switch_on_laser("laser", 1e-3)
    server.safety.check()


def test_arming_is_refused_as_long_as_an_interlock_is_open(server: Bench) -> None:
    answer(server, "return_oscillator", False)
    with pytest.raises(SafetyError, match="to arm the bench: refused, the interlock of return_osc"):
        server.safety.rearm("operator")
    assert server.safety.is_latched
    answer(server, "return_oscillator", True)
    server.safety.rearm("operator")
    assert not server.safety.is_latched


def test_step_latches_the_bench_when_an_interlock_has_opened(server: Bench, paper: Paper) -> None:
    server.safety.rearm("operator")
    answer(server, "laser", False)
    paper.calls.clear()
    with pytest.raises(SafetyError, match="the interlock of laser is open"):
        server.safety.switch_on_laser("laser", 1e-3)
    assert server.safety.is_latched
    assert "laser._set_power" not in paper.calls
    answer(server, "laser", True)
    with pytest.raises(SafetyError, match="latched in its safe state"):
        server.safety.switch_on_laser("laser", 1e-3)


def test_check_makes_everything_dark_when_an_interlock_opens(server: Bench, paper: Paper) -> None:
    server.safety.rearm("operator")
    server.safety.switch_on_laser("laser", 1e-3)
    answer(server, "return_oscillator", False)
    with pytest.raises(SafetyError, match="find out why, close it, then let an operator"):
        server.safety.check()
    assert server.safety.is_latched
    assert paper.lit("laser") == 0


def test_check_makes_everything_dark_when_an_interlock_cannot_be_read(
    server: Bench, paper: Paper
) -> None:
    def silent() -> bool:
        raise LinkError("the plug is out")

    server.safety.rearm("operator")
    server.safety.switch_on_laser("laser", 1e-3)
    vars(server.instruments["laser"])["_get_interlock"] = silent
    with pytest.raises(LinkError, match=r"laser: interlock\?: the plug is out; last good state"):
        server.safety.check()
    assert server.safety.is_latched
    assert paper.lit("laser") == 0


def test_pump_is_not_switched_on_when_the_amplifier_is_locked(paper: Paper) -> None:
    with paper_bench(client_table(), paper) as client:
        client.safety.rearm("operator")
        client.safety.open_switch("signal_switch", "signal")
        answer(client, "amplifier", False)
        with pytest.raises(SafetyError, match="the interlock of amplifier is open"):
            client.safety.switch_on_pump("amplifier", 3.0)
        assert not client.get("amplifier", OpticalAmplifier).pump()
        assert client.safety.is_latched
