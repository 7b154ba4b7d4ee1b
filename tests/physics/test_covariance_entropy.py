"""Entropies of covariance matrices: analytic states, and density matrices made in Fock space."""

import math
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from protocol.leakage.covariance import (
    after_heterodyne,
    after_homodyne_of_p,
    after_homodyne_of_x,
    covariance_entropy_bits,
    symplectic_eigenvalues,
    symplectic_form,
    xxpp_to_xpxp,
)
from protocol.leakage.entropy import thermal_entropy_bits

Array = NDArray[np.float64]


def _two_mode_squeezed(variance: float) -> Array:
    correlation = math.sqrt(variance**2 - 1) * np.diag([1.0, -1.0])
    return np.block([[variance * np.eye(2), correlation], [correlation, variance * np.eye(2)]])


def _random_symplectic(modes: int, generator: np.random.Generator) -> Array:
    """exp(Omega H) of a random symmetric H: a random Gaussian unitary."""
    from scipy.linalg import expm

    hamiltonian = generator.normal(size=(2 * modes, 2 * modes)) * 0.3
    return np.asarray(expm(symplectic_form(modes) @ (hamiltonian + hamiltonian.T)))


@pytest.mark.parametrize("photons", [0.0, 1e-6, 0.3, 5.0])
def test_entropy_is_g_of_n_when_state_is_thermal(photons: float) -> None:
    value = covariance_entropy_bits((1 + 2 * photons) * np.eye(2))
    assert value == pytest.approx(thermal_entropy_bits(photons), abs=1e-12, rel=1e-9)


@pytest.mark.parametrize("variance", [1.0, 1.01, 3.0, 40.0])
def test_entropy_is_zero_jointly_and_thermal_locally_when_pair_is_entangled(
    variance: float,
) -> None:
    gamma = _two_mode_squeezed(variance)
    assert covariance_entropy_bits(gamma) == pytest.approx(0.0, abs=1e-9)
    local = covariance_entropy_bits(gamma[:2, :2])
    assert local == pytest.approx(thermal_entropy_bits((variance - 1) / 2), abs=1e-12)


def test_entropy_is_that_of_the_spectrum_when_a_random_unitary_acts() -> None:
    generator = np.random.default_rng(5)
    spectrum = np.array([1.0, 1.7, 4.2])
    for _ in range(20):
        unitary = _random_symplectic(3, generator)
        gamma = unitary @ np.diag(np.repeat(spectrum, 2)) @ unitary.T
        np.testing.assert_allclose(symplectic_eigenvalues(gamma), spectrum, rtol=1e-9)
        assert covariance_entropy_bits(gamma) == pytest.approx(
            sum(thermal_entropy_bits((nu - 1) / 2) for nu in spectrum), abs=1e-7
        )


def test_reordering_keeps_each_quadrature_with_its_mode_when_matrix_is_xxpp() -> None:
    moved = xxpp_to_xpxp(np.diag([1.0, 2.0, 30.0, 40.0]))
    np.testing.assert_array_equal(np.diag(moved), [1.0, 30.0, 2.0, 40.0])


def test_measured_half_leaves_the_textbook_states_when_pair_is_entangled() -> None:
    variance = 3.0
    gamma = _two_mode_squeezed(variance)
    np.testing.assert_allclose(after_heterodyne(gamma, 0), np.eye(2), atol=1e-12)
    squeezed = np.diag([1 / variance, variance])
    np.testing.assert_allclose(after_homodyne_of_x(gamma, 0), squeezed, atol=1e-12)
    np.testing.assert_allclose(after_homodyne_of_p(gamma, 1), squeezed[::-1, ::-1], atol=1e-12)


def test_covariance_is_refused_when_it_breaks_the_uncertainty_principle() -> None:
    with pytest.raises(ConfigurationError, match=r"0\.9, below that of vacuum"):
        symplectic_eigenvalues(np.diag([0.9, 0.9]))
    with pytest.raises(ConfigurationError, match="eigenvalue 0 SNU"):
        symplectic_eigenvalues(np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.eye(3), "shape"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "not symmetric"),
        (np.full((2, 2), np.nan), "NaN"),
    ],
    ids=["odd", "asymmetric", "nan"],
)
def test_covariance_is_refused_when_it_is_no_covariance_matrix(matrix: Array, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        covariance_entropy_bits(matrix)


def test_measurement_is_refused_when_the_mode_does_not_exist() -> None:
    with pytest.raises(ConfigurationError, match="mode 2 of 2"):
        after_heterodyne(_two_mode_squeezed(2.0), 2)
    with pytest.raises(ConfigurationError, match="mode 0 of 1"):
        after_homodyne_of_x(np.eye(2), 0)


def test_entropy_matches_the_density_matrix_when_light_crosses_a_noisy_channel() -> None:
    """QuTiP: entangled pair, one half on a beam splitter with a thermal mode, in number states.

    An independent calculation: no covariance matrix enters the entropy, and the covariance is
    taken from the density matrix. Cut at 9 and 7 photons, where less than 1e-7 is lost.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        qutip = pytest.importorskip("qutip")
    sizes = (9, 9, 7)
    lower = [
        qutip.tensor(
            *[qutip.destroy(n) if i == mode else qutip.qeye(n) for i, n in enumerate(sizes)]
        )
        for mode in range(3)
    ]
    squeezing, angle, thermal = 0.22, 0.7, 0.02
    pair = squeezing * (lower[0].dag() * lower[1].dag() - lower[0] * lower[1])
    splitter = angle * (lower[1].dag() * lower[2] - lower[1] * lower[2].dag())
    weights = np.array([(thermal / (1 + thermal)) ** k for k in range(sizes[2])])
    start = qutip.tensor(
        qutip.fock_dm(sizes[0], 0),
        qutip.fock_dm(sizes[1], 0),
        qutip.Qobj(np.diag(weights / weights.sum())),
    )
    unitary = splitter.expm() * pair.expm()
    state = (unitary * start * unitary.dag()).ptrace([0, 1])
    quadratures = []
    for mode in range(2):
        a = qutip.tensor(
            *[qutip.destroy(n) if i == mode else qutip.qeye(n) for i, n in enumerate(sizes[:2])]
        )
        quadratures += [a + a.dag(), -1j * (a - a.dag())]
    gamma = np.array(
        [
            [float(np.real(qutip.expect((q * r + r * q) / 2, state))) for r in quadratures]
            for q in quadratures
        ]
    )
    joint = qutip.entropy_vn(state, base=2)
    assert joint > 0.1
    assert covariance_entropy_bits(gamma) == pytest.approx(joint, abs=2e-5)
    second = qutip.entropy_vn(state.ptrace(1), base=2)
    assert covariance_entropy_bits(gamma[2:, 2:]) == pytest.approx(second, abs=2e-5)
