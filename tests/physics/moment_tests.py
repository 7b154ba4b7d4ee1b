"""Comparison of means and covariance matrices by z-tests.

Every entry of every comparison is a z-test at |z| < 7.8: two-sided tail 6.2e-15 each. A test
module that makes fewer than 100 000 of them fails by chance with probability below 1e-9. The
standard error of a covariance comes from the samples' own fourth moments.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Z_LIMIT", "assert_moments", "assert_same_moments", "moments"]

Real = NDArray[np.float64]

Z_LIMIT = 7.8


def moments(samples: Real) -> tuple[Real, Real]:
    """Means and (upper) covariances of `(shots, quantities)` in one vector, and squared errors."""
    shots, quantities = samples.shape
    mean = samples.mean(0)
    deviation = samples - mean
    rows, columns = np.triu_indices(quantities)
    products = deviation[:, rows] * deviation[:, columns]
    estimates = np.concatenate([mean, products.mean(0) * shots / (shots - 1)])
    errors = np.concatenate([deviation.var(0), products.var(0)]) / shots
    return estimates, errors


def assert_moments(samples: Real, mean: Real, covariance: Real) -> None:
    """Samples have this mean vector and this covariance matrix, off-diagonals included."""
    found, errors = moments(samples)
    wanted = np.concatenate([mean, covariance[np.triu_indices(len(mean))]])
    _assert_close(found, wanted, errors)


def assert_same_moments(first: Real, second: Real) -> None:
    """Two sets of samples agree in their mean vectors and covariance matrices."""
    found, errors = moments(first)
    wanted, other_errors = moments(second)
    _assert_close(found, wanted, errors + other_errors)


def _assert_close(found: Real, wanted: Real, errors: Real) -> None:
    scale = np.maximum(np.abs(wanted), 1.0)
    # Quantities without spread (counts, zeros) must agree to float32 rounding.
    z = (found - wanted) / np.sqrt(errors + (1e-6 * scale) ** 2)
    worst = int(np.abs(z).argmax())
    assert abs(z[worst]) < Z_LIMIT, (
        f"entry {worst}: {found[worst]:.6g}, expected {wanted[worst]:.6g}, z = {z[worst]:.1f}"
    )
