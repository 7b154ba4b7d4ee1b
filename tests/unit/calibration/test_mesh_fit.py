"""The fit of two meshes, on responses computed from known ones.

Chance of failure: the scores are chi-square sums of more than 100 normals held to 7 deviations.
"""

from dataclasses import replace

import numpy as np
import pytest

from calibration.fits.mesh import MeshPoint, fit_meshes, fit_returned_amplitude
from drivers.errors import CalibrationError
from drivers.optics.mesh_model import MeshModel

PORTS, NOISE, HALF_WAVE_V = 4, 3e-3, 4.0
START = MeshModel.perfect(PORTS, HALF_WAVE_V)


def worn(rng: np.random.Generator) -> MeshModel:
    return replace(
        START,
        phase_offsets_rad=0.5 * rng.standard_normal(START.channels),
        coupler_errors_rad=0.01 * rng.standard_normal(START.coupler_errors_rad.shape),
    )


def points(
    meshes: tuple[MeshModel, MeshModel],
    rng: np.random.Generator,
    count: int,
    *,
    amplitude: float = 1.0,
    noise: float = NOISE,
) -> list[MeshPoint]:
    """Responses with noise; every row with a size and a phase of its own."""
    seen = []
    inside = np.ones(PORTS)
    inside[0] = amplitude
    for _ in range(count):
        volts = rng.uniform(0, HALF_WAVE_V * 2**0.5, (2, START.channels))
        forward = meshes[0].transfer(meshes[0].phases(volts[0]))
        back = meshes[1].transfer(meshes[1].phases(volts[1]))
        rows = np.concatenate([forward[:1], back @ (inside[:, None] * forward)])
        rows = rows + noise * (
            rng.standard_normal(rows.shape) + 1j * rng.standard_normal(rows.shape)
        )
        sizes = rng.uniform(0.5, 2.0, PORTS + 1)
        rows = rows * (sizes * np.exp(2j * np.pi * rng.random(PORTS + 1)))[:, None]
        seen.append(
            MeshPoint(
                volts=volts[0],
                return_volts=volts[1],
                collected=rows[0],
                returned=rows[1:],
                collected_noise=noise * sizes[0],
                returned_noise=noise * sizes[1:],
            )
        )
    return seen


@pytest.mark.parametrize("seed", range(4))
def test_fit_predicts_settings_that_it_has_not_seen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    meshes = worn(rng), worn(rng)
    fit = fit_meshes(points(meshes, rng, 24, amplitude=1.1), START)
    degrees = fit.goodness.degrees_of_freedom
    assert abs(fit.goodness.chi_square - degrees) < 7 * (2 * degrees) ** 0.5
    for _ in range(10):
        volts = rng.uniform(0, 5.0, (2, START.channels))
        for found, true, volt in zip((fit.mesh, fit.return_mesh), meshes, volts, strict=True):
            seen, expected = found.transfer(found.phases(volt)), true.transfer(true.phases(volt))
            # Phases behind the last mesh and before the first of several are nobody's to know.
            if found is fit.mesh:
                assert abs(np.vdot(seen[0], expected[0])) > 1 - 1e-4
        forward, back = (
            found.transfer(found.phases(volt))
            for found, volt in zip((fit.mesh, fit.return_mesh), volts, strict=True)
        )
        true_forward, true_back = (
            true.transfer(true.phases(volt)) for true, volt in zip(meshes, volts, strict=True)
        )
        overlaps = np.abs(np.sum((back @ forward).conj() * (true_back @ true_forward), axis=1))
        assert overlaps.min() > 1 - 2e-4


def test_fit_finds_the_amplitude_between_the_meshes_with_its_uncertainty() -> None:
    scores, alone = [], []
    for seed in range(24):
        rng = np.random.default_rng(100 + seed)
        meshes, amplitude = (worn(rng), worn(rng)), rng.uniform(0.8, 1.2)
        seen = points(meshes, rng, 16, amplitude=amplitude)
        fit = fit_meshes(seen, START)
        scores.append((fit.returned_amplitude - amplitude) / fit.uncertainties[-1])
        estimate, goodness = fit_returned_amplitude(seen, *meshes)
        assert goodness.reduced_chi_square < 2
        alone.append((estimate.value - amplitude) / estimate.uncertainty)
    # A sum of 24 squared normals exceeds 90 with a probability below 2e-9, and is above 4 with one
    # of 1 - 1e-7.
    assert 4 < float(np.sum(np.square(scores))) < 90
    assert 4 < float(np.sum(np.square(alone))) < 90


def test_fit_refuses_when_there_are_too_few_settings() -> None:
    rng = np.random.default_rng(7)
    with pytest.raises(CalibrationError, match="measure at more settings"):
        fit_meshes(points((worn(rng), worn(rng)), rng, 1), START)


def test_fit_refuses_when_the_shifters_have_another_v_pi() -> None:
    rng = np.random.default_rng(8)
    seen = points((worn(rng), worn(rng)), rng, 16)
    with pytest.raises(CalibrationError, match="check V_pi of the shifters"):
        fit_meshes(seen, MeshModel.perfect(PORTS, 3.3))
