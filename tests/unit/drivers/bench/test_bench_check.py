"""Looking at a bench: every instrument is tried, none emits, and each failure has a remedy."""

from itertools import count
from typing import Any

import pytest

from drivers.bench.check import Finding, check_bench
from drivers.instruments import DigitiserSettings
from tests.unit.drivers.bench.paper_bench import Paper, client_table, paper_bench, server_table


def _failed(paper: Paper, table: dict[str, Any] | None = None) -> list[Finding]:
    bench = paper_bench(server_table() if table is None else table, paper)
    findings = check_bench(bench)
    assert {finding.role for finding in findings} == set(bench.instruments)
    assert not any(instrument.is_open for instrument in bench.instruments.values())
    return [finding for finding in findings if not finding.passed]


@pytest.mark.parametrize("table", [server_table, client_table], ids=["server", "client"])
def test_check_bench_finds_nothing_and_emits_nothing_when_all_is_well(table: Any) -> None:
    paper = Paper()
    emitted: list[float] = []

    def look() -> None:
        roles = ("laser", "return_oscillator", "oscillator")
        emitted.extend(paper.lit(role) for role in roles if paper.lit(role) > 0)
        if paper.state.get(("amplifier", "pump")):
            emitted.append(1.0)
        if paper.state.get(("attenuator", "shutter")):
            emitted.append(2.0)

    paper.after_call = look
    assert _failed(paper, table()) == []
    assert emitted == []
    # It is a look, so it must have set something.
    assert any(call.endswith("._set_wavelength") for call in paper.calls)


def test_check_bench_goes_on_when_one_instrument_does_not_answer() -> None:
    (failed,) = _failed(Paper(fail={"attenuator._open"}))
    assert failed == Finding(
        role="attenuator",
        check="reachable",
        passed=False,
        found="attenuator: no answer to _open",
        remedy="check power, cable and instruments.attenuator.address; close other programs",
    )


def test_check_bench_shows_both_serial_numbers_when_another_instrument_answers() -> None:
    table = server_table()
    table["instruments"]["laser"]["serial"] = "42"
    (failed,) = _failed(Paper(), table)
    assert (failed.role, failed.check) == ("laser", "identity")
    assert "answers 'paper PaperLaser 1 0', but instruments.laser.serial is '42'" in failed.found
    assert failed.remedy.startswith("put the serial number that answered, or the right address")


def test_check_bench_names_the_safe_state_when_it_is_not_reached() -> None:
    (failed,) = _failed(Paper(stuck={"return_switch._select"}))
    assert (failed.role, failed.check) == ("return_switch", "safe state")
    assert failed.remedy == "switch it off by hand; do not use it until this passes"


def test_check_bench_names_the_limits_when_a_setting_is_not_applied() -> None:
    paper = Paper(stuck={"launch_power_meter._set_wavelength"})
    paper.state["launch_power_meter", "wavelength"] = 1e-6
    (failed,) = _failed(paper)
    assert (failed.role, failed.check) == ("launch_power_meter", "limits")
    assert "reads back as 1e-06 m" in failed.found


def test_check_bench_names_the_clock_when_the_rate_of_the_burst_cannot_be_had() -> None:
    table = server_table()
    table["frame"] = {"symbol_rate_hz": 200e6}
    failed = _failed(Paper(), table)
    assert [(f.role, f.check) for f in failed] == [
        ("weight_generator", "clock"),
        ("return_digitiser", "clock"),
    ]
    assert "sample rate 1600000000.0 Hz is outside the limits" in failed[0].found
    assert failed[0].remedy == "check the reference clock and its cable, or change the rate in " + (
        "[frame]"
    )


def test_check_bench_names_the_clock_when_the_digitiser_applies_another_rate() -> None:
    paper = Paper(stuck={"return_digitiser._configure"})
    paper.state["return_digitiser", "settings"] = DigitiserSettings(
        sample_rate_hz=1e6, samples=1, range_v=1.0
    )
    (failed,) = _failed(paper)
    assert (failed.role, failed.check) == ("return_digitiser", "clock")
    assert "reads back as 1000000.0 Hz" in failed.found


def test_check_bench_closes_the_instrument_when_it_is_interrupted() -> None:
    paper = Paper(error=KeyboardInterrupt, fail_once="laser._set_wavelength")
    bench = paper_bench(server_table(), paper)
    with pytest.raises(KeyboardInterrupt):
        check_bench(bench)
    assert not any(instrument.is_open for instrument in bench.instruments.values())


def test_check_bench_names_the_errors_that_an_instrument_reports() -> None:
    bench = paper_bench(server_table(), Paper())
    reported = ("-222 Data out of range", "-113 Undefined header")
    vars(bench.instruments["laser"])["_reported_errors"] = lambda: reported
    (failed,) = [finding for finding in check_bench(bench) if not finding.passed]
    assert (failed.role, failed.check) == ("laser", "errors")
    assert failed.found == "laser: reports -222 Data out of range; -113 Undefined header"
    assert failed.remedy.startswith("look at its display")


def test_check_bench_names_a_link_that_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = count()
    monkeypatch.setattr("drivers.bench.check.time.perf_counter", lambda: float(next(seconds)))
    failed = _failed(Paper())
    assert {finding.check for finding in failed} == {"link"}
    assert "takes 1 s; the limit is 0.5 s" in failed[0].found
