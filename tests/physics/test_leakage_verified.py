"""Weight leakage under verification: printed tables, brute force over covariance matrices."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.receivers import Amplifier, FeedForwardTap
from protocol.leakage import (
    returned_channel,
    thermal_entropy_bits,
    weight_bits_client_homodynes_all_real,
    weight_bits_client_keeps_all_gaussian_complex,
    weight_bits_client_keeps_all_gaussian_real,
    weight_bits_client_keeps_fraction_complex,
    weight_bits_client_keeps_fraction_real,
    weight_bits_client_verified_complex,
    weight_bits_client_verified_real,
    weight_bits_client_x_only_tested_real,
)

FloatArray = NDArray[np.float64]

_EXCESS = {"1.3": 2 * (1 - 1 / 1.3) / 784, "2": 1 / 784}

# 0.00195 at mu = 0.05, G = 1.3: 0.001949 in 50 digits (`_real_reference`), sometimes quoted as
# 0.0020 after rounding twice.
_VERIFIED = """
0.01  0.00040 0.00078 0.0043 0.0074 0.0143 0.0221 0.0025 0.0130 0.0468
0.013 0.00052 0.00101 0.0056 0.0096 0.0184 0.0284 0.0033 0.0165 0.0584
0.05  0.00195 0.0038  0.0209 0.0354 0.0668 0.1003 0.0118 0.0546 0.175
0.1   0.0038  0.0074  0.0401 0.0676 0.1256 0.1853 0.0224 0.0979 0.296
1     0.0314  0.0596  0.285  0.444  0.725  0.955  0.159  0.543  1.194
"""
_CHANNELS = (
    (1.0, _EXCESS["1.3"]),
    (1.0, _EXCESS["2"]),
    (1.0, 0.01),
    (1.0, 0.02),
    (1.0, 0.05),
    (1.0, 0.1),
    (0.99, _EXCESS["2"]),
    (0.9, _EXCESS["2"]),
    (0.5, _EXCESS["2"]),
)


def _printed(text: str) -> object:
    """1 % or half a unit of the last printed digit, whichever is larger."""
    half_unit = 0.5 * 10 ** -len(text.partition(".")[2])
    return pytest.approx(float(text), rel=0.01, abs=half_unit)


@pytest.mark.parametrize("row", _VERIFIED.strip().splitlines())
def test_verified_real_matches_table_when_channel_is_given(row: str) -> None:
    photons, *cells = row.split()
    for (transmittance, excess), cell in zip(_CHANNELS, cells, strict=True):
        value = weight_bits_client_verified_real(float(photons), transmittance, excess, excess)
        assert value == _printed(cell), (transmittance, excess)


def test_complex_leaks_2_5_times_less_when_photons_per_weight_are_equal() -> None:
    """mu = 0.1 per weight, so 0.2 per complex symbol; eps = 2 (1 - 1/2)/392 on 392 modes."""
    excess = 1 / 392
    per_weight = weight_bits_client_verified_complex(0.2, 1.0, excess, excess) / 2
    assert per_weight == _printed("0.0029")
    real = weight_bits_client_verified_real(0.1, 1.0, _EXCESS["2"], _EXCESS["2"])
    assert real == _printed("0.0074")
    assert 2.4 < real / per_weight < 2.7


@pytest.mark.parametrize(
    ("receiver", "excess_p", "bits"),
    [
        (Amplifier(gain=2.0), None, "0.0092"),
        (Amplifier(gain=1.1), None, "0.0095"),
        (Amplifier(gain=1.02), None, "0.0104"),
        (FeedForwardTap(tap_fraction=0.1), None, "0.0012"),
        (FeedForwardTap(tap_fraction=0.1), 0.1, "0.0028"),
        (FeedForwardTap(tap_fraction=0.01), None, "0.0012"),
        (FeedForwardTap(tap_fraction=0.01), 0.01, "0.0028"),
    ],
)
def test_verified_real_matches_receiver_table_when_scale_squared_is_a_quarter(
    receiver: Amplifier | FeedForwardTap, excess_p: float | None, bits: str
) -> None:
    """F^2 = 4 mu f = 0.25, 784 modes; P excess of the tap 0, or tau for its unmatched P gain."""
    mu = 0.25 / (4 * receiver.snr_factor)
    channel = returned_channel(receiver, 784)
    noise_p = channel.excess_noise_p_snu if excess_p is None else excess_p / 784
    value = weight_bits_client_verified_real(
        mu, channel.transmittance, channel.excess_noise_x_snu, noise_p
    )
    assert value == _printed(bits)


_FORM = np.kron(np.eye(2), np.array([[0.0, 1.0], [-1.0, 0.0]]))


def _covariances(
    mu: float,
    t: float,
    eps: tuple[float, float],
    correlation_p: FloatArray,
    cross: FloatArray | float = 0.0,
) -> FloatArray:
    """Entangled pair with the sent half squeezed, order (x_A, p_A, x_B, p_B), batched.

    c_p and cov(p_A, x_B) = cross are what the server cannot observe.
    """
    v = math.sqrt(1 + 4 * mu)
    batch = np.zeros((correlation_p.size, 4, 4))
    batch[:] = np.diag([v, v, 4 * mu * t + 1 + eps[0], 1 + eps[1]])
    batch[:, 0, 2] = batch[:, 2, 0] = math.sqrt(t * v * 4 * mu)
    batch[:, 1, 3] = batch[:, 3, 1] = correlation_p
    batch[:, 1, 2] = batch[:, 2, 1] = cross
    return batch


def _physical(covariances: FloatArray) -> FloatArray:
    lowest = np.linalg.eigvalsh(covariances + 1j * _FORM)[:, 0]
    return covariances[lowest > -1e-12]


def _holevo(covariances: FloatArray, eps: tuple[float, float]) -> list[float]:
    """S(AB) - S(B|w) from the symplectic eigenvalues of each covariance matrix."""
    conditional = thermal_entropy_bits((math.sqrt((1 + eps[0]) * (1 + eps[1])) - 1) / 2)
    eigenvalues = np.sort(np.abs(np.linalg.eigvals(1j * _FORM @ covariances)), axis=1)
    nus = np.maximum(eigenvalues[:, ::2], 1.0)
    return [
        sum(thermal_entropy_bits((float(nu) - 1) / 2) for nu in pair) - conditional for pair in nus
    ]


@pytest.mark.parametrize("mu", [0.05, 1.0])
@pytest.mark.parametrize("t", [1.0, 0.9, 0.3])
@pytest.mark.parametrize("eps", [(0.02, 0.02), (0.1, 0.01), (0.01, 3.0)])
def test_verified_real_matches_brute_force_when_every_p_correlation_is_tried(
    mu: float, t: float, eps: tuple[float, float]
) -> None:
    """A grid over every c_p, physical or not, then the largest value of the physical ones."""
    bound = weight_bits_client_verified_real(mu, t, *eps)
    reach = math.sqrt(math.sqrt(1 + 4 * mu) * (1 + eps[1]))
    grid = _covariances(mu, t, eps, np.linspace(-reach, reach, 4001))
    best = max(_holevo(_physical(grid), eps))
    assert best <= bound + 1e-9
    assert best == pytest.approx(bound, rel=0.01)


def test_verified_real_is_not_beaten_when_unobserved_cross_correlations_are_drawn() -> None:
    mu, t, eps = 0.2, 0.9, (0.05, 0.1)
    bound = weight_bits_client_verified_real(mu, t, *eps)
    generator = np.random.default_rng(11)
    drawn = _covariances(
        mu, t, eps, generator.uniform(-1, 0.2, 4000), generator.uniform(-0.3, 0.3, 4000)
    )
    values = _holevo(_physical(drawn), eps)
    assert len(values) > 50
    assert max(values) <= bound + 1e-9


@pytest.mark.parametrize("t", [1.0, 0.8, 0.1])
@pytest.mark.parametrize("eps", [(0.05, 0.05), (0.3, 0.02), (0.0, 0.0)])
def test_verified_complex_matches_symplectic_eigenvalues_when_computed_numerically(
    t: float, eps: tuple[float, float]
) -> None:
    mu = 0.7
    v, c = 1 + 2 * mu, math.sqrt(t * ((1 + 2 * mu) ** 2 - 1))
    returned = [t * 2 * mu + 1 + e for e in eps]
    covariance = np.array(
        [[[v, 0, c, 0], [0, v, 0, -c], [c, 0, returned[0], 0], [0, -c, 0, returned[1]]]]
    )
    (reference,) = _holevo(covariance, eps)
    assert weight_bits_client_verified_complex(mu, t, *eps) == pytest.approx(reference, abs=1e-6)


@pytest.mark.parametrize("mu", [1e-6, 0.1, 5.0])
@pytest.mark.parametrize("t", [0.0, 0.3, 0.99])
def test_verified_is_the_lost_light_when_channel_only_loses(mu: float, t: float) -> None:
    """A pure loss 1 - T is a passive tap: chi((1 - T) mu), both encodings."""
    real = weight_bits_client_verified_real(mu, t, 0.0, 0.0)
    assert real == pytest.approx(weight_bits_client_keeps_fraction_real(mu, 1 - t), rel=1e-9)
    complex_ = weight_bits_client_verified_complex(mu, t, 0.0, 0.0)
    assert complex_ == pytest.approx(weight_bits_client_keeps_fraction_complex(mu, 1 - t), rel=1e-9)


def test_verified_is_zero_when_channel_is_perfect() -> None:
    assert weight_bits_client_verified_real(0.1, 1.0, 0.0, 0.0) == 0.0
    assert weight_bits_client_verified_complex(0.1, 1.0, 0.0, 0.0) == 0.0


@pytest.mark.parametrize("mu", [1e-3, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("eps_x", [0.0, 1e-3, 0.3, 2.0])
@pytest.mark.parametrize("eps_p", [0.0, 1e-3, 0.3, 2.0])
def test_verified_grows_with_noise_and_loss_and_stays_below_all_the_light(
    mu: float, eps_x: float, eps_p: float
) -> None:
    """Monotone, so the corner of a confidence box is its worst point; and data processing."""
    slack = 1 + 1e-9
    for verified, ceiling in (
        (weight_bits_client_verified_real, weight_bits_client_keeps_all_gaussian_real(mu)),
        (weight_bits_client_verified_complex, weight_bits_client_keeps_all_gaussian_complex(mu)),
    ):
        previous = math.inf
        for t in (0.0, 0.05, 0.3, 0.8, 0.99, 1.0):
            value = verified(mu, t, eps_x, eps_p)
            assert value <= min(previous, ceiling) * slack
            assert value <= verified(mu, t, eps_x + 1e-3, eps_p) * slack
            assert value <= verified(mu, t, eps_x, eps_p + 1e-3) * slack
            previous = value


@pytest.mark.parametrize("mu", [0.01, 0.1, 1.0])
def test_x_only_test_gives_the_demolition_free_reading_when_return_looks_perfect(
    mu: float,
) -> None:
    assert weight_bits_client_x_only_tested_real(mu) == pytest.approx(
        weight_bits_client_homodynes_all_real(mu), rel=1e-12
    )


def test_x_only_test_gives_0_243_bit_when_photons_are_a_tenth() -> None:
    assert weight_bits_client_x_only_tested_real(0.1) == _printed("0.243")


@pytest.mark.parametrize("mu", [0.01, 1.0])
@pytest.mark.parametrize("t", [1.0, 0.9, 0.2])
@pytest.mark.parametrize("eps_x", [0.0, 0.02, 1.0])
def test_x_only_test_is_the_limit_when_p_noise_grows(mu: float, t: float, eps_x: float) -> None:
    limit = weight_bits_client_x_only_tested_real(mu, t, eps_x)
    assert weight_bits_client_verified_real(mu, t, eps_x, 1e8) == pytest.approx(limit, rel=1e-5)
    assert weight_bits_client_verified_real(mu, t, eps_x, 1.0) <= limit
    assert limit <= weight_bits_client_keeps_all_gaussian_real(mu) * (1 + 1e-12)


def test_x_only_test_is_all_the_light_when_nothing_returns() -> None:
    assert weight_bits_client_x_only_tested_real(0.4, 0.0) == pytest.approx(
        weight_bits_client_keeps_all_gaussian_real(0.4), rel=1e-12
    )


def _g(n: Decimal) -> Decimal:
    return ((n + 1) * (n + 1).ln() - n * n.ln()) / Decimal(2).ln() if n > 0 else Decimal(0)


def _two_mode(delta: Decimal, determinant: Decimal) -> Decimal:
    root = max(Decimal(0), delta * delta - 4 * determinant).sqrt()
    return sum((_g((((delta + s * root) / 2).sqrt() - 1) / 2) for s in (1, -1)), Decimal(0))


def _complex_reference(mu: float, t: float, eps: float) -> float:
    """Textbook formula in 50 digits, no expansion."""
    with localcontext() as context:
        context.prec = 50
        m, tau, e = Decimal(mu), Decimal(t), Decimal(eps)
        v = 1 + 2 * m
        b, c2 = tau * (v - 1) + 1 + e, tau * (v * v - 1)
        return float(_two_mode(v * v + b * b - 2 * c2, (v * b - c2) ** 2) - _g(e / 2))


def _real_reference(mu: float, t: float, eps: float) -> float:
    """Textbook formula in 50 digits; c_p from its physical range by ternary search."""
    with localcontext() as context:
        context.prec = 50
        m, tau, e = Decimal(mu), Decimal(t), Decimal(eps)
        v = (1 + 4 * m).sqrt()
        bx, bp, cx = 4 * m * tau + 1 + e, 1 + e, (tau * v * 4 * m).sqrt()
        dx = v * bx - cx * cx
        # Physical: det - Delta + 1 >= 0, a quadratic in c_p.
        root = (cx * cx - dx * (v * v + bx * bp - 1 - dx * v * bp)).sqrt()
        low, high = (-cx - root) / dx, (-cx + root) / dx

        def joint(cp: Decimal) -> Decimal:
            return _two_mode(v * v + bx * bp + 2 * cx * cp, dx * (v * bp - cp * cp))

        inset = (high - low) * Decimal(10) ** -25
        low, high = low + inset, high - inset
        for _ in range(90):
            third = (high - low) / 3
            if joint(low + third) < joint(high - third):
                low += third
            else:
                high -= third
        return float(joint(low) - _g(e / 2))


@pytest.mark.parametrize("mu", [1e-6, 1e-3])
@pytest.mark.parametrize("t", [1.0, 0.9])
@pytest.mark.parametrize("eps", [1e-7, 1e-4, 0.02])
def test_verified_matches_50_digits_when_photons_and_noise_are_tiny(
    mu: float, t: float, eps: float
) -> None:
    complex_ = weight_bits_client_verified_complex(mu, t, eps, eps)
    assert complex_ == pytest.approx(_complex_reference(mu, t, eps), rel=1e-6)
    real = weight_bits_client_verified_real(mu, t, eps, eps)
    assert real == pytest.approx(_real_reference(mu, t, eps), rel=1e-6)


def test_verified_complex_matches_series_when_photons_vanish() -> None:
    """At T = 1 and mu -> 0: chi = mu [(2 + eps) log2((2 + eps)/eps) ... ] by first order in mu.

    One nu^2 - 1 tends to eps (2 + eps) and the other to q = (2 eps^2 / (eps (2 + eps))) 2 mu, so
    the small mode alone gives g(q/4) and the large one g'(eps/2) times its shift.
    """
    mu, eps = 1e-6, 0.3
    small = 4 * mu * eps**2 / (eps * (2 + eps))
    total_shift = 2 * eps * 2 * mu
    large_shift = (total_shift - small) / (4 * (1 + eps))
    series = thermal_entropy_bits(small / 4) + large_shift * math.log2((2 + eps) / eps)
    assert weight_bits_client_verified_complex(mu, 1.0, eps, eps) == pytest.approx(series, rel=1e-5)
