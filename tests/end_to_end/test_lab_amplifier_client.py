"""The example client of real instruments for a bench with an amplifier, on twins in one process."""

import logging
from pathlib import Path

import numpy as np
import pytest

import veilight
from drivers.bench.roles import role_of
from drivers.errors import SafetyError
from drivers.instruments import Laser, OpticalAmplifier, PhaseDriver
from sim_backend.instruments.parts import AmplifierPart, PhasePart
from tests.wire.loopback_bench import LoopbackBench

FILE = (
    Path(veilight.__file__).resolve().parent.parent
    / "examples"
    / "benches"
    / "lab-amplifier-client.toml"
)


@pytest.fixture(autouse=True)
def own_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twins in this process are nobody else's, whoever uses the same addresses meanwhile."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_meshes_are_driven_by_one_chain_each_and_dark_behind_the_bench(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = LoopbackBench([FILE])
    rng = np.random.default_rng(4)
    parts: list[PhasePart] = []
    with loop.bench("client") as bench, caplog.at_level(logging.WARNING, "veilight.links"):
        for role in ("mesh_driver", "return_mesh_driver"):
            driver = role_of(bench.instruments, role, PhaseDriver)
            part = loop.twins.scene.part("client", role)
            assert isinstance(part, PhasePart)
            parts.append(part)
            volts = rng.uniform(0, 10, 64)
            driver.set_voltages(volts)
            np.testing.assert_allclose(part.voltages(), volts, rtol=0, atol=12 / 65535)
    # All 64 lines of the readback fit into the time that the safe state of a bench gives.
    assert not [record for record in caplog.records if record.name == "veilight.links"]
    assert not any(part.voltages().any() for part in parts)
    assert loop.open_streams == 0


def test_amplifier_is_pumped_to_its_gain_once_it_has_its_seed() -> None:
    loop = LoopbackBench([FILE])
    part = loop.twins.scene.part("client", "amplifier")
    assert isinstance(part, AmplifierPart)

    def pumped() -> bool:
        return part.pump_on

    with loop.bench("client") as bench:
        amplifier = role_of(bench.instruments, "amplifier", OpticalAmplifier)
        seed = role_of(bench.instruments, "seed_laser", Laser)
        amplifier.set_gain_db(3.0103)
        with pytest.raises(SafetyError, match="seed power is 0"):
            amplifier.set_pump(True)
        seed.set_power(5e-5)
        seed.set_emission(True)
        loop.clock.sleep(30.0)
        assert amplifier.seed_power_w() == pytest.approx(5e-5, rel=0.2)
        amplifier.set_pump(True)
        assert pumped()
        assert amplifier.gain_db() == pytest.approx(3.0103, abs=0.01)
        assert part.gain_db() == pytest.approx(3.0103, abs=0.01)
    assert not pumped()
