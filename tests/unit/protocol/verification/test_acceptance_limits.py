"""The limits on the sums give the verifier's own verdicts."""

import math

import numpy as np
import pytest
import torch

from drivers.backend import ReturnSummary, ServerOpticsInfo
from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier
from protocol.verification import Verifier, expected_return
from protocol.verification.acceptance import AcceptanceLimits, acceptance_limits

AMPLIFIER = Amplifier(gain=2.0)
ROWS, FRAMES, MODES = 3, 2, 40
ENERGY = 20.0


def _verifier(alpha: float = 0.3) -> Verifier:
    info = ServerOpticsInfo(
        backend="symbol",
        simulated=True,
        seed=None,
        modes_per_frame=MODES,
        symbol_rate_hz=1e9,
        return_transmittance=0.8,
        electronic_noise_snu=0.1,
        data_mode_excess_x_snu=AMPLIFIER.excess_noise_x_snu,
        data_mode_excess_p_snu=AMPLIFIER.excess_noise_p_snu,
        gain_uncertainty=0.001,
        variance_uncertainty=0.001,
    )
    return Verifier(
        expected_return(info, AMPLIFIER, alignment=1 / MODES), false_alarm=alpha, blocks=1
    )


def _limits(verifier: Verifier, rows: int = ROWS) -> AcceptanceLimits:
    return acceptance_limits(verifier, rows=rows, frames=FRAMES, modes=MODES, row_energy_snu=ENERGY)


def test_limits_judge_as_the_verifier_when_sums_are_random() -> None:
    verifier = _verifier()
    limits = _limits(verifier)
    law = verifier.expectation
    random = np.random.default_rng(7)
    shape = (400, ROWS)
    degrees = FRAMES * MODES
    # About one block in four is refused, each test some of them.
    projection = law.gain * ENERGY + math.sqrt(1.3 * ENERGY) * random.standard_normal(shape)
    residual = law.white_variance * random.chisquare(degrees, (2, *shape)) + 1.5
    alarms = limits.alarms(projection, residual[0], residual[1])
    none = torch.zeros(ROWS, dtype=torch.float64)
    seen = dict.fromkeys(alarms, 0)
    for index in range(shape[0]):
        verdict = verifier.test(
            ReturnSummary(
                frames=torch.full((2, ROWS), float(FRAMES), dtype=torch.float64),
                reference_gain=law.gain,
                mean_energy_snu=torch.stack([none + ENERGY, none]),
                projection_snu=torch.stack([torch.from_numpy(projection[index]), none]),
                residual_energy_snu=torch.from_numpy(residual[:, index]),
                rails=torch.stack([none, none]),
                modes=MODES,
            )
        )
        for score in verdict.scores:
            assert alarms[score.name][index] == (not score.passed)
            seen[score.name] += not score.passed
    assert all(20 < count < 200 for count in seen.values())


def test_limits_refuse_what_is_not_a_number() -> None:
    limits = _limits(_verifier(), rows=1)
    fine = np.array([[ENERGY * _verifier().expectation.gain]])
    mean = np.array([[sum(limits.residual_x_snu) / 2]])
    assert not any(flag.any() for flag in limits.alarms(fine, mean, mean).values())
    nothing = np.full_like(mean, math.nan)
    assert all(flag.all() for flag in limits.alarms(nothing, nothing, nothing).values())


def test_gain_has_no_limits_when_nothing_is_launched() -> None:
    limits = acceptance_limits(_verifier(), rows=1, frames=FRAMES, modes=MODES, row_energy_snu=0.0)
    assert limits.projection_snu == (-math.inf, math.inf)


def test_lower_limit_is_zero_or_more_when_few_values_are_tested() -> None:
    limits = acceptance_limits(_verifier(1e-6), rows=1, frames=1, modes=2, row_energy_snu=1.0)
    assert 0 <= limits.residual_x_snu[0] < limits.residual_x_snu[1]


@pytest.mark.parametrize(("frames", "energy"), [(0, 1.0), (1, -1.0), (1, math.nan)])
def test_blocks_that_cannot_be_tested_are_refused(frames: int, energy: float) -> None:
    with pytest.raises(ConfigurationError, match="cannot be tested"):
        acceptance_limits(_verifier(), rows=1, frames=frames, modes=MODES, row_energy_snu=energy)
