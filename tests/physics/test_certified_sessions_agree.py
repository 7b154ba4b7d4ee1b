"""Certificates of whole simulated sessions against the figure that their settings promise.

The parties run over the symbol tier; the planned figure (`veilight.certificate_plan`) knows nothing
of them but share, dither, photons and numbers of symbols.
"""

import math

import numpy as np
import pytest
import torch

from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.certificates import Statement, server_statement, session_record_from
from protocol.leakage.certified import normal_multiplier
from sim_backend.settings import DetectorSettings, LinkSettings
from tests.unit.protocol.run_facts import FACTS
from tests.unit.protocol.session_bench import perceptron
from veilight.certificate_plan import CertificatePlan, planned_certificate
from veilight.certificate_record import certificate_record
from veilight.run_values import InferenceRequest
from veilight.runs import run_inference

FAILURE = 1e-6


def _session(plan: CertificatePlan, rows: int, seed: int, per_block: int) -> Statement:
    """The server's statement after a session of one layer, `plan.copies` samples."""
    model = perceptron((plan.modes, rows), bias=False)
    inputs = torch.randn(
        plan.copies, plan.modes, generator=torch.Generator().manual_seed(seed + 1000)
    )
    settings = plan.link
    result = run_inference(
        InferenceRequest(
            model=model,
            inputs=inputs,
            link=LinkSettings(
                receiver=settings.receiver, server=settings.server, seed=seed, device="cpu"
            ),
            photons_per_symbol=(plan.photons_per_symbol,),
            samples_per_block=per_block,
            confidence=1 - FAILURE,
            x_share=plan.x_share,
            dither_snu=plan.dither_snu,
            probe_photons_per_mode=plan.dither_snu / 4,
        )
    )
    assert result.accepted, result.abort_reason
    return server_statement(FACTS, session_record_from(certificate_record(result)))


def _plan(
    receiver: Receiver, copies: int, rows: int, modes: int, *, share: float, dither: float
) -> CertificatePlan:
    return CertificatePlan(
        link=LinkSettings(
            receiver=receiver,
            seed=1,
            device="cpu",
            server=DetectorSettings(efficiency=0.9, electronic_noise_snu=0.05),
        ),
        encoding="real",
        photons_per_symbol=0.02,
        modes=modes,
        copies=copies,
        symbols=copies * rows * modes,
        failure=FAILURE,
        x_share=share,
        dither_snu=dither,
    )


CASES: list[tuple[Receiver, float, float]] = [
    (Amplifier(gain=1.3), 0.5, 0.0),
    (Amplifier(gain=1.3), 0.88, 0.0),
    (Amplifier(gain=1.3), 0.2, 2.0),
    (FeedForwardTap(tap_fraction=0.3), 0.5, 2.0),
    (PassiveTap(tap_fraction=0.1), 0.7, 1.0),
]


@pytest.mark.parametrize(
    ("receiver", "share", "dither"), CASES, ids=lambda value: getattr(value, "kind", str(value))
)
def test_certificates_of_sessions_scatter_about_the_planned_one(
    receiver: Receiver, share: float, dither: float
) -> None:
    """8 sessions of 1e6 symbols: their mean within 7 standard errors, below 1e-11.

    The multiplier of the confidence says what a standard deviation is: the planned figure lies at
    least z of them above the asymptotic one.
    """
    plan = _plan(receiver, 20, 500, 100, share=share, dither=dither)
    planned = planned_certificate(plan)
    assert planned.bits < planned.untested_bits
    found = [_session(plan, 500, seed, 10).layers[0].bits_per_value for seed in range(8)]
    # A plane is worth its value and z errors; the other shares of the failure make z larger.
    spread = (planned.bits - planned.asymptotic_bits) / normal_multiplier(FAILURE)
    assert abs(float(np.mean(found)) - planned.bits) < 7 * spread / math.sqrt(8)
    assert float(np.std(found)) < 3 * spread
    assert min(found) > planned.asymptotic_bits


@pytest.mark.slow
@pytest.mark.parametrize(
    ("share", "dither", "samples"), [(0.88, 0.0, 1627), (0.5, 2.0, 200), (0.1, 2.0, 200)]
)
def test_certificate_of_a_long_session_is_the_planned_one(
    share: float, dither: float, samples: int
) -> None:
    """1e9 symbols, or 1.2e8 with displacements, G = 1.3, N = 784: within 7 standard deviations."""
    plan = _plan(Amplifier(gain=1.3), samples, 784, 784, share=share, dither=dither)
    planned = planned_certificate(plan)
    found = _session(plan, 784, 3, 40).layers[0].bits_per_value
    spread = (planned.bits - planned.asymptotic_bits) / normal_multiplier(FAILURE)
    assert planned.asymptotic_bits < found
    assert abs(found - planned.bits) < 7 * spread
