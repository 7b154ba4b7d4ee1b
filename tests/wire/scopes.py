"""Drivers of oscilloscopes on their twins, and what all of them have to record."""

from typing import TypeVar

import numpy as np
import pytest

from drivers.catalogue import DriverModel
from drivers.dialects.scope import Scope
from drivers.instruments import DigitiserLimits, Trigger
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import DigitiserPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.dialects.scope_twin import ScopeTwin
from sim_backend.wire.session import TwinPlace
from tests.wire.ramp_scene import RampScene
from tests.wire.rigs import loopback_link

__all__ = [
    "SLOPE",
    "check_record",
    "driven",
    "line_on_input_3",
    "scope_on_bench",
    "twin_on_ramp",
]

SLOPE = 1e6
"""Of the usual ramp that the detector sees, in V/s."""

_Driver = TypeVar("_Driver", bound=Scope)
_Twin = TypeVar("_Twin", bound=ScopeTwin)


def twin_on_ramp(twin: type[_Twin], model: str, scene: RampScene | None) -> _Twin:
    """A twin with the scene's "detector" on input 1; with none there without a scene."""
    return twin(
        model=model,
        clock=SimulatedClock() if scene is None else scene.clock,
        serial="SIM01",
        parts={} if scene is None else {1: scene.part("detector")},
    )


def line_on_input_3(scene: RampScene) -> TwinPlace:
    """The place of a twin in a bench whose trigger line is plugged into input 3."""
    return TwinPlace(
        clock=scene.clock,
        serial="SIM7",
        parts={1: scene.part("detector"), 2: object()},
        settings={1: {"trigger_channel": 3}},
    )


def driven(
    driver: type[_Driver],
    model: DriverModel,
    twin: ScopeTwin,
    clock: SimulatedClock,
    role: str = "tap",
) -> _Driver:
    """A closed driver on a twin, with the limits of its model."""
    assert isinstance(model.limits, DigitiserLimits)
    return driver(role, limits=model.limits, link=loopback_link(twin, clock), clock=clock)


def scope_on_bench(
    driver: type[_Driver],
    model: DriverModel,
    twin: type[ScopeTwin],
    *,
    says: str,
    bench: SimulatedBench,
    role: str,
) -> _Driver:
    """A closed driver on a twin that records the detector of a role of the client or server.

    Args:
        driver: its class.
        model: whose limits it has.
        twin: its class.
        says: the model in the twin's `*IDN?`.
        bench: the scene.
        role: "tap_digitiser" of the client, or one of the server.
    """
    part = bench.part("client" if role == "tap_digitiser" else "server", role)
    assert isinstance(part, DigitiserPart)
    scope = twin(model=says, clock=bench.clock, serial="SIM01", parts={1: part})
    return driven(driver, model, scope, bench.clock, role)


def check_record(
    scope: Scope,
    scene: RampScene,
    *,
    rate_hz: float,
    samples: int,
    headroom: float = 1.05,
    rate_within: float = 1e-9,
    codes: int,
    usable: float,
) -> None:
    """Record the ramp from the trigger on, which is where it crosses 0 V.

    Args:
        scope: a closed driver on a twin.
        scene: of the twin.
        rate_hz: to configure.
        samples: to configure.
        headroom: range over the ramp's end, as far as the limits allow it.
        rate_within: of the rate, relative: what the record's description rounds.
        codes: of the converter.
        usable: part of the range in which the twin does not clip.
    """
    limits = scope.limits
    range_v = headroom * SLOPE * samples / rate_hz
    range_v = max(limits.range_v.lowest, min(limits.range_v.highest, range_v))
    with scope:
        applied = scope.configure(rate_hz, samples, range_v)
        scope.arm(Trigger.EXTERNAL)
        assert not scope.is_done()
        scene.fire()
        trace = scope.fetch()
    assert applied.sample_rate_hz == pytest.approx(rate_hz, rel=rate_within)
    assert applied.range_v == pytest.approx(range_v, rel=1e-6)
    assert trace.step_v == pytest.approx(2 * range_v / codes, rel=1e-6)
    expected = np.arange(samples) / rate_hz * SLOPE
    inside = expected < usable * range_v
    slack = 0.51 * trace.step_v + 1.0 / rate_hz * SLOPE
    assert np.abs(trace.volts[0] - expected)[inside].max() <= slack
    assert trace.simulated
