"""Data leakage: printed tables, explicit covariance matrices, the probing server."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap
from protocol.leakage import (
    data_bits_server_any_measurement,
    data_bits_server_any_measurement_cap,
    data_bits_server_any_measurement_of_receiver,
    data_bits_server_any_measurement_of_receiver_cap,
    data_bits_server_heterodynes_rows,
    data_bits_server_homodynes_receiver,
    data_bits_server_homodynes_receiver_cap,
    data_bits_server_homodynes_rows,
    data_bits_server_homodynes_rows_cap,
    data_bits_server_probes_feed_forward_tap,
    data_bits_server_uses_marginal_variances,
    dictionary_nats_per_row_server_homodynes,
    dictionary_rows_server_homodynes,
    excess_noise_after_loss_snu,
    fisher_server_heterodynes_rows,
    fisher_server_homodynes_rows,
    fisher_server_probes_feed_forward_tap,
    local_data_bits,
    thermal_entropy_bits,
)

FloatArray = NDArray[np.float64]


def _printed(text: str) -> object:
    """1 % or half a unit of the last printed digit, whichever is larger."""
    half_unit = 0.5 * 10 ** -len(text.partition(".")[2])
    return pytest.approx(float(text), rel=0.01, abs=half_unit)


def _amplifier(gain: float) -> tuple[float, float]:
    """(ell, kappa) of the amplifier."""
    return 2 * (1 - 1 / gain), 1 - 1 / gain


@pytest.mark.parametrize(
    ("gain", "marginal", "joint", "cap", "quantum", "joint_total", "cap_total"),
    [
        (1.05, "0.00002", "0.0060", "0.0031", "0.126", "4.7", "2.4"),
        (1.1, "0.00006", "0.0199", "0.0106", "0.224", "15.6", "8.3"),
        (1.3, "0.00039", "0.0982", "0.0591", "0.472", "76.9", "46.3"),
        (2.0, "0.00183", "0.292", "0.221", "0.793", "229", "173"),
        (3.41, "0.00366", "0.435", "0.383", "0.968", None, None),
    ],
)
def test_data_bits_match_table_when_layer_is_784_by_784(
    gain: float,
    marginal: str,
    joint: str,
    cap: str,
    quantum: str,
    joint_total: str | None,
    cap_total: str | None,
) -> None:
    ell, _ = _amplifier(gain)
    size = (784, 784)
    assert data_bits_server_uses_marginal_variances(ell, *size) == _printed(marginal)
    assert data_bits_server_homodynes_rows(ell, *size) == _printed(joint)
    assert data_bits_server_homodynes_rows_cap(ell, *size) == _printed(cap)
    assert data_bits_server_any_measurement(ell, ell, *size) == _printed(quantum)
    if joint_total is not None and cap_total is not None:
        assert 784 * data_bits_server_homodynes_rows(ell, *size) == _printed(joint_total)
        assert 784 * data_bits_server_homodynes_rows_cap(ell, *size) == _printed(cap_total)


@pytest.mark.parametrize(
    ("rows", "joint", "quantum"),
    [(4, "0.085", "0.29"), (16, "0.29", "0.79"), (64, "0.79", "1.58"), (256, "1.58", "2.52")],
)
def test_data_bits_match_bench_row_when_modes_are_16(rows: int, joint: str, quantum: str) -> None:
    assert data_bits_server_homodynes_rows(1.0, rows, 16) == _printed(joint)
    assert data_bits_server_any_measurement(1.0, 1.0, rows, 16) == _printed(quantum)


@pytest.mark.parametrize(
    ("receiver", "homodyne", "any_measurement"),
    [
        (Amplifier(gain=2.0), "0.29", "0.79"),
        (Amplifier(gain=1.1), "0.0199", "0.22"),
        (Amplifier(gain=1.02), "0.0011", "0.055"),
        (FeedForwardTap(tap_fraction=0.1), "0.0005", "0.019"),
        (FeedForwardTap(tap_fraction=0.01), "0.000005", "0.0018"),
    ],
)
def test_data_bits_match_receiver_table_when_layer_is_784_by_784(
    receiver: Amplifier | FeedForwardTap, homodyne: str, any_measurement: str
) -> None:
    assert data_bits_server_homodynes_receiver(receiver, 784, 784) == _printed(homodyne)
    value = data_bits_server_any_measurement_of_receiver(receiver, 784, 784)
    assert value == _printed(any_measurement)


@pytest.mark.parametrize(
    ("receiver", "homodyne_cap", "quantum_cap"),
    [
        (Amplifier(gain=1.2), "0.0042", "0.202"),
        (FeedForwardTap(tap_fraction=0.1875), "0.00012", "0.016"),
    ],
)
def test_caps_match_receiver_comparison_when_snr_factor_is_0_1875(
    receiver: Amplifier | FeedForwardTap, homodyne_cap: str, quantum_cap: str
) -> None:
    assert receiver.snr_factor == pytest.approx(0.1875, rel=1e-3)
    value = data_bits_server_homodynes_receiver_cap(receiver, 100, 784)
    assert value == _printed(homodyne_cap)
    quantum = data_bits_server_any_measurement_of_receiver_cap(receiver, 100, 784)
    assert quantum == _printed(quantum_cap)


def test_passive_tap_leaks_no_data_when_server_measures_anything() -> None:
    tap = PassiveTap(tap_fraction=0.3)
    for leakage in (
        data_bits_server_homodynes_receiver,
        data_bits_server_homodynes_receiver_cap,
        data_bits_server_any_measurement_of_receiver,
        data_bits_server_any_measurement_of_receiver_cap,
    ):
        assert leakage(tap, 10_000, 16) == 0.0


def test_return_loss_takes_0_29_to_0_11_when_half_is_lost_at_gain_2() -> None:
    ell, _ = _amplifier(2.0)
    assert data_bits_server_homodynes_rows(ell, 784, 784) == _printed("0.29")
    lossy = excess_noise_after_loss_snu(ell, 0.5)
    assert data_bits_server_homodynes_rows(lossy, 784, 784) == _printed("0.11")


def test_loss_scales_the_excess_when_vacuum_is_added() -> None:
    """Slow reference: the covariance after a beam splitter, eta V + (1 - eta) I."""
    ell, eta = 0.7, 0.4
    direction = np.array([0.6, 0.8])
    after = eta * (np.eye(2) + ell * np.outer(direction, direction)) + (1 - eta) * np.eye(2)
    excess = float(direction @ after @ direction) - 1
    assert excess_noise_after_loss_snu(ell, eta) == pytest.approx(excess, rel=1e-12)


@pytest.mark.parametrize(("gain", "rows"), [(2.0, "74"), (1.3, "253"), (1.1, "1317")])
def test_dictionary_needs_tabled_rows_when_a_million_candidates_have_cosine_half(
    gain: float, rows: str
) -> None:
    ell, _ = _amplifier(gain)
    assert dictionary_rows_server_homodynes(ell, 10**6, 0.5) == _printed(rows)


def test_dictionary_never_ends_when_return_carries_no_noise() -> None:
    assert dictionary_rows_server_homodynes(0.0, 1000) == math.inf
    assert dictionary_rows_server_homodynes(0.5, 1000, 1.0) == math.inf


@pytest.mark.parametrize("cosine", [-0.9, 0.0, 0.5])
def test_dictionary_matches_relative_entropy_when_covariances_are_explicit(cosine: float) -> None:
    ell, modes = 0.8, 5
    x, y = np.eye(modes)[0], np.zeros(modes)
    y[:2] = cosine, math.sqrt(1 - cosine**2)
    at_x, at_y = (np.eye(modes) + ell * np.outer(v, v) for v in (x, y))
    divergence = 0.5 * (float(np.trace(np.linalg.solve(at_y, at_x))) - modes)
    divergence += 0.5 * math.log(np.linalg.det(at_y) / np.linalg.det(at_x))
    value = dictionary_nats_per_row_server_homodynes(ell, cosine)
    assert value == pytest.approx(divergence, rel=1e-10)


def _identified(rows: int, candidates: int, ell: float) -> int:
    """How many of 20 inputs a maximum-likelihood server finds among random candidates."""
    generator = np.random.default_rng(20240805)
    modes = 24
    vectors = generator.normal(size=(candidates, modes))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = 0
    for truth in range(20):
        noise = math.sqrt(ell) * generator.normal(size=(rows, 1)) * vectors[truth]
        returned = generator.normal(size=(rows, modes)) + noise
        # All candidates have the same determinant, so the quadratic form alone decides.
        scores = np.sum((returned @ vectors.T) ** 2, axis=0)
        found += int(np.argmax(scores)) == truth
    return found


def test_dictionary_attack_names_the_input_when_rows_are_a_dozen_times_the_least() -> None:
    """Simulated at G = 2 with 300 candidates of cosine near 0, fixed seed.

    Twelve times: a pair is confused with exp(-rows * 0.059) or so, an input missed with less than
    1e-3, five of 20 with less than 1e-10. One row: Fano allows 16.5 % per input, so 16 or more of
    20 with less than 1e-9.
    """
    least = dictionary_rows_server_homodynes(1.0, 300, 0.0)
    assert _identified(math.ceil(12 * least), 300, 1.0) >= 16
    assert _identified(1, 300, 1.0) < 16


def _gaussian_fisher(covariance: Callable[[float], FloatArray]) -> float:
    """0.5 tr[(C^-1 dC)^2] with the derivative by central differences at 0."""
    step = 1e-5
    derivative = (covariance(step) - covariance(-step)) / (2 * step)
    ratio = np.linalg.solve(covariance(0.0), derivative)
    return 0.5 * float(np.trace(ratio @ ratio))


@pytest.mark.parametrize("ell", [0.05, 1.0, 1.8])
def test_homodyne_fisher_matches_covariance_derivative_when_encoding_is_real(ell: float) -> None:
    x, e = np.array([0.6, 0.8, 0.0, 0.0]), np.array([0.0, 0.0, 1.0, 0.0])

    def covariance(shift: float) -> FloatArray:
        vector = x + shift * e
        return np.eye(4) + ell * np.outer(vector, vector)

    assert fisher_server_homodynes_rows(ell) == pytest.approx(
        _gaussian_fisher(covariance), rel=1e-7
    )


@pytest.mark.parametrize("ell", [0.05, 1.0, 1.8])
def test_homodyne_fisher_matches_covariance_derivative_when_encoding_is_complex(
    ell: float,
) -> None:
    """Complex x^ = u + i v, generic phases: |u|^2 = |v|^2 = 1/2 and u.v = 0."""
    u, v = np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.5, -0.5, 0.0, 0.0])
    e = np.array([0.0, 0.0, 0.0, 1.0])

    def covariance(shift: float) -> FloatArray:
        moved = u + shift * e
        return np.eye(4) + ell * (np.outer(moved, moved) + np.outer(v, v))

    assert fisher_server_homodynes_rows(ell, "complex") == pytest.approx(
        _gaussian_fisher(covariance), rel=1e-7
    )


@pytest.mark.parametrize(("ell_x", "ell_p"), [(1.0, 1.0), (0.3, 0.0), (0.1, 0.9)])
def test_heterodyne_fisher_matches_covariance_derivative_when_noise_is_halved(
    ell_x: float, ell_p: float
) -> None:
    """The beam splitter before the two detectors halves the signal and adds half a vacuum."""
    x, e = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])

    def covariance(shift: float) -> FloatArray:
        outer = np.outer(x + shift * e, x + shift * e)
        measured = np.zeros((6, 6))
        for block, ell in ((slice(0, 3), ell_x), (slice(3, 6), ell_p)):
            measured[block, block] = (np.eye(3) + ell * outer) / 2 + np.eye(3) / 2
        return measured

    assert fisher_server_heterodynes_rows(ell_x, ell_p) == pytest.approx(
        _gaussian_fisher(covariance), rel=1e-7
    )


@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_heterodyne_fisher_is_2_kappa_squared_when_receiver_is_an_amplifier(
    encoding: str,
) -> None:
    ell, kappa = _amplifier(1.7)
    components = 32 if encoding == "complex" else 16
    expected = 0.5 * math.log2(1 + 2 * (40 / components) * kappa**2 / (1 + kappa))
    value = data_bits_server_heterodynes_rows(
        ell,
        ell,
        40,
        16,
        encoding,  # type: ignore[arg-type]
    )
    assert value == pytest.approx(expected, rel=1e-12)


def test_marginal_fisher_matches_variance_derivative_when_one_mode_is_measured() -> None:
    ell, modes, rows = 1.0, 25, 7
    component = 1 / math.sqrt(modes)

    def variance(shift: float) -> FloatArray:
        return np.array([[1 + ell * (component + shift) ** 2]])

    expected = local_data_bits(_gaussian_fisher(variance), rows, modes, "real")
    value = data_bits_server_uses_marginal_variances(ell, rows, modes)
    assert value == pytest.approx(expected, rel=1e-7)


def test_homodyne_cap_is_entropy_difference_when_covariances_are_explicit() -> None:
    """0.5 [log2 det(average) - log2 det(row)] per row, over N symbols."""
    ell, modes, rows = 0.6, 4, 9
    x = np.array([0.1, -0.7, 0.5, 0.5])
    row = np.eye(modes) + ell * np.outer(x, x) / float(x @ x)
    average = (1 + ell / modes) * np.eye(modes)
    bits = rows * 0.5 * math.log2(np.linalg.det(average) / np.linalg.det(row)) / modes
    assert data_bits_server_homodynes_rows_cap(ell, rows, modes) == pytest.approx(bits, rel=1e-12)


@pytest.mark.parametrize(("ell_x", "ell_p"), [(1.0, 1.0), (0.4, 0.0), (0.2, 1.1)])
def test_quantum_cap_is_entropy_difference_when_covariances_are_explicit(
    ell_x: float, ell_p: float
) -> None:
    """Symplectic eigenvalues of I + ell x x^T in X and in P, and of their average."""
    modes, rows = 3, 5
    x = np.array([2.0, -1.0, 2.0]) / 3

    def entropy(cov_x: FloatArray, cov_p: FloatArray) -> float:
        nus: list[float] = np.sqrt(np.linalg.eigvals(cov_x @ cov_p).real).tolist()
        return sum(thermal_entropy_bits(max(0.0, (nu - 1) / 2)) for nu in nus)

    row = entropy(np.eye(3) + ell_x * np.outer(x, x), np.eye(3) + ell_p * np.outer(x, x))
    average = entropy((1 + ell_x / 3) * np.eye(3), (1 + ell_p / 3) * np.eye(3))
    value = data_bits_server_any_measurement_cap(ell_x, ell_p, rows, modes)
    assert value == pytest.approx(rows * (average - row) / modes, rel=1e-7)


def test_caps_are_half_per_data_value_when_encoding_is_complex() -> None:
    assert data_bits_server_homodynes_rows_cap(0.5, 20, 8, "complex") == pytest.approx(
        data_bits_server_homodynes_rows_cap(0.5, 20, 8) / 2
    )
    assert data_bits_server_any_measurement_cap(0.5, 0.5, 20, 8, "complex") == pytest.approx(
        data_bits_server_any_measurement_cap(0.5, 0.5, 20, 8) / 2
    )


def test_caps_match_series_when_excess_noise_is_1e_9() -> None:
    ell, modes = 1e-9, 16
    homodyne = (ell**2 / 2) * (1 - 1 / modes) / (2 * modes * math.log(2))
    assert data_bits_server_homodynes_rows_cap(ell, 1, modes) == pytest.approx(homodyne, rel=1e-8)
    # One quadrature: n = ell/4, and N g(n/N) - g(n) tends to n log2 N.
    quantum = ell / 4 * math.log2(modes) / modes
    assert data_bits_server_any_measurement_cap(ell, 0.0, 1, modes) == pytest.approx(
        quantum, rel=1e-7
    )


@pytest.mark.parametrize("ell", [1e-3, 0.1, 1.0, 1.9])
def test_servers_are_ordered_when_receiver_is_an_amplifier(ell: float) -> None:
    marginal = data_bits_server_uses_marginal_variances(ell, 300, 64)
    homodyne = data_bits_server_homodynes_rows(ell, 300, 64)
    heterodyne = data_bits_server_heterodynes_rows(ell, ell, 300, 64)
    quantum = data_bits_server_any_measurement(ell, ell, 300, 64)
    assert marginal < min(homodyne, heterodyne)
    assert max(homodyne, heterodyne) < quantum


def test_complex_encoding_refuses_when_noise_is_in_one_quadrature_only() -> None:
    for leakage in (
        data_bits_server_heterodynes_rows,
        data_bits_server_any_measurement,
        data_bits_server_any_measurement_cap,
    ):
        with pytest.raises(ConfigurationError, match="real encoding"):
            leakage(0.5, 0.0, 10, 10, "complex")


@pytest.mark.parametrize("tau", [1e-6, 0.1, 0.75, 1.0])
def test_probe_fisher_matches_displacement_when_data_vector_is_turned(tau: float) -> None:
    """Slow reference: P means after the tap, differentiated; vacuum variance in every mode."""
    modes = 6
    generator = np.random.default_rng(3)
    probe = generator.normal(size=modes)
    x, e = np.linalg.qr(generator.normal(size=(modes, 2)))[0].T

    def means(angle: float) -> FloatArray:
        data = math.cos(angle) * x + math.sin(angle) * e
        returned = probe - (1 - math.sqrt(1 - tau)) * float(probe @ data) * data
        return np.asarray(returned, dtype=np.float64)

    step = 1e-4
    derivative = (means(step) - means(-step)) / (2 * step)
    value = fisher_server_probes_feed_forward_tap(tau, float(probe @ x), float(probe @ e))
    assert value == pytest.approx(float(derivative @ derivative), rel=1e-6)


def test_probe_aligned_with_data_tells_most_when_power_is_bounded() -> None:
    """Total Fisher information over the components, for random probes of the same power."""
    modes, tau, photons = 5, 0.4, 0.3
    generator = np.random.default_rng(8)
    x = np.eye(modes)[0]
    aligned = fisher_server_probes_feed_forward_tap(tau, math.sqrt(4 * photons * modes))
    for _ in range(200):
        probe = generator.normal(size=modes)
        probe *= math.sqrt(4 * photons * modes) / float(np.linalg.norm(probe))
        total = sum(
            fisher_server_probes_feed_forward_tap(tau, float(probe @ x), float(probe[i]))
            for i in range(1, modes)
        )
        assert total <= aligned * (modes - 1) * (1 + 1e-12)


def test_probe_strategies_and_noise_compose_when_charged() -> None:
    tau, photons, rows, modes, ell = 0.1, 0.05, 784, 784, 0.0263
    lost = 1 - math.sqrt(1 - tau)
    aligned = data_bits_server_probes_feed_forward_tap(tau, photons, rows, modes)
    assert aligned == pytest.approx(0.5 * math.log2(1 + lost**2 * 4 * photons * rows), rel=1e-12)
    blind = data_bits_server_probes_feed_forward_tap(tau, photons, rows, modes, strategy="blind")
    assert blind == pytest.approx(
        0.5 * math.log2(1 + lost**2 * 8 * photons * rows / modes), rel=1e-12
    )
    dark = data_bits_server_probes_feed_forward_tap(tau, 0.0, rows, modes, excess_noise_x_snu=ell)
    assert dark == pytest.approx(data_bits_server_any_measurement(ell, 0.0, rows, modes))


def test_probe_refuses_when_strategy_is_unknown() -> None:
    with pytest.raises(ConfigurationError, match="'lucky'"):
        data_bits_server_probes_feed_forward_tap(0.1, 0.1, 4, 4, strategy="lucky")  # type: ignore[arg-type]
