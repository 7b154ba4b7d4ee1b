"""Over all orders of calls and failures: no giant pulse, no overload, no light after an error.

The invariants are looked at after every single message to an instrument, with formulas of their
own. The states are drawn by hypothesis from a fixed seed; there is no statistical failure.
"""

import math
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from drivers.bench import Bench, LightPlan
from drivers.bench.interlocks import RefusedStepError
from drivers.errors import InstrumentError, VeilightError
from drivers.instruments import (
    Attenuator,
    Laser,
    OpticalAmplifier,
    Switch,
    Trigger,
    WaveformGenerator,
)
from tests.unit.drivers.bench.paper_bench import Paper, client_table, paper_bench, server_table

ARRIVING_W = 1e-4
CEILING_W = 0.5 * 10e-3
POWERS = st.sampled_from([1e-4, 2e-3, 6e-3, 12e-3, 50e-3])
GAINS = st.sampled_from([0.0, 10.0, 16.0, 19.0, 30.0])
ATTENUATIONS = st.sampled_from([0.0, 3.0, 7.0, 12.0, 40.0, 60.0])
READINGS = (
    "laser._get_power",
    "laser._get_emission",
    "oscillator._get_emission",
    "attenuator._get_shutter",
    "return_switch._get_selected",
    "amplifier._get_seed_power",
    "amplifier._get_pump",
    "oscillator_power_meter._get_power",
)


class Interruption(BaseException):
    """What a signal raises; no Exception, like KeyboardInterrupt."""


class _Machine(RuleBasedStateMachine):
    """What both benches have in common; `bench` is open."""

    table: Any
    plan: LightPlan
    bench: Bench
    paper: Paper

    @initialize(lit=st.booleans())
    def open(self, lit: bool) -> None:
        self.violations: list[str] = []
        self.paper = Paper()
        self.bench = paper_bench(type(self).table(), self.paper)
        self.wire()
        self.bench.open()
        self.paper.after_call = self.look
        self.bench.safety.rearm("operator")
        if lit:
            self.bench.safety.switch_on(type(self).plan)

    def teardown(self) -> None:
        self.paper.fail_once = ""
        self.bench.close()
        assert not any(found.is_open for found in self.bench.instruments.values())

    def wire(self) -> None:
        raise NotImplementedError

    def look(self) -> None:
        raise NotImplementedError

    def passes(self, role: str) -> float:
        """Transmittance of an attenuator or a switch of paper."""
        state = self.paper.state
        if (role, "position") in state:
            return float(state[role, "position"] == "signal")
        if not state.get((role, "shutter"), True):
            return 0.0
        return float(10 ** (-state.get((role, "attenuation"), 0.0) / 10))

    def limit(self, detector: str, *powers: float) -> None:
        # Coherent sum; a rounding of the comparison itself is no overload.
        seen = sum(math.sqrt(power) for power in powers) ** 2
        if seen > CEILING_W * (1 + 1e-9):
            self.violations.append(f"{detector} gets {seen} W after {self.paper.calls[-3:]}")

    def attempt(self, step: Any, *arguments: Any) -> None:
        """Take a step; after any error but a refusal all must be off, safe and latched."""
        before = len(self.paper.calls)
        try:
            step(*arguments)
        except RefusedStepError:
            if self.bench.safety.is_latched:
                assert len(self.paper.calls) == before
        except (VeilightError, Interruption):
            self.assert_safe()

    def assert_safe(self) -> None:
        self.paper.fail_once = ""
        assert self.bench.safety.is_latched
        assert self.bench.safety.is_safe()
        roles = self.bench.instruments
        assert all(self.paper.lit(role) == 0 for role in roles)
        for role in roles:
            assert not self.paper.state.get((role, "pump"), False)
            assert self.paper.state.get((role, "armed")) is None

    @invariant()
    def nothing_was_violated(self) -> None:
        if hasattr(self, "violations"):
            assert self.violations == []

    @invariant()
    def latched_means_safe(self) -> None:
        if hasattr(self, "bench") and self.bench.safety.is_latched:
            self.assert_safe()

    def on(self) -> bool:
        """Whether anything emits."""
        pumped = self.paper.state.get(("amplifier", "pump"), False)
        return pumped or any(self.paper.lit(role) > 0 for role in self.bench.instruments)

    @precondition(lambda self: self.bench.safety.is_latched)
    @rule()
    def rearm(self) -> None:
        self.attempt_unlatched(lambda: self.bench.safety.rearm("operator"))

    def attempt_unlatched(self, step: Any) -> None:
        """Re-arming is refused while anything is on; then nothing has changed."""
        latched = self.bench.safety.is_latched
        try:
            step()
        except (VeilightError, Interruption):
            assert self.bench.safety.is_latched == latched

    @rule(what=st.sampled_from(["protect", "make_safe", "switch_off", "check"]))
    def look_or_leave(self, what: str) -> None:
        self.attempt(getattr(self.bench.safety, what))

    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        kinds = (Laser, Attenuator, Switch, OpticalAmplifier)
        roles = sorted(r for r, i in self.bench.instruments.items() if isinstance(i, kinds))
        self.attempt(self.bench.safety.close, data.draw(st.sampled_from(roles)))

    @precondition(lambda self: self.on() and not self.paper.fail_once)
    @rule(data=st.data())
    def break_one_call(self, data: st.DataObject) -> None:
        made = sorted({*self.paper.calls, *READINGS})
        self.paper.fail_once = data.draw(st.sampled_from(made))
        self.paper.error = data.draw(st.sampled_from([InstrumentError, Interruption]))


class ServerMachine(_Machine):
    """The server: seed laser through the attenuator, own oscillator."""

    table = staticmethod(server_table)
    plan = LightPlan(
        power_w={"laser": 12e-3, "return_oscillator": 2e-3},
        attenuation_db={"attenuator": 40.0},
        switches={"return_switch": "signal"},
    )

    def wire(self) -> None:
        self.paper.seen_w["oscillator_power_meter"] = lambda: (
            self.paper.lit("return_oscillator") / 99
        )

    def look(self) -> None:
        laser, oscillator = self.paper.lit("laser"), self.paper.lit("return_oscillator")
        passed = self.passes("attenuator") * self.passes("return_switch")
        self.limit("return_digitiser", laser * passed * 10**-0.6, oscillator * 10**-0.4)
        self.limit("launch_power_meter", laser / 100)
        self.limit("oscillator_power_meter", oscillator / 100)

    @rule(role=st.sampled_from(["laser", "return_oscillator"]), power_w=POWERS)
    def laser(self, role: str, power_w: float) -> None:
        self.attempt(self.bench.safety.switch_on_laser, role, power_w)

    @rule(attenuation_db=ATTENUATIONS)
    def attenuator(self, attenuation_db: float) -> None:
        self.attempt(self.bench.safety.open_attenuator, "attenuator", attenuation_db)

    @rule(position=st.sampled_from(["signal", "dark"]))
    def switch(self, position: str) -> None:
        self.attempt(self.bench.safety.open_switch, "return_switch", position)

    @rule()
    def lock(self) -> None:
        self.attempt(self.bench.safety.lock_biases)

    @rule()
    def arm(self) -> None:
        generator = self.bench.get("weight_generator", WaveformGenerator)
        if not self.bench.safety.is_latched and not generator.is_armed():
            self.paper.state["weight_generator", "armed"] = Trigger.EXTERNAL


class ClientMachine(_Machine):
    """The client: arriving light through the switch seeds the amplifier; own oscillator."""

    table = staticmethod(client_table)
    plan = LightPlan(
        power_w={"oscillator": 2e-3},
        gain_db={"amplifier": 3.0},
        switches={"signal_switch": "signal"},
    )

    def wire(self) -> None:
        self.paper.seen_w["amplifier"] = lambda: ARRIVING_W * self.passes("signal_switch")

    def look(self) -> None:
        state = self.paper.state
        pumped = state.get(("amplifier", "pump"), False)
        gain = 10 ** (state.get(("amplifier", "gain"), 0.0) / 10) if pumped else 1.0
        seed = ARRIVING_W * self.passes("signal_switch")
        if pumped and seed < 1e-5:
            self.violations.append(f"pumped without a seed after {self.paper.calls[-3:]}")
        self.limit("tap_digitiser", seed * gain * 10**-0.3, self.paper.lit("oscillator") * 10**-0.4)

    @rule(power_w=POWERS)
    def laser(self, power_w: float) -> None:
        self.attempt(self.bench.safety.switch_on_laser, "oscillator", power_w)

    @rule(gain_db=GAINS)
    def pump(self, gain_db: float) -> None:
        self.attempt(self.bench.safety.switch_on_pump, "amplifier", gain_db)

    @rule(position=st.sampled_from(["signal", "dark"]))
    def switch(self, position: str) -> None:
        self.attempt(self.bench.safety.open_switch, "signal_switch", position)


SETTINGS = settings(
    max_examples=80,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestServer = ServerMachine.TestCase
TestServer.settings = SETTINGS
TestClient = ClientMachine.TestCase
TestClient.settings = SETTINGS
