"""The clock of benches whose emulators run fast."""

import pytest

from drivers.bench import load_bench
from drivers.instruments import FastClock, SystemClock
from tests.wire.loopback_bench import LAB
from veilight.benches import registry_for


def test_fast_clock_reads_and_sleeps_by_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("drivers.instruments.clock.time.monotonic", lambda: 3.0)
    monkeypatch.setattr("drivers.instruments.clock.time.sleep", slept.append)
    clock = FastClock(50.0)
    clock.sleep(10.0)
    assert clock.now() == 150.0
    assert slept == [0.2]


def test_registry_lets_benches_wait_fast_and_dialogues_by_the_wall() -> None:
    file = load_bench(LAB[0])
    section = file.content.bench.model_copy(update={"twin": True, "twin_speed": 20.0})
    object.__setattr__(file, "content", file.content.model_copy(update={"bench": section}))
    registry = registry_for((file,))
    assert isinstance(registry.clock, FastClock)
    assert isinstance(registry.dialogues, SystemClock)
    real = registry_for((load_bench(LAB[0]),))
    assert real.clock is real.dialogues
