"""Fits against exact data and against slow references, and what they refuse."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.linalg import toeplitz
from scipy.optimize import minimize
from scipy.stats import chi2

from calibration.fits.amplifier import fit_amplifier
from calibration.fits.delay import fit_delay
from calibration.fits.ellipse import fit_ellipse
from calibration.fits.estimates import Estimate
from calibration.fits.least_squares import PowerNoise
from calibration.fits.line import fit_line
from calibration.fits.linewidth import fit_linewidth
from calibration.fits.loss import fit_loss
from calibration.fits.mach_zehnder import fit_mach_zehnder
from calibration.fits.noise_power import fit_noise_power
from calibration.fits.ratio import fieller, ratio_of_means
from calibration.fits.sine import fit_sine
from calibration.fits.variance import sample_variance, variance_estimate
from drivers.errors import CalibrationError

NOISE = PowerNoise(relative=0.01, floor=1e-8)


def test_line_has_textbook_errors_when_all_points_weigh_alike() -> None:
    x = np.array([0.0, 1.0, 2.0, 3.0])
    fit = fit_line(x, 1 + 2 * x, np.full(4, 0.5))
    assert fit.slope.value == pytest.approx(2)
    assert fit.intercept.value == pytest.approx(1)
    spread = ((x - x.mean()) ** 2).sum()
    assert fit.slope.uncertainty == pytest.approx(0.5 / math.sqrt(spread))
    assert fit.covariance == pytest.approx(-(0.5**2) * x.mean() / spread)
    assert fit.fit.goodness.chi_square == pytest.approx(0, abs=1e-20)
    assert fit.fit.goodness.degrees_of_freedom == 2
    assert fit.at(1.5).uncertainty == pytest.approx(0.25)


def test_line_chi_square_is_the_sum_of_squares_when_points_scatter() -> None:
    fit = fit_line([0, 1, 2], [0, 1.5, 0], [1, 1, 1])
    assert fit.fit.goodness.chi_square == pytest.approx(1.5)
    assert fit.fit.goodness.p_value == pytest.approx(float(chi2.sf(1.5, 1)))


def test_noise_power_gives_terms_and_clearance_when_data_are_exact() -> None:
    power = np.linspace(0, 5e-3, 6)
    fit = fit_noise_power(power, 2e-6 + 4e-3 * power + 5e-2 * power**2, 1000)
    assert fit.floor.value == pytest.approx(2e-6)
    assert fit.slope.value == pytest.approx(4e-3)
    assert fit.excess.value == pytest.approx(5e-2)
    assert fit.clearance_db(5e-3).value == pytest.approx(10)
    assert fit.electronic_noise_snu(5e-3).value == pytest.approx(0.1)
    assert fit.excess_noise_snu(5e-3).value == pytest.approx(0.0625)


def test_noise_power_is_the_maximum_of_the_likelihood_when_variances_scatter() -> None:
    rng = np.random.default_rng(8)
    power = np.linspace(0, 1, 8)
    freedom = 40.0
    data = (0.2 + power + 0.1 * power**2) * rng.chisquare(freedom, 8) / freedom

    def misfit(values: np.ndarray) -> float:
        mean = values[0] + values[1] * power + values[2] * power**2
        return float(freedom * (np.log(np.maximum(mean, 1e-9)) + data / mean).sum())

    best = minimize(
        misfit,
        [0.2, 1, 0.1],
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 10000},
    )
    fit = fit_noise_power(power, data, freedom)
    np.testing.assert_allclose(fit.fit.parameters, best.x, rtol=1e-4)


def test_noise_power_is_less_sure_when_the_power_meter_is() -> None:
    power = np.linspace(0, 1, 8)
    sure = fit_noise_power(power, 0.1 + power, 1e6)
    unsure = fit_noise_power(power, 0.1 + power, 1e6, power_uncertainty_w=0.01)
    assert unsure.slope.uncertainty > 3 * sure.slope.uncertainty


@pytest.mark.parametrize("v_pi", [1.3, 2.9, 5.5])
@pytest.mark.parametrize("bias", [-1.2, 0.0, 0.9])
def test_mach_zehnder_finds_its_parameters_when_started_blind(v_pi: float, bias: float) -> None:
    volts = np.linspace(-6, 6, 61)
    power = 1e-6 + 1e-3 * np.sin(np.pi * (volts - bias) / (2 * v_pi)) ** 2
    fit = fit_mach_zehnder(volts, power, NOISE)
    assert fit.v_pi_v.value == pytest.approx(v_pi)
    assert fit.null_bias_v.value == pytest.approx(bias, abs=1e-6)
    assert fit.extinction_db is not None
    assert fit.extinction_db.value == pytest.approx(10 * math.log10(1001))
    assert fit.at(bias) == pytest.approx(1e-6)


def test_mach_zehnder_gives_a_bound_only_when_the_null_is_in_the_noise() -> None:
    volts = np.linspace(-6, 6, 61)
    power = 1e-3 * np.sin(np.pi * volts / 8) ** 2
    fit = fit_mach_zehnder(volts, power, PowerNoise(relative=0.01, floor=1e-6))
    assert fit.extinction_db is None
    assert 25 < fit.extinction_at_least_db < 40


def test_loss_is_found_when_the_far_end_reads_below_zero() -> None:
    km = np.array([0.0, 10, 50, 100, 150])
    power = 1e-3 * 10 ** (-0.2 * km / 10)
    power[4] = -1e-7
    fit = fit_loss(km, power, PowerNoise(relative=0.01, floor=1e-6))
    assert fit.loss_db.value == pytest.approx(0.2, rel=0.01)
    assert fit.launched_w.value == pytest.approx(1e-3, rel=0.01)
    assert fit.transmittance(50).value == pytest.approx(0.1, rel=0.03)


def test_sine_has_its_bits_when_an_ideal_converter_rounds_it() -> None:
    time = np.arange(4096)
    step = 1 / 2**8
    clean = 0.499 * np.sin(2 * np.pi * 0.0713829 * time)
    fit = fit_sine(np.round(clean / step) * step, 1.0, 1.0)
    assert fit.effective_bits.value == pytest.approx(8, abs=0.05)
    assert fit.frequency_hz.value == pytest.approx(0.0713829, rel=1e-6)
    assert fit.amplitude_v.value == pytest.approx(0.499, rel=1e-3)


def test_linewidth_is_the_maximum_of_the_full_likelihood_when_computed_slowly() -> None:
    rng = np.random.default_rng(9)
    count, walk, reading = 120, 0.02, 0.01
    phase = np.cumsum(math.sqrt(walk) * rng.standard_normal(count))
    phase += math.sqrt(reading) * rng.standard_normal(count)
    steps = np.diff(phase)

    def misfit(logs: np.ndarray) -> float:
        q, r = np.exp(logs[:2])
        covariance = toeplitz([q + 2 * r, -r, *np.zeros(count - 3)])
        left = steps - logs[2]
        return float(np.linalg.slogdet(covariance)[1] + left @ np.linalg.solve(covariance, left))

    start = [math.log(walk), math.log(reading), 0.0]
    best = minimize(
        misfit, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9, "maxiter": 4000}
    )
    fit = fit_linewidth(phase, 1e-7)
    per_hertz = 2 * math.pi * 1e-7
    assert fit.linewidth_hz.value * per_hertz == pytest.approx(math.exp(best.x[0]), rel=2e-3)
    assert fit.measurement_variance_rad2.value == pytest.approx(math.exp(best.x[1]), rel=2e-3)
    assert fit.frequency_offset_hz.value * per_hertz == pytest.approx(best.x[2], abs=1e-4)
    assert fit.goodness.degrees_of_freedom == 14
    assert fit.goodness.p_value > 1e-4


@pytest.mark.parametrize("delay", [-7.25, 0.0, 12.6])
def test_delay_is_exact_when_there_is_no_noise(delay: float) -> None:
    time = np.arange(200.0)
    played = np.exp(-(((time - 80) / 6) ** 2))
    fit = fit_delay(played, 0.3 - 2 * np.exp(-(((time - 80 - delay) / 6) ** 2)), 2e9)
    assert fit.delay_s.value == pytest.approx(delay / 2e9, abs=1e-15)
    assert fit.amplitude.value == pytest.approx(-2)


def test_delay_reaches_the_bound_when_noise_is_white() -> None:
    rng = np.random.default_rng(10)
    time = np.arange(300.0)
    played = np.exp(-(((time - 80) / 6) ** 2))
    fit = fit_delay(played, played + 0.05 * rng.standard_normal(300), 1.0)
    slope = -2 * (time - 80) / 36 * played
    assert fit.delay_s.uncertainty == pytest.approx(
        fit.noise / abs(fit.amplitude.value) / math.sqrt((slope**2).sum()), rel=0.02
    )


def test_ellipse_is_exact_when_there_is_no_noise() -> None:
    phase = np.linspace(0, 2 * np.pi, 50)
    fit = fit_ellipse(0.2 + 2 * np.cos(phase), -1 + 1.5 * np.sin(phase - 0.3))
    assert fit.gain_ratio.value == pytest.approx(0.75)
    assert fit.quadrature_error_rad.value == pytest.approx(-0.3)
    assert (fit.offset_i.value, fit.offset_q.value) == pytest.approx((0.2, -1))
    assert fit.amplitude.value == pytest.approx(2)


def test_amplifier_gives_noise_of_the_ideal_one_when_inverted_fully() -> None:
    seed = np.linspace(1e-8, 1e-6, 5)
    emission = 19 * 6.62607015e-34 * 299792458 / 1.55e-6 * 1e10
    fit = fit_amplifier(
        seed,
        20 * seed + emission,
        np.full(5, 1e-12),
        wavelength_m=1.55e-6,
        bandwidth_hz=1e10,
        polarisations=1,
    )
    assert fit.gain.value == pytest.approx(20)
    assert fit.inversion.value == pytest.approx(1, rel=1e-4)
    assert fit.added_noise_snu.value == pytest.approx(38, rel=1e-4)


def test_fieller_is_symmetric_in_the_ratio_and_its_inverse() -> None:
    forth = fieller(2.0, 5.0, variance_numerator=0.1, variance_denominator=0.2, covariance=0.05)
    back = fieller(5.0, 2.0, variance_numerator=0.2, variance_denominator=0.1, covariance=0.05)
    assert forth.interval95[0] == pytest.approx(1 / back.interval95[1])
    assert forth.interval95[1] == pytest.approx(1 / back.interval95[0])


def test_paired_ratio_is_exact_when_all_changes_are_common() -> None:
    bottom = np.array([1.0, 2.0, 3.0, 4.0])
    estimate = ratio_of_means(0.1 * bottom, bottom, paired=True)
    assert estimate.interval95 == pytest.approx((0.1, 0.1))


def test_variance_has_the_quantiles_of_chi_square() -> None:
    estimate = sample_variance([1.0, 3.0, 5.0])
    assert estimate.value == 4
    assert estimate.interval95 == pytest.approx((8 / chi2.ppf(0.975, 2), 8 / chi2.ppf(0.025, 2)))


def test_estimate_keeps_its_order_when_scaled_by_a_negative_factor() -> None:
    scaled = Estimate(value=1.0, uncertainty=0.5, interval95=(0.0, 3.0)).scaled(-2)
    assert (scaled.value, scaled.uncertainty, scaled.interval95) == (-2.0, 1.0, (-6.0, 0.0))
    quantity = scaled.quantity("gain", "1", claimed=-1.0)
    assert (quantity.value, quantity.interval95, quantity.claimed) == (-2.0, (-6.0, 0.0), -1.0)


RNG = np.random.default_rng(11)
VOLTS = np.linspace(-6, 6, 61)
REFUSALS: dict[str, tuple[Callable[[], object], str]] = {
    "line-nan": (lambda: fit_line([0, 1, 2], [0, math.nan, 2], [1, 1, 1]), "not finite"),
    "line-one-x": (lambda: fit_line([1, 1, 1], [0, 1, 2], [1, 1, 1]), "different settings"),
    "line-short": (lambda: fit_line([0, 1], [0, 1], [1, 1]), "at least 3"),
    "line-lengths": (lambda: fit_line([0, 1, 2], [0, 1, 2, 3], [1, 1, 1]), "3, 4, 3 points"),
    "line-sure": (lambda: fit_line([0, 1, 2], [0, 1, 2], [1, 0, 1]), "above 0"),
    "noise-zero": (lambda: fit_noise_power([0, 1, 2, 3], [1, 0, 1, 1], 9), "above 0"),
    "noise-dark": (
        lambda: fit_noise_power(VOLTS, np.full(61, 0.3), 100).clearance_db(1.0),
        "within .* of 0",
    ),
    "mach-zehnder-span": (
        lambda: fit_mach_zehnder(VOLTS, 1e-3 * np.sin(VOLTS / 40) ** 2, NOISE),
        "sweep",
    ),
    "mach-zehnder-flat": (
        lambda: fit_mach_zehnder(VOLTS, 1e-8 * RNG.standard_normal(61), NOISE),
        "swings|converge|sweep",
    ),
    "mach-zehnder-one": (
        lambda: fit_mach_zehnder(np.ones(9), np.ones(9), NOISE),
        "one bias voltage",
    ),
    "loss-dark": (lambda: fit_loss([0, 1, 2], [1e-9, 1e-9, 0], NOISE), "launch more light"),
    "sine-noise": (lambda: fit_sine(RNG.standard_normal(512), 1.0, 1.0), "no sine"),
    "sine-rate": (lambda: fit_sine(np.sin(np.arange(99)), math.nan, 1.0), "must be above 0"),
    "linewidth-noise": (
        lambda: fit_linewidth(RNG.standard_normal(200), 1e-7),
        "read the phase less often",
    ),
    "linewidth-still": (lambda: fit_linewidth(np.zeros(200), 1e-7), "all phase steps are equal"),
    "delay-noise": (
        lambda: fit_delay(np.hanning(40), RNG.standard_normal(300), 1.0),
        "are needed|converge",
    ),
    "delay-constant": (lambda: fit_delay(np.ones(40), np.ones(40), 1.0), "constant"),
    "ellipse-line": (lambda: fit_ellipse(VOLTS, 2 * VOLTS), "ellipse"),
    "ellipse-point": (lambda: fit_ellipse(np.ones(20), np.ones(20)), "one place"),
    "amplifier-loss": (
        lambda: fit_amplifier(
            VOLTS, 0.5 * VOLTS, np.full(61, 0.1), wavelength_m=1e-6, bandwidth_hz=1e9
        ),
        "raise the pump",
    ),
    "ratio-zero": (lambda: ratio_of_means([1, 2, 3], [-1, 0, 1.1], paired=False), "of 0"),
    "ratio-pairs": (lambda: ratio_of_means([1, 2, 3], [1, 2, 3, 4], paired=True), "in pairs"),
    "variance-nan": (lambda: variance_estimate(math.nan, 3), "record more"),
    "noise-model": (lambda: PowerNoise(relative=math.nan, floor=1.0), "relative noise is nan"),
    "noise-floor": (lambda: PowerNoise(relative=0.0, floor=0.0), "noise floor is 0.0"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_fit_refuses_by_name_when(name: str) -> None:
    call, message = REFUSALS[name]
    with pytest.raises(CalibrationError, match=message):
        call()
