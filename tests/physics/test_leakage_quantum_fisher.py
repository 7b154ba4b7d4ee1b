"""The server's quantum limit ell_x + ell_p against two slow references."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.leakage import (
    data_bits_server_any_measurement,
    fisher_server_any_measurement,
    fisher_server_heterodynes_rows,
    fisher_server_homodynes_rows,
)

FloatArray = NDArray[np.float64]
_DIMENSION = 12
_CASES = [(0.3, 0.3), (0.3, 0.0), (0.05, 0.2), (0.0519, 0.0)]


def _coherent(amplitudes: NDArray[np.complex128]) -> NDArray[np.complex128]:
    states = np.empty((amplitudes.size, _DIMENSION), dtype=np.complex128)
    states[:, 0] = np.exp(-(np.abs(amplitudes) ** 2) / 2)
    for n in range(1, _DIMENSION):
        states[:, n] = states[:, n - 1] * amplitudes / math.sqrt(n)
    return states


def _two_mode_state(ell_x: float, ell_p: float, angle: float) -> NDArray[np.complex128]:
    """Vacuum displaced at random along the data mode (cos, sin): covariance I + ell x x^T."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(10)
    weights = weights / np.sum(weights)
    x, p = np.meshgrid(math.sqrt(ell_x) * nodes, math.sqrt(ell_p) * nodes, indexing="ij")
    probabilities = np.outer(weights, weights).ravel()
    # X = 2 Re alpha in shot-noise units.
    amplitudes = (x + 1j * p).ravel() / 2
    first = _coherent(np.asarray(amplitudes * math.cos(angle), dtype=np.complex128))
    second = _coherent(np.asarray(amplitudes * math.sin(angle), dtype=np.complex128))
    states = np.einsum("ka,kb->kab", first, second).reshape(probabilities.size, -1)
    return np.asarray((states.T * probabilities) @ states.conj(), dtype=np.complex128)


@pytest.mark.parametrize(("ell_x", "ell_p"), _CASES)
def test_quantum_limit_matches_fock_space_when_data_mode_is_turned(
    ell_x: float, ell_p: float
) -> None:
    """Symmetric logarithmic derivative in Fock space: sum of 2 |d rho_ij|^2/(p_i + p_j)."""
    step = 1e-4
    derivative = (_two_mode_state(ell_x, ell_p, step) - _two_mode_state(ell_x, ell_p, -step)) / (
        2 * step
    )
    probabilities, basis = np.linalg.eigh(_two_mode_state(ell_x, ell_p, 0.0))
    elements = np.abs(basis.conj().T @ derivative @ basis) ** 2
    sums = probabilities[:, None] + probabilities[None, :]
    populated = sums > 1e-10
    reference = 2 * float(np.sum(elements[populated] / sums[populated]))
    value = fisher_server_any_measurement(ell_x, ell_p)
    assert value == pytest.approx(reference, rel=2e-3)


@pytest.mark.parametrize(("ell_x", "ell_p"), [*_CASES, (1.8, 1.8), (1e-9, 0.0), (2.0, 0.5)])
def test_quantum_limit_matches_squeezed_basis_formula_when_covariance_is_diagonal(
    ell_x: float, ell_p: float
) -> None:
    """2 c_I^2/(nu - 1) + 2 c_Z^2/(nu + 1), the data mode diag(a, b) against vacuum."""
    a, b = 1 + ell_x, 1 + ell_p
    nu_minus_one = (ell_x + ell_p + ell_x * ell_p) / (1 + math.sqrt(a * b))
    r = (a / b) ** 0.25
    in_x, in_p = ell_x / r, ell_p * r
    c_i, c_z = (in_x + in_p) / 2, (in_x - in_p) / 2
    reference = 2 * c_i**2 / nu_minus_one + 2 * c_z**2 / (nu_minus_one + 2)
    assert fisher_server_any_measurement(ell_x, ell_p) == pytest.approx(reference, rel=1e-9)


@pytest.mark.parametrize("gain", [1.05, 2.0, 10.0])
def test_quantum_limit_is_4_kappa_when_receiver_is_an_amplifier(gain: float) -> None:
    kappa = 1 - 1 / gain
    assert fisher_server_any_measurement(2 * kappa, 2 * kappa) == pytest.approx(4 * kappa)


def test_quantum_limit_is_reached_by_counting_when_noise_is_weak() -> None:
    """Displace by minus the known mean and count: the noise is (ell_x + ell_p)/4 photons per row.

    The server guesses x^ nearly right and counts in a mode perpendicular to its guess: with the
    true x^ turned by t it clicks with probability (ell_x + ell_p)/4 sin^2 t.
    """
    ell_x, ell_p, angle = 2e-4, 1e-4, 1e-2
    photons = (ell_x + ell_p) / 4

    def click(t: float) -> float:
        return photons * math.sin(t) ** 2

    slope = (click(angle + 1e-6) - click(angle - 1e-6)) / 2e-6
    fisher = slope**2 / (click(angle) * (1 - click(angle)))
    assert fisher_server_any_measurement(ell_x, ell_p) == pytest.approx(fisher, rel=1e-3)


@pytest.mark.parametrize(("ell_x", "ell_p"), _CASES)
def test_quantum_limit_exceeds_homodyne_and_heterodyne_when_noise_is_given(
    ell_x: float, ell_p: float
) -> None:
    limit = fisher_server_any_measurement(ell_x, ell_p)
    assert fisher_server_homodynes_rows(max(ell_x, ell_p)) < limit
    assert fisher_server_heterodynes_rows(ell_x, ell_p) < limit


def test_any_measurement_spreads_over_two_values_per_mode_when_encoding_is_complex() -> None:
    real = data_bits_server_any_measurement(0.5, 0.5, 100, 20)
    complex_ = data_bits_server_any_measurement(0.5, 0.5, 100, 10, "complex")
    assert complex_ == pytest.approx(real, rel=1e-12)
