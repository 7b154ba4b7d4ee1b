"""The laboratory bench on its twins with all lights on, and a watch on how it goes dark.

`LitLab.go_wrong` runs a step that a fault on the wire makes fail, and keeps what the scene itself
says: how long after the fault was found each laser, shutter and switch was dark.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from drivers.bench import Bench, LightPlan
from drivers.errors import VeilightError
from drivers.instruments import Instrument
from sim_backend.instruments.simulated_bench import SimulatedBench
from sim_backend.scene.reference import ReferenceScene
from sim_backend.wire.wire_faults import WireDirection, WireFault, WireFaultKind
from tests.wire.loopback_bench import LAB, LoopbackBench

__all__ = ["DEADLINE_S", "PLANS", "Failure", "LitLab", "dead", "to_client", "to_instrument"]

DEADLINE_S = 0.1
"""From finding a fault to the safe state, by readback."""
PLANS = {
    "server": LightPlan(
        power_w={"laser": 10e-3, "return_oscillator": 3e-3},
        attenuation_db={"attenuator": 20.0},
        switches={"return_switch": "light"},
    ),
    "client": LightPlan(power_w={"oscillator": 3e-3}, switches={"signal_switch": "light"}),
}


def dead() -> WireFault:
    """From now on nothing passes, either way."""
    return WireFault(kind=WireFaultKind.PARTITION, direction=WireDirection.BOTH)


def to_client(kind: WireFaultKind, **values: object) -> WireFault:
    """A fault of what the instrument says."""
    return WireFault(kind=kind, direction=WireDirection.TO_CLIENT, **values)  # type: ignore[arg-type]


def to_instrument(kind: WireFaultKind, **values: object) -> WireFault:
    """A fault of what the instrument hears."""
    return WireFault(kind=kind, direction=WireDirection.TO_INSTRUMENT, **values)  # type: ignore[arg-type]


@dataclass
class Failure:
    """How a step failed, and how the bench went dark.

    Args:
        error: what came out.
        safe_s: by role, time in s from finding the fault to the readback of the safe state; without
            those that did not get there.
        dark_s: by part of the scene, time until it was dark for good; without those that are lit.
        sent: by role, what reached the twin from the beginning of the step on.
    """

    error: VeilightError
    safe_s: dict[str, float]
    dark_s: dict[str, float]
    sent: dict[str, list[bytes]]


@dataclass
class _Watch(logging.Handler):
    """Times of the log's records, by simulated time."""

    now: Callable[[], float]
    found_s: float | None = None
    safe_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    __hash__ = logging.Handler.__hash__

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        name, _, what = text.partition(": ")
        failed = record.levelno == logging.ERROR and " failed: " in text
        if self.found_s is None and (failed or name == "to the safe state"):
            self.found_s = self.now()
        if what == "safe" and self.found_s is not None:
            self.safe_s.setdefault(name, self.now() - self.found_s)


class LitLab:
    """Both parties' benches of the laboratory, lit.

    Args:
        folder: for the bench files.
    """

    def __init__(self, folder: Path) -> None:
        paths = []
        for path in LAB:
            # Its own process is watched elsewhere; here time is simulated.
            text = path.read_text().replace("[safety]\n", "[safety]\nwatchdog = false\n")
            paths.append(folder / path.name)
            paths[-1].write_text(text)
        self._threads = threading.active_count()
        self._lit: set[str] = set()
        self.rig = LoopbackBench(paths, seed=3)
        self.benches = dict(zip(("server", "client"), self.rig.benches(), strict=True))

    def light(self, party: str) -> Bench:
        """Open the bench of a party and switch everything on."""
        bench = self.benches[party]
        bench.open()
        bench.safety.rearm("tester")
        bench.safety.switch_on(PLANS[party])
        self._lit.add(party)
        return bench

    def instrument(self, place: str) -> Instrument:
        """The instrument at `party.role`."""
        party, _, role = place.partition(".")
        return self.benches[party].instruments[role]

    @property
    def scene(self) -> ReferenceScene:
        """The optics behind the twins."""
        bench = self.rig.twins.scene
        assert isinstance(bench, SimulatedBench)
        return bench.scene

    def parts(self) -> dict[str, Callable[[], bool]]:
        """By `party.role`, whether the part of the scene emits or lets light pass."""
        scene = self.scene
        return {
            "server.attenuator": lambda: scene.launch_attenuator.shutter_open,
            "server.return_switch": lambda: scene.server_switch.transmission() > 0.5,
            "server.return_oscillator": scene.server_oscillator_laser.emission,
            "server.laser": scene.server_laser.emission,
            "client.signal_switch": lambda: scene.client_switch.transmission() > 0.5,
            "client.oscillator": scene.client_oscillator_laser.emission,
        }

    def go_wrong(
        self, place: str, fault: WireFault, error: type[VeilightError], step: Callable[[], object]
    ) -> Failure:
        """Take a step that must fail because of a fault on the link of an instrument.

        Args:
            place: `party.role`.
            fault: of its link, from now on.
            error: what must come out.
            step: the step.
        """
        self.rig.faults[place].inject(fault)
        return self.failing(place.partition(".")[0], error, step)

    def failing(
        self, party: str, error: type[VeilightError], step: Callable[[], object]
    ) -> Failure:
        """The same without injecting a fault."""
        safety = self.benches[party].safety
        before = {role: len(sent) for role, sent in self.rig.sent.items()}
        with (
            self._watched() as (watch, dark),
            pytest.raises(error) as caught,
            safety.guarded("a step of a test"),
        ):
            step()
        assert watch.found_s is not None
        assert safety.is_latched
        return Failure(
            error=caught.value,
            safe_s=watch.safe_s,
            dark_s={part: at_s - watch.found_s for part, at_s in dark.items()},
            sent={role: sent[before[role] :] for role, sent in self.rig.sent.items()},
        )

    @contextmanager
    def _watched(self) -> Iterator[tuple[_Watch, dict[str, float]]]:
        """Look at the log and at the scene after every step of time."""
        clock, parts = self.rig.clock, self.parts()
        watch, dark = _Watch(clock.now), dict[str, float]()
        advance = clock.advance

        def looked(duration_s: float) -> None:
            advance(duration_s)
            for part, is_lit in parts.items():
                if is_lit():
                    dark.pop(part, None)
                else:
                    dark.setdefault(part, clock.now())

        logs = [logging.getLogger(f"veilight.{name}") for name in ("instruments", "safety")]
        levels = [log.level for log in logs]
        clock.advance = looked  # type: ignore[method-assign]
        for log in logs:
            log.addHandler(watch)
            log.setLevel(logging.INFO)
        try:
            yield watch, dark
        finally:
            del clock.advance
            for log, level in zip(logs, levels, strict=True):
                log.removeHandler(watch)
                log.setLevel(level)

    def mend_and_restart(self, party: str) -> None:
        """Without the fault: everything is given back, and new benches of the same rig have light.

        The old bench may have been left with a dead link, so that it need not close in order.
        """
        for faults in self.rig.faults.values():
            faults.clear()
        self.close(dark=False)
        self.benches = dict(zip(("server", "client"), self.rig.benches(), strict=True))
        self.light(party)
        assert all(is_lit() for part, is_lit in self.parts().items() if part.startswith(party))
        self.close()

    def close(self, *, dark: bool = True) -> None:
        """Close all; nothing is left open, running or lit.

        Args:
            dark: whether all was reached in the end.
        """
        for bench in self.benches.values():
            bench.close()
        assert self.rig.open_streams == 0
        assert threading.active_count() == self._threads
        # A switch that nobody has opened yet stands as it was left.
        known = {part: on for part, on in self.parts().items() if part.split(".")[0] in self._lit}
        assert not (dark and [part for part, is_lit in known.items() if is_lit()])
