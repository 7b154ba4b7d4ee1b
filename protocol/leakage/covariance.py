"""Gaussian states of n modes by their covariance matrices: spectrum, entropy, what a look leaves.

Shot-noise units: the vacuum has variance 1 in every quadrature. Ordering of the rows and columns
is **xpxp** (x_1, p_1, x_2, p_2, ...) everywhere; `xxpp_to_xpxp` takes a matrix of the other
ordering. A matrix is a state's if gamma + i Omega >= 0, that is if no symplectic eigenvalue is
below 1.

This is the general tool, in plain floating point. Where a leakage is a small difference of two
entropies near vacuum, `protocol.leakage.general_bound` evaluates the same quantities without
subtracting the 1; here they are computed in the way that has least room for mistakes, as its check.

Source: Weedbrook et al., Gaussian quantum information, Rev. Mod. Phys. 84, 621 (2012),
arXiv 1110.3234, sections II.C and V.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drivers.errors import ConfigurationError
from protocol.leakage.entropy import thermal_entropy_bits

__all__ = [
    "after_heterodyne",
    "after_homodyne_of_p",
    "after_homodyne_of_x",
    "covariance_entropy_bits",
    "symplectic_eigenvalues",
    "symplectic_form",
    "xxpp_to_xpxp",
]

Array = NDArray[np.float64]

_ROUNDING = 1e-9


def symplectic_form(modes: int) -> Array:
    """Omega of n modes in xpxp ordering, `(2 n, 2 n)`: blocks [[0, 1], [-1, 0]].

    Raises:
        ConfigurationError: fewer than one mode.
    """
    if modes < 1:
        raise ConfigurationError(f"leakage: {modes} modes have no symplectic form; give 1 or more")
    return np.kron(np.eye(modes), np.array([[0.0, 1.0], [-1.0, 0.0]]))


def xxpp_to_xpxp(covariance: ArrayLike) -> Array:
    """Reorder a covariance matrix from (x_1 ... x_n, p_1 ... p_n) to (x_1, p_1, x_2, p_2, ...).

    Args:
        covariance: `(2 n, 2 n)`, symmetric, in shot-noise units.

    Raises:
        ConfigurationError: not a real, finite, symmetric matrix of even size.
    """
    gamma = _checked(covariance)
    modes = len(gamma) // 2
    order = np.arange(2 * modes).reshape(2, modes).T.ravel()
    return gamma[np.ix_(order, order)]


def symplectic_eigenvalues(covariance: ArrayLike) -> Array:
    """The n symplectic eigenvalues, smallest first: moduli of the eigenvalues of i Omega gamma.

    Args:
        covariance: `(2 n, 2 n)` in xpxp ordering, vacuum variance 1.

    Returns:
        `(n,)`, each at least 1 up to rounding.

    Raises:
        ConfigurationError: the matrix is not a covariance matrix or breaks the uncertainty
            principle.
    """
    gamma = _checked(covariance)
    modes = len(gamma) // 2
    smallest = float(np.linalg.eigvalsh(gamma)[0])
    if smallest <= 0:
        raise ConfigurationError(
            f"leakage: a covariance matrix has the eigenvalue {smallest:.6g} SNU; all must be "
            "above 0. The moments it was made of do not belong together: estimate them again."
        )
    # L^T Omega L is antisymmetric and similar to Omega gamma: its spectrum is accurate to rounding.
    root = np.linalg.cholesky(gamma)
    values = np.linalg.eigvalsh(1j * (root.T @ symplectic_form(modes) @ root))[modes:]
    if values[0] < 1 - _ROUNDING * float(np.abs(gamma).max()):
        raise ConfigurationError(
            f"leakage: a covariance matrix has the symplectic eigenvalue {values[0]:.9g}, below "
            "that of vacuum (1): no quantum state has it. Repeat the shot-noise calibration, or "
            "widen the confidence region that the moments come from."
        )
    return np.asarray(values, dtype=np.float64)


def covariance_entropy_bits(covariance: ArrayLike) -> float:
    """Von Neumann entropy of a Gaussian state, sum of g((nu - 1)/2) over its modes, in bits.

    Args:
        covariance: `(2 n, 2 n)` in xpxp ordering, vacuum variance 1.

    Raises:
        ConfigurationError: see `symplectic_eigenvalues`.
    """
    photons = np.maximum(symplectic_eigenvalues(covariance) - 1, 0.0) / 2
    return float(sum(thermal_entropy_bits(float(n)) for n in photons))


def after_homodyne_of_x(covariance: ArrayLike, mode: int) -> Array:
    """Covariance of the other modes once X of one mode is known: gamma_B - c c^T / V_X.

    Args:
        covariance: `(2 n, 2 n)` in xpxp ordering, n >= 2.
        mode: index of the measured mode, which is left out of the result.

    Raises:
        ConfigurationError: not a covariance matrix, one mode only, or no such mode.
    """
    return _after_homodyne(covariance, mode, 0)


def after_homodyne_of_p(covariance: ArrayLike, mode: int) -> Array:
    """As `after_homodyne_of_x`, for P."""
    return _after_homodyne(covariance, mode, 1)


def after_heterodyne(covariance: ArrayLike, mode: int) -> Array:
    """Covariance of the other modes once one mode is heterodyned: gamma_B - C (gamma_A + I)^-1 C^T.

    Args:
        covariance: `(2 n, 2 n)` in xpxp ordering, n >= 2.
        mode: index of the measured mode, which is left out of the result.

    Raises:
        ConfigurationError: not a covariance matrix, one mode only, or no such mode.
    """
    kept, measured, cross = _split(covariance, mode)
    left: Array = kept - cross @ np.linalg.solve(measured + np.eye(2), cross.T)
    return left


def _after_homodyne(covariance: ArrayLike, mode: int, quadrature: int) -> Array:
    kept, measured, cross = _split(covariance, mode)
    column = cross[:, quadrature]
    left: Array = kept - np.outer(column, column) / measured[quadrature, quadrature]
    return left


def _split(covariance: ArrayLike, mode: int) -> tuple[Array, Array, Array]:
    """Covariances of the kept modes, of the measured one, and between them."""
    gamma = _checked(covariance)
    modes = len(gamma) // 2
    if modes < 2 or not 0 <= mode < modes:
        raise ConfigurationError(
            f"leakage: mode {mode} of {modes} cannot be measured away; a state of two modes or "
            "more and one of its modes, counted from 0, are needed"
        )
    measured = np.array([2 * mode, 2 * mode + 1])
    kept = np.delete(np.arange(2 * modes), measured)
    return (
        gamma[np.ix_(kept, kept)],
        gamma[np.ix_(measured, measured)],
        gamma[np.ix_(kept, measured)],
    )


def _checked(covariance: ArrayLike) -> Array:
    gamma = np.array(covariance, dtype=np.float64)
    if gamma.ndim != 2 or gamma.shape[0] != gamma.shape[1] or len(gamma) % 2 or not len(gamma):
        raise ConfigurationError(
            f"leakage: a covariance matrix has the shape {gamma.shape}; it must be (2 n, 2 n) for "
            "n modes"
        )
    if not np.all(np.isfinite(gamma)):
        raise ConfigurationError(
            "leakage: a covariance matrix holds NaN or infinity; find the estimate that failed"
        )
    if not np.allclose(gamma, gamma.T, rtol=_ROUNDING, atol=_ROUNDING):
        raise ConfigurationError("leakage: a covariance matrix is not symmetric; correct it first")
    return np.asarray((gamma + gamma.T) / 2, dtype=np.float64)
