"""Readings of a running bench: what they say, their limits, and when they appear."""

import math
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from drivers.backend import Block
from drivers.bench.sections import DetectorSafety, LightPath, SafetySection
from drivers.errors import LimitError
from drivers.instruments import PowerMeter
from drivers.optics.bench_link import BenchLink
from tests.waveform_bench import WaveformBench, open_bench
from veilight.bench_session import BenchPair
from veilight.live_view import Reading, live_readings

INPUTS, ROWS, MODES = 64, 8, 64


@dataclass
class FakeBench:
    """What the readings ask a bench for."""

    instruments: dict[str, object] = field(default_factory=dict)
    detectors: dict[str, DetectorSafety] = field(default_factory=dict)

    @property
    def file(self) -> SimpleNamespace:
        safety = SafetySection(detectors=self.detectors, ceiling_fraction=0.25)
        return SimpleNamespace(content=SimpleNamespace(safety=safety))


def pair_of(server: FakeBench | None = None) -> BenchPair:
    return cast(BenchPair, SimpleNamespace(server=server or FakeBench(), client=FakeBench()))


@pytest.fixture(scope="module")
def bench() -> WaveformBench:
    return open_bench(calibration_samples=1 << 20)


@pytest.fixture(scope="module")
def link(bench: WaveformBench) -> BenchLink:
    """A link after one block, whose records both ends have."""
    generator = torch.Generator().manual_seed(5)
    data = torch.rand(INPUTS, MODES, generator=generator) + 0.1
    means = 2 * torch.randn(1, ROWS, MODES, generator=generator)
    block = Block(
        run=0, layer=0, tile=0, first_input=0, inputs=INPUTS, first_row=0, rows=ROWS, modes=MODES
    )
    found = bench.link
    found.client.load(block, data / data.norm(dim=1, keepdim=True))
    found.server.send(block, means)
    found.client.measure(block)
    found.server.collect_full(block, torch.zeros(INPUTS, ROWS, dtype=torch.bool))
    return found


@pytest.mark.parametrize(
    ("low", "high", "value", "limits", "state"),
    [
        (-math.inf, math.inf, 3.0, "", "ok"),
        (2.0, math.inf, 3.0, "at least 2", "ok"),
        (2.0, math.inf, 1.0, "at least 2", "LIMIT"),
        (-math.inf, 2.0, 3.0, "at most 2", "LIMIT"),
        (1.0, 2.0, 2.0, "1 to 2", "ok"),
        (-math.inf, math.inf, math.nan, "", "LIMIT"),
    ],
    ids=["free", "above", "below", "over", "edge", "nan"],
)
def test_reading_says_its_limits_and_whether_it_keeps_them(
    low: float, high: float, value: float, limits: str, state: str
) -> None:
    reading = Reading(
        party="server", name="clearance", value=value, unit="dB", lowest=low, highest=high
    )
    assert reading.cells == ("server", "clearance", f"{value:.4g} dB", limits, state)
    assert replace(reading, unit="1").cells[2] == f"{value:.4g}"


def test_readings_of_a_record_are_within_limits_when_the_bench_is_as_calibrated(
    link: BenchLink,
) -> None:
    readings = {(one.party, one.name): one for one in live_readings(link, pair_of())}
    assert {party for party, _ in readings} == {"server", "client"}
    assert [one.cells for one in readings.values() if not one.within] == []
    for party in ("server", "client"):
        assert readings[party, "shot noise / calibrated"].value == pytest.approx(1, abs=0.1)
        assert readings[party, "gain / calibrated"].value == pytest.approx(1, abs=0.1)
        assert readings[party, "linewidth"].value > 0
    assert ("server", "excess noise in P") in readings
    assert ("client", "excess noise in P") not in readings


@pytest.mark.parametrize(
    ("party", "name"), [("server", "shot noise / calibrated"), ("client", "gain / calibrated")]
)
def test_reading_is_marked_when_it_left_its_calibration(
    link: BenchLink, party: str, name: str
) -> None:
    settings = link.settings
    changed = replace(
        settings,
        server=replace(settings.server, shot_noise_v2=2 * settings.server.shot_noise_v2),
        client=replace(settings.client, signal_gain=2 * settings.client.signal_gain),
    )
    other = SimpleNamespace(settings=changed, server=link.server, client=link.client)
    marked = [one for one in live_readings(cast(BenchLink, other), pair_of()) if not one.within]
    assert [(one.party, one.name) for one in marked if (one.party, one.name) == (party, name)]
    assert next(one for one in marked if one.name == name).value == pytest.approx(0.5, abs=0.05)


def test_readings_are_of_power_alone_before_there_is_a_record(
    bench: WaveformBench, link: BenchLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = SimpleNamespace(last=None)
    before = cast(BenchLink, SimpleNamespace(settings=link.settings, server=none, client=none))
    assert live_readings(before, pair_of()) == ()
    meter = bench.bench.power_meter("server", "launch_power_meter")
    meter.open()
    monkeypatch.setattr(meter, "power_w", lambda: 3e-3)
    light = (LightPath(source="laser", loss_db=0.0),)
    detectors = {"launch_power_meter": DetectorSafety(damage_w=10e-3, light=light)}
    server = FakeBench({"launch_power_meter": meter, "laser": object()}, detectors)
    (reading,) = live_readings(before, pair_of(server))
    assert reading.cells == ("server", "launch power meter", "0.003 W", "at most 0.0025", "LIMIT")
    (free,) = live_readings(before, pair_of(FakeBench({"launch_power_meter": meter})))
    assert free.within


def test_reading_of_a_meter_beyond_its_range_is_marked(
    bench: WaveformBench, link: BenchLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = SimpleNamespace(last=None)
    before = cast(BenchLink, SimpleNamespace(settings=link.settings, server=none, client=none))

    def too_much(meter: PowerMeter) -> float:
        raise LimitError("beyond the range")

    meter = bench.bench.power_meter("client", "oscillator_power_meter")
    monkeypatch.setattr(PowerMeter, "power_w", too_much)
    (reading,) = live_readings(before, pair_of(FakeBench({"meter": meter})))
    assert math.isnan(reading.value)
    assert reading.cells[-1] == "LIMIT"
