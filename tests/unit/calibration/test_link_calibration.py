import math

import pytest

from calibration.link import calibrate_link
from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from sim_backend.adversaries import keeps_fraction
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink

RECEIVERS = [Amplifier(gain=2.0), FeedForwardTap(tap_fraction=0.3), PassiveTap(tap_fraction=0.3)]


def _lossy(receiver: Receiver, seed: int = 1) -> LinkSettings:
    return LinkSettings(
        receiver=receiver,
        forward_transmittance=0.9,
        return_transmittance=0.8,
        client=DetectorSettings(efficiency=0.85, visibility=0.98, electronic_noise_snu=0.1),
        server=DetectorSettings(efficiency=0.9, electronic_noise_snu=0.05),
        seed=seed,
    )


@pytest.mark.parametrize("receiver", RECEIVERS)
def test_calibrate_link_recovers_the_links_values_when_it_is_lossy(receiver: Receiver) -> None:
    link = SymbolLink(_lossy(receiver))
    found = calibrate_link(link.server, link.client)
    # Three scores of standard normal size; beyond 6.5 with a probability below 1e-9.
    for measured in (found.signal_gain, found.outcome_variance_snu, found.return_gain):
        assert abs(measured.score) < 6.5
        assert measured.uncertainty < 0.05 * measured.value


def test_calibrate_link_states_honest_uncertainties_over_many_links() -> None:
    scores = []
    for seed in range(60):
        link = SymbolLink(_lossy(Amplifier(gain=2.0), seed))
        found = calibrate_link(link.server, link.client, inputs=32, rows=16, modes=16, seed=seed)
        scores += [found.signal_gain.score, found.outcome_variance_snu.score]
    variance = sum(score**2 for score in scores) / len(scores)
    # chi-square of 120 degrees of freedom: outside 0.35 to 2.2 with a probability below 1e-9.
    assert 0.35 < variance < 2.2


def test_calibrate_link_sees_missing_light_when_the_client_keeps_it() -> None:
    link = SymbolLink(_lossy(Amplifier(gain=2.0)), keeps_fraction(0.1))
    assert calibrate_link(link.server, link.client).return_gain.score < -10


def test_calibrate_link_reports_vacuum_when_nothing_returns() -> None:
    link = SymbolLink(LinkSettings(receiver=PassiveTap(tap_fraction=1.0), seed=1))
    found = calibrate_link(link.server, link.client)
    assert abs(found.return_gain.value) < 6.5 * found.return_gain.uncertainty
    assert found.return_variance_x_snu.value == pytest.approx(1, abs=0.02)


def test_calibrated_descriptions_carry_values_and_uncertainties() -> None:
    link = SymbolLink(_lossy(Amplifier(gain=2.0)))
    found = calibrate_link(link.server, link.client)
    client = found.client_info(link.client.describe())
    server = found.server_info(link.server.describe())
    assert client.signal_gain == found.signal_gain.value
    assert server.gain_uncertainty == pytest.approx(
        found.return_gain.uncertainty / found.return_gain.value
    )
    assert server.variance_uncertainty > 0


@pytest.mark.parametrize("photons", [0.0, -1.0, math.nan, math.inf])
def test_calibrate_link_refuses_when_photons_are_out_of_range(photons: float) -> None:
    link = SymbolLink(LinkSettings(seed=1))
    with pytest.raises(ConfigurationError, match="photons_per_symbol"):
        calibrate_link(link.server, link.client, photons_per_symbol=photons)


def test_calibrate_link_refuses_when_frames_are_few() -> None:
    link = SymbolLink(LinkSettings(seed=1))
    with pytest.raises(ConfigurationError, match="too few"):
        calibrate_link(link.server, link.client, inputs=1, rows=4)
