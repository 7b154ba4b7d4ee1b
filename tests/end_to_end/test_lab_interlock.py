"""An interlock that opens in the light (F19): dark, latched, and only an operator allows it again.

The interlock is hardware: a laser is dark before the program knows. What the program must not do is
to switch anything on again by itself.
"""

from pathlib import Path

import pytest

from drivers.errors import SafetyError
from sim_backend.wire.twins.nkt_koheras_basik import NktKoherasTwin
from tests.wire.lit_lab import DEADLINE_S, PLANS, LitLab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LitLab:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return LitLab(tmp_path)


def test_bench_is_dark_and_stays_so_when_an_interlock_opens_in_the_light(lab: LitLab) -> None:
    bench = lab.light("server")
    twin = next(one.twin for one in lab.rig.twins.boxes if isinstance(one.twin, NktKoherasTwin))
    bench.safety.check()
    twin.set_interlock(False)
    failure = lab.failing("server", SafetyError, bench.safety.check)
    assert "the interlock of return_oscillator is open" in str(failure.error)
    late = {role for role, at_s in failure.safe_s.items() if at_s > DEADLINE_S}
    assert not late
    assert all(failure.dark_s[part] <= DEADLINE_S for part in lab.parts() if "server" in part)
    with pytest.raises(SafetyError, match=r"to arm the bench: .* return_oscillator is open"):
        bench.safety.rearm("tester")
    twin.set_interlock(True)
    lab.rig.clock.advance(1.0)
    assert not any(lit() for part, lit in lab.parts().items() if "server" in part)
    with pytest.raises(SafetyError, match="latched in its safe state: look at the light failed"):
        bench.safety.switch_on(PLANS["server"])
    bench.safety.rearm("tester")
    bench.safety.switch_on(PLANS["server"])
    lab.mend_and_restart("server")


def test_nothing_is_switched_on_when_an_interlock_opened_after_arming(lab: LitLab) -> None:
    bench = lab.benches["server"]
    bench.open()
    bench.safety.rearm("tester")
    twin = next(one.twin for one in lab.rig.twins.boxes if isinstance(one.twin, NktKoherasTwin))
    twin.set_interlock(False)
    with pytest.raises(SafetyError, match=r"laser at .*: refused, the interlock of return_osc"):
        bench.safety.switch_on(PLANS["server"])
    assert bench.safety.is_latched
    assert not lab.parts()["server.laser"]()
    twin.set_interlock(True)
    lab.mend_and_restart("server")
