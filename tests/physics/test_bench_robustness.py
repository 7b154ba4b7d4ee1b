"""Bursts through the bench at the corners of what it is specified for.

Linewidths of 100 Hz to 100 kHz, clocks apart by 50 ppm, 1 m to 43 km of fibre each way, 0.01 to 10
photons per symbol, oscillators of their own or shared. Pilots are those that the link budget
recommends. Where the budget allows a burst it must be found and its moments must be right; where it
does not, the refusal must name the reason.
"""

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pytest
import torch
from scipy import stats

from drivers.backend import Block
from drivers.errors import (
    ConfigurationError,
    LimitError,
    PhaseError,
    SynchronisationError,
    TraceError,
)
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.burst import BurstFormat
from drivers.optics.pilot_budget import (
    PilotAdvice,
    missed_preamble_probability,
    phase_error_variance,
    recommend_pilots,
)
from drivers.optics.preamble_search import detection_threshold
from sim_backend.scene.fibre import FibreSettings
from sim_backend.scene.lasers import LaserSettings
from sim_backend.scene.reference_settings import ReferenceSettings
from tests.blocks import block_of
from tests.waveform_bench import WaveformBench, open_bench, reference_settings

MODES = 64
SCORE_LIMIT = 6.5
"""Of normal scores: 8e-11 each."""
EFFICIENCY = 0.85 * 0.98**2 / 2
"""Of a recorded quadrature, without the losses of controllers and switches."""
TAP = 0.5


@dataclass(frozen=True, kw_only=True)
class Corner:
    """A bench and the light on it. The linewidth is that of each laser."""

    linewidth_hz: float = 10e3
    oscillators: Literal["own", "shared"] = "own"
    fibre_m: float = 1e3
    mu: float = 1.0
    clock_ppm: float = 1.2

    @property
    def id(self) -> str:
        return (
            f"{self.linewidth_hz:g}Hz-{self.oscillators}-{self.fibre_m:g}m-mu{self.mu:g}"
            f"-{self.clock_ppm:+g}ppm"
        )

    @property
    def transmittance(self) -> float:
        """Of one fibre."""
        return float(10 ** (-(0.2 * self.fibre_m / 1e3 + 0.5) / 10))

    @property
    def return_gain(self) -> float:
        return float(self.transmittance * ((1 - TAP) * EFFICIENCY) ** 0.5)

    def settings(self) -> ReferenceSettings:
        fibre = FibreSettings(length_m=self.fibre_m, polarisation_scrambled=False)
        scene = reference_settings(tap=TAP, fibre=fibre)

        def laser(one: LaserSettings) -> LaserSettings:
            return replace(one, linewidth_hz=self.linewidth_hz)

        return replace(
            scene,
            oscillators=self.oscillators,
            server_laser=laser(scene.server_laser),
            client_oscillator_laser=laser(scene.client_oscillator_laser),
            server_oscillator_laser=laser(scene.server_oscillator_laser),
            client_adc=replace(scene.client_adc, clock_offset_ppm=self.clock_ppm),
            data_dac=replace(scene.data_dac, clock_offset_ppm=self.clock_ppm),
        )

    def pilots(self) -> PilotAdvice:
        # Light and oscillator of one laser have forgotten each other after a long fibre.
        return recommend_pilots(
            gain=self.return_gain, linewidth_hz=2 * self.linewidth_hz, symbol_rate_hz=100e6
        )

    def open(self) -> WaveformBench:
        pilots = self.pilots()
        return open_bench(
            self.settings(),
            burst=BurstFormat(pilot_spacing=pilots.spacing),
            pilot_photons=pilots.photons,
            modes_per_frame=MODES,
            calibration_samples=1 << 20,
            phase_noise_rad=max(0.02, pilots.phase_variance_rad2**0.5),
            clock_error=0.2e-6,
        )


CORNERS = [
    *(Corner(linewidth_hz=w) for w in (100.0, 1e3, 10e3, 100e3)),
    *(Corner(linewidth_hz=w, oscillators="shared") for w in (100.0, 100e3)),
    *(Corner(fibre_m=length) for length in (1.0, 10e3, 43e3)),
    Corner(fibre_m=43e3, oscillators="shared"),
    Corner(fibre_m=43e3, linewidth_hz=100.0, mu=10.0),
    Corner(fibre_m=43e3, linewidth_hz=100e3, mu=0.01),
    Corner(fibre_m=1.0, linewidth_hz=100e3, oscillators="shared", mu=10.0),
    *(Corner(mu=mu) for mu in (0.01, 10.0)),
    *(Corner(clock_ppm=ppm) for ppm in (-50.0, 50.0)),
    Corner(clock_ppm=50.0, fibre_m=43e3, linewidth_hz=100e3),
]


def _block(index: int, *, inputs: int = 32, rows: int = 16) -> Block:
    return block_of(index, inputs=inputs, rows=rows, modes=MODES)


def _return_gain(bench: WaveformBench) -> float:
    """Amplitude gain of a launched mean in the server's record, as calibrated."""
    server = bench.link.settings.server
    passed = server.forward_transmittance * (1 - TAP) * server.return_transmittance
    return float((passed * server.detection_efficiency) ** 0.5)


@pytest.mark.parametrize("corner", CORNERS, ids=lambda corner: corner.id)
def test_bench_has_the_right_moments_at_every_corner(corner: Corner) -> None:
    bench = corner.open()
    link, pilots = bench.link, corner.pilots()
    return_gain = _return_gain(bench)
    generator = torch.Generator().manual_seed(2)
    block = _block(0)
    data = torch.rand(block.inputs, MODES, generator=generator) + 0.2
    data /= data.norm(dim=1, keepdim=True)
    means = 2 * corner.mu**0.5 * torch.randn(32, 16, MODES, generator=generator)
    in_p = torch.rand(32, 16, generator=generator) < 0.5
    link.client.load(block, data)
    link.server.send(block, means)
    outcomes = link.client.measure(block)
    returned = link.server.collect_full(block, in_p)
    wanted = torch.einsum("im,irm->ir", data, means)
    gain = float((wanted * outcomes).sum() / wanted.square().sum())
    back = float((means[~in_p] * returned[~in_p]).sum() / means[~in_p].square().sum())
    noise_p = float(returned[in_p].var())
    server = link.server.last
    assert server is not None
    print(
        f"\n{corner.id:38} pilots {pilots.photons:8.0f} every {pilots.spacing:2}, amplitude "
        f"{server.pilot_amplitude:6.1f}, phase {server.phase.mean_variance_rad2:.1e} "
        f"(budget {pilots.phase_variance_rad2:.1e}) rad^2, gain {gain:.3f} of "
        f"{link.settings.client.signal_gain:.3f}, back {back:.4f} of {return_gain:.4f}, "
        f"var P {noise_p:.3f}"
    )
    # Calibrated gains do not hold the mean phase error, nor the bandwidths: 2 % are allowed.
    variance = 1 + 4 * link.settings.client.electronic_noise_snu
    allowed = SCORE_LIMIT * math.sqrt(variance / float(wanted.square().sum()))
    expected = link.settings.client.signal_gain
    assert abs(gain - expected) < allowed + 0.02 * expected
    allowed = SCORE_LIMIT * math.sqrt(1.1 / float(means[~in_p].square().sum()))
    assert abs(back - return_gain) < allowed + 0.02 * return_gain
    # What the phase error turns into P; the unit of variance is known to 0.5 %, pooled.
    turned = server.phase.mean_variance_rad2 * 4 * corner.mu * return_gain**2
    expected = 1 + link.settings.server.electronic_noise_snu + turned
    spread = expected * math.hypot(math.sqrt(2 / returned[in_p].numel()), 0.005)
    assert abs(noise_p - expected) < SCORE_LIMIT * spread


def _short_bursts(
    photons: float,
    bursts: int,
    *,
    linewidth_hz: float = 100.0,
    settings: ReferenceSettings | None = None,
    phase_noise_rad: float = 0.2,
) -> Counter[str]:
    """What becomes of many bursts of one frame: "good" or the name of the error."""
    bench = open_bench(
        settings or Corner(linewidth_hz=linewidth_hz).settings(),
        pilot_photons=photons,
        modes_per_frame=16,
        calibration_samples=1 << 19,
        phase_noise_rad=phase_noise_rad,
    )
    data, means = torch.full((1, 16), 0.25), torch.zeros(1, 1, 16)
    found: Counter[str] = Counter()
    for index in range(bursts):
        block = replace(_block(index, inputs=1, rows=1), modes=16)
        bench.link.client.load(block, data)
        bench.link.server.send(block, means)
        try:
            bench.link.client.measure(block)
            bench.link.server.collect_full(block, torch.zeros(1, 1, dtype=torch.bool))
            found["good"] += 1
        except TraceError as error:
            found[type(error).__name__] += 1
    return found


def test_preamble_is_missed_no_more_often_than_the_budget_says() -> None:
    # 4000 preambles each at 0.9 and 1.0 of a vacuum's variance. The formula is a bound, so that
    # more misses than it says have a probability below 1e-10, and not a loose one.
    draws, rng = 4000, np.random.default_rng(8)
    threshold = detection_threshold(513, 1e-6)
    for power in (0.9, 1.0):
        noise = rng.standard_normal((draws, 511, 2)) @ np.array([1.0, 1.0j])
        values = math.sqrt(power) + noise
        products = values[:, 1:] * values[:, :-1].conj()
        statistic = np.abs(products.sum(1)) ** 2 / (np.abs(products) ** 2).sum(1)
        missed = int((statistic < threshold).sum())
        promised = missed_preamble_probability(power)
        print(
            f"\nA^2 = {power}: {missed} of {draws} missed, the budget says {draws * promised:.0f}"
        )
        assert missed > 0.5 * promised * draws
        assert stats.binom.sf(missed - 1, draws, promised) > 1e-10


def test_budget_allows_what_it_recommends() -> None:
    # Where pilots have the least power that is recommended, 20 times the noise, a preamble is
    # missed less than once in 1e80; at 1.3 times the noise it is once in 4e3, below 1e-3.
    assert missed_preamble_probability(20.0) < 1e-80
    assert missed_preamble_probability(1.3) < 1e-3
    for corner in CORNERS:
        assert corner.pilots().amplitude_snu ** 2 > 20


def test_no_burst_is_lost_by_synchronisation_when_pilots_are_dim() -> None:
    # 10 photons give A^2 = 4.1 at the server and 5.8 at the client: 60 losses of 1e-3 are 6 %.
    assert _short_bursts(10.0, 60) == {"good": 60}


@pytest.mark.slow
def test_synchronisation_fails_less_than_once_in_a_thousand_when_pilots_are_dim() -> None:
    # A rate of 1e-3 would give 2 failures in 2000 bursts; none at all has then a probability of
    # 13 %, more than 24 one of 1e-9.
    found = _short_bursts(8.0, 2000)
    print(found)
    assert found["SynchronisationError"] <= 24
    assert found["good"] > 1900


@pytest.mark.parametrize(
    ("photons", "linewidth_hz", "clock_ppm", "error", "says"),
    [
        (6.0, 100e3, 1.2, PhaseError, "pilots are too dim|phase cannot be followed"),
        (2000.0, 1e6, 1.2, PhaseError, "phase cannot be followed: .*linewidth .* kHz"),
        (2000.0, 10e3, 120.0, SynchronisationError, "clocks differ by 1[12]|ppm"),
    ],
    ids=["dim-pilots", "broad-lasers", "far-clocks"],
)
def test_bench_refuses_by_name_when_the_budget_allows_nothing(
    photons: float,
    linewidth_hz: float,
    clock_ppm: float,
    error: type[TraceError],
    says: str,
) -> None:
    corner = Corner(linewidth_hz=linewidth_hz, clock_ppm=clock_ppm)
    bench = open_bench(
        corner.settings(),
        pilot_photons=photons,
        modes_per_frame=MODES,
        calibration_samples=1 << 19,
        phase_noise_rad=0.2,
    )
    block = _block(0)
    bench.link.client.load(block, torch.full((32, MODES), 1 / 8))
    bench.link.server.send(block, torch.zeros(1, 16, MODES))
    with pytest.raises(error, match=says) as caught:
        _through(bench, block)
    print(f"\n{caught.value}")


def test_link_is_refused_before_any_light_when_the_pilots_cannot_be_found() -> None:
    # A^2 is 0.58 at the client and 0.41 at the server, where the search needs 1.3.
    with pytest.raises(LimitError, match=r"pilots are too dim.*set pilot_photons to at least"):
        open_bench(pilot_photons=1.0, modes_per_frame=MODES, calibration_samples=1 << 17)


def _through(bench: WaveformBench, block: Block) -> None:
    bench.link.client.measure(block)
    bench.link.server.collect_full(block, torch.zeros(32, 16, dtype=torch.bool))


def test_pilots_are_denser_and_brighter_when_phase_or_loss_ask_for_it() -> None:
    def pilots(gain: float, linewidth_hz: float) -> PilotAdvice:
        return recommend_pilots(gain=gain, linewidth_hz=linewidth_hz, symbol_rate_hz=100e6)

    assert pilots(0.3, 200.0).spacing == 16
    assert pilots(0.3, 20e3).spacing == 8
    assert pilots(0.3, 200e3).spacing == 2
    assert not pilots(0.3, 200e3).meets_target
    frames = BenchFrames().with_pilots(pilots(0.3, 200e3))
    assert frames.format.pilot_spacing == 2
    assert frames.pilot_photons == pilots(0.3, 200e3).photons
    # Half the gain needs four times the photons.
    assert pilots(0.15, 20e3).photons == pytest.approx(4 * pilots(0.3, 20e3).photons, rel=1e-3)


def test_pilot_budget_predicts_the_error_of_a_bridge_when_pilots_are_bright() -> None:
    # Noiseless pilots leave a Brownian bridge: q (s + 1)/6 on average over the inner slots.
    found = phase_error_variance(
        gain=1.0, photons=1e9, spacing=8, linewidth_hz=20e3, symbol_rate_hz=100e6
    )
    assert found == pytest.approx(2 * math.pi * 2e-4 * 9 / 6, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "value"),
    [("gain", 0.0), ("gain", math.nan), ("linewidth_hz", -1.0), ("brightest_photons", 0.0)],
    ids=["no-gain", "gain-nan", "linewidth-negative", "no-photons"],
)
def test_pilot_budget_refuses_what_is_no_path(name: str, value: float) -> None:
    given = {"gain": 0.3, "linewidth_hz": 1e4, "brightest_photons": 1e5, name: value}
    with pytest.raises(ConfigurationError, match=name):
        recommend_pilots(
            gain=given["gain"],
            linewidth_hz=given["linewidth_hz"],
            symbol_rate_hz=1e8,
            brightest_photons=given["brightest_photons"],
        )
