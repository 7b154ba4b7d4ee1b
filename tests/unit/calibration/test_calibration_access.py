from types import SimpleNamespace
from typing import Any, cast

import pytest

from calibration.access import access_of
from drivers.bench import Bench
from drivers.errors import ConfigurationError, SafetyError


class Clock:
    def __init__(self) -> None:
        self.time_s = 5.0

    def now(self) -> float:
        return self.time_s

    def sleep(self, duration_s: float) -> None:
        self.time_s += duration_s


def bench(party: str, clock: Clock, events: list[str], *, simulated: bool = False) -> Bench:
    laser = SimpleNamespace(identity=SimpleNamespace(text=f"maker {party} 1 1"))
    parts: dict[str, Any] = {
        "file": SimpleNamespace(
            party=party, entries=lambda: {"laser": SimpleNamespace(backend=f"{party}-wire")}
        ),
        "clock": clock,
        "simulated": simulated,
        "instruments": {"laser": laser},
        "safety": SimpleNamespace(switch_off=lambda: events.append(party)),
    }
    return cast(Bench, SimpleNamespace(**parts))


def test_access_names_roles_by_party_when_there_are_two() -> None:
    clock, events = Clock(), list[str]()
    benches = [bench("server", clock, events), bench("client", clock, events, simulated=True)]
    access = access_of(benches, name="pair", clock_id="boot")
    assert access.identities == {
        "server.laser": "maker server 1 1",
        "client.laser": "maker client 1 1",
    }
    assert access.instruments["client.laser"] is benches[1].instruments["laser"]
    assert access.simulated
    assert access.backend == "client-wire+server-wire"
    access.sleep(2.0)
    assert (access.now().clock_s, access.now().clock_id) == (7.0, "boot")
    assert access.temperature_c() is None
    access.switch_off()
    assert events == ["server", "client"]
    assert access.safety["client"] is benches[1].safety


def test_access_switches_all_off_when_one_bench_cannot() -> None:
    clock, events = Clock(), list[str]()

    def fail() -> None:
        raise SafetyError("pump is on")

    first = bench("server", clock, events)
    cast(Any, first.safety).switch_off = fail
    access = access_of([first, bench("client", clock, events)], name="pair", clock_id="boot")
    with pytest.raises(SafetyError, match="pump is on"):
        access.switch_off()
    assert events == ["client"]


def test_access_refuses_when_benches_do_not_belong_together() -> None:
    clock, events = Clock(), list[str]()
    server = bench("server", clock, events)
    with pytest.raises(ConfigurationError, match="got none"):
        access_of([], name="pair", clock_id="boot")
    with pytest.raises(ConfigurationError, match="one bench of each party"):
        access_of([server, bench("server", clock, events)], name="pair", clock_id="boot")
    with pytest.raises(ConfigurationError, match="different clocks"):
        access_of([server, bench("client", Clock(), events)], name="pair", clock_id="boot")
