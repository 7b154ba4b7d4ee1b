"""Sessions on simulated benches that test more of X, and dithers that benches cannot make."""

import pytest
import torch

from drivers.backend import OpticalLink
from drivers.errors import ConfigurationError
from tests.homodyne_bench import open_homodyne_bench
from tests.unit.protocol.session_bench import perceptron
from tests.waveform_bench import open_bench
from veilight.run_values import InferenceRequest, RunResult
from veilight.runs import run_inference

MODES, ROWS, SAMPLES = 16, 8, 60


def heterodyne() -> OpticalLink:
    return open_bench(modes_per_frame=MODES, calibration_samples=1 << 18).link


def homodyne() -> OpticalLink:
    return open_homodyne_bench(modes_per_frame=MODES, calibration_samples=1 << 20).link


def session(link: OpticalLink, *, x_share: float = 0.5, dither_snu: float = 0.0) -> RunResult:
    return run_inference(
        InferenceRequest(
            model=perceptron((MODES, ROWS), bias=False),
            inputs=torch.randn(SAMPLES, MODES, generator=torch.Generator().manual_seed(3)),
            optics=link,
            photons_per_symbol=(20.0,),
            samples_per_block=20,
            x_share=x_share,
            dither_snu=dither_snu,
        )
    )


@pytest.mark.parametrize(("bench", "coins"), [(heterodyne, SAMPLES * ROWS), (homodyne, SAMPLES)])
def test_bench_tests_the_agreed_share_of_x(bench: object, coins: int) -> None:
    """One coin a frame, or a burst with homodyne detection: within 7 standard deviations."""
    result = session(bench(), x_share=0.8)  # type: ignore[operator]
    assert result.accepted, result.abort_reason
    evidence = result.layers[0].evidence
    assert evidence is not None
    share = float(evidence.frames[0] / evidence.frames.sum())
    assert abs(share - 0.8) < 7 * (0.8 * 0.2 / coins) ** 0.5
    assert result.thresholds.x_share == 0.8


def test_bench_refuses_dither_before_any_light() -> None:
    with pytest.raises(ConfigurationError, match="modulates X alone"):
        session(heterodyne(), dither_snu=0.5)
