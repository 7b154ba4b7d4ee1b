"""What a certificate is told of phase errors that all frames of a data vector share."""

from dataclasses import replace

import pytest
import torch

from drivers.receivers import PassiveTap
from protocol.leakage.certified import NoiseDependence
from sim_backend.settings import DetectorSettings, LinkSettings
from tests.unit.protocol.session_bench import perceptron
from veilight.certificate_record import certificate_record
from veilight.runs import InferenceRequest, RunResult, run_inference

MODES, ROWS, SAMPLES = 8, 200, 4


def run() -> RunResult:
    detector = DetectorSettings(phase_error_rad=0.05, phase_memory_frames=0.0)
    link = LinkSettings(
        receiver=PassiveTap(tap_fraction=0.3), server=detector, device="cpu", seed=1
    )
    return run_inference(
        InferenceRequest(
            model=perceptron((MODES, ROWS), bias=False),
            inputs=torch.randn(SAMPLES, MODES, generator=torch.Generator().manual_seed(1)),
            link=link,
            photons_per_symbol=(40.0,),
        )
    )


def dependence(result: RunResult, inputs_per_phase: float) -> NoiseDependence:
    (layer,) = result.layers
    law = replace(layer.expectation, inputs_per_phase=inputs_per_phase)
    record = certificate_record(replace(result, layers=(replace(layer, expectation=law),)))
    return NoiseDependence(**record["layers"][0]["dependence"])


def test_errors_count_as_often_as_data_vectors_when_their_frames_share_them() -> None:
    """The spread of what few errors do is that of so many frames at once."""
    result = run()
    alone, shared = dependence(result, 0.0), dependence(result, 1.0)
    assert shared.gain_wobble == pytest.approx(ROWS * alone.gain_wobble)
    # Of both, 2 moving^2 per frame or per data vector is added to what they have in common.
    assert shared.variance_inflation > alone.variance_inflation > 1
