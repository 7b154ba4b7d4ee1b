"""The planned certificate, and the share of X at which it is smallest."""

from dataclasses import replace

import pytest

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier, FeedForwardTap, Receiver
from sim_backend.settings import DetectorSettings, LinkSettings
from tests.physics.certified_sessions import without_luck
from veilight.certificate_plan import CertificatePlan, best_x_share, planned_certificate

PLAN = CertificatePlan(
    link=LinkSettings(receiver=Amplifier(gain=1.3), seed=1, device="cpu"),
    encoding="real",
    photons_per_symbol=0.1,
    modes=784,
    copies=1,
    symbols=10**8,
    failure=1e-6,
)


@pytest.mark.parametrize(("receiver", "dither"), [("amplifier", 0.0), ("feed-forward-tap", 0.5)])
def test_planned_certificate_is_that_of_estimates_that_equal_the_truth(
    receiver: str, dither: float
) -> None:
    chosen: dict[str, Receiver] = {
        "amplifier": Amplifier(gain=1.3),
        "feed-forward-tap": FeedForwardTap(tap_fraction=0.1),
    }
    plan = replace(
        PLAN, link=replace(PLAN.link, receiver=chosen[receiver]), dither_snu=dither, x_share=0.3
    )
    wanted, asymptotic = without_luck(
        receiver, "real", 0.1, 3 * 10**7, 1e-6, symbols_p=7 * 10**7, dither=(0.0, dither)
    )
    found = planned_certificate(plan)
    # Their noise about the dither differs by 1/N of itself, see `honest_channel`.
    assert found.bits == pytest.approx(wanted.bits_per_symbol, rel=1e-3)
    assert found.asymptotic_bits == pytest.approx(asymptotic, rel=2e-3)
    assert found.untested_bits == wanted.untested_bits_per_symbol


def test_best_share_is_no_worse_than_any_other() -> None:
    for dither in (0.0, 2.0):
        plan = replace(PLAN, dither_snu=dither)
        best = best_x_share(plan)
        assert best.asymptotic_bits < best.bits < best.untested_bits
        for share in (0.05, 0.25, 0.5, 0.7, 0.85, 0.95):
            assert best.bits <= planned_certificate(replace(plan, x_share=share)).bits * (1 + 1e-6)
        assert (best.plan.x_share > 0.5) is (dither == 0)


def test_planned_certificate_is_larger_when_loss_is_not_trusted() -> None:
    plain = planned_certificate(PLAN)
    own = replace(PLAN.link, server=DetectorSettings(efficiency=0.8, electronic_noise_snu=0.1))
    lost = replace(PLAN.link, return_transmittance=0.95)
    trusted = planned_certificate(replace(PLAN, link=own))
    untrusted = planned_certificate(replace(PLAN, link=lost))
    assert trusted.asymptotic_bits == pytest.approx(plain.asymptotic_bits, rel=1e-6)
    assert plain.bits < trusted.bits < untrusted.bits


def test_certificate_is_the_untested_bound_when_hardly_anything_is_tested() -> None:
    found = planned_certificate(replace(PLAN, symbols=3))
    assert found.bits == found.untested_bits


def test_plan_refuses_what_is_out_of_range() -> None:
    for changes, text in (
        ({"x_share": 1.0}, "x_share"),
        ({"dither_snu": 1.0, "encoding": "complex"}, "real encoding"),
        ({"copies": 0}, "at least 1"),
    ):
        with pytest.raises(ConfigurationError, match=text):
            replace(PLAN, **changes)


def test_memory_is_feared_only_when_there_are_several_copies() -> None:
    one, ten = (planned_certificate(replace(PLAN, copies=copies)) for copies in (1, 10))
    assert one.bits_with_memory == one.bits
    assert 5 * ten.bits < ten.bits_with_memory < ten.untested_bits
