"""The registry of routines: names, order, and roles that the bench files' instruments fill."""

import pytest

from calibration.routine import identities_of
from calibration.routines import (
    AMPLIFIER_MODULES,
    ROUTINE_MODULES,
    all_routines,
    amplifier_routines,
)
from sim_backend.scene.reference_settings import ReferenceSettings
from tests.waveform_calibration import open_calibration_bench

FIRST = ("electronic_noise", "digitiser", "modulators", "shot_noise", "detector")


def test_all_routines_have_their_own_names_when_they_are_registered() -> None:
    names = all_routines().names
    assert names[: len(FIRST)] == FIRST
    assert len(set(names)) == len(names)
    # Every module has one routine, called like it.
    assert names == ROUTINE_MODULES
    assert amplifier_routines().names == AMPLIFIER_MODULES


def test_all_routines_come_after_what_they_need_when_ordered() -> None:
    registry = all_routines()
    names = [routine.name for routine in registry.ordered()]
    for name in names:
        for need in registry.get(name).needs:
            assert names.index(need) < names.index(name)
    assert names.index("modulators") < names.index("shot_noise") < names.index("detector")


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
def test_all_routines_find_their_instruments_when_oscillators_are(shared: bool) -> None:
    settings = ReferenceSettings(oscillators="shared" if shared else "own")
    bench = open_calibration_bench(settings)
    registry = all_routines(shared_oscillators=shared)
    for routine in registry.ordered():
        assert set(identities_of(routine, bench.access)) == set(routine.roles)
    lasers = {"client.oscillator", "server.return_oscillator"}
    assert (lasers <= set(registry.get("shot_noise").roles)) is not shared
