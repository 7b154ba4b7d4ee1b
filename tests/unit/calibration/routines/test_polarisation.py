"""The search of the polarisation finds the overlap, and says when it cannot."""

import re
from dataclasses import replace

import pytest

from calibration.routines._stage import PARTIES
from drivers.errors import CalibrationError
from sim_backend.scene import truth
from tests.unit.calibration.routines.lit_bench import lit_bench, routine, scene_settings


def test_polarisation_aligns_both_parties_when_fibres_are_scrambled() -> None:
    bench = lit_bench()
    result = bench.run(routine("polarisation"), {"slots": 512})
    for party in PARTIES:
        assert truth.visibility(bench.scene, party) > 0.98 * 0.9995
        assert result[f"{party}_unaligned_share"].value < 1
        assert 0 <= result[f"{party}_angle_3_rad"].value < 7


def test_polarisation_repeats_itself_when_the_seed_is_the_same() -> None:
    results = [lit_bench().run(routine("polarisation"), {"slots": 512}) for _ in range(2)]
    assert results[0].id == results[1].id


def test_polarisation_is_refused_when_rounds_run_out() -> None:
    with pytest.raises(CalibrationError, match=re.escape("still rises")):
        lit_bench().run(routine("polarisation"), {"slots": 512, "rounds": 1})


def test_polarisation_is_refused_when_no_beat_reaches_the_detector() -> None:
    settings = scene_settings()
    lossy = replace(settings.forward_fibre, connector_loss_db=60.0)
    bench = lit_bench(replace(settings, forward_fibre=lossy))
    with pytest.raises(CalibrationError, match="check lasers, switches and losses"):
        bench.run(routine("polarisation"), {"slots": 512})
