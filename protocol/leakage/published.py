"""The leakage formulas as the protocol's authors published them, for comparison only.

Theirs, not this project's: arXiv 2408.05629 and Phys. Rev. X 15, 041056 (2025), evaluated in the
way their published scripts evaluate them. Their layer has 784 inputs on n = 392 complex modes and
M = 794 rows; the reference point that the published version marks is 0.1 bit per weight and
0.1 bit per data symbol. The figures to rely on are those of the other modules.
"""

from protocol.leakage import _checks
from protocol.leakage.data import (
    data_bits_server_homodynes_rows,
    data_bits_server_uses_marginal_variances,
)
from protocol.leakage.verified import weight_bits_client_verified_complex

__all__ = [
    "PUBLISHED_MODES",
    "PUBLISHED_ROWS",
    "published_data_bits_server_homodynes",
    "published_weight_bits_client_verified",
    "superseded_v1_data_bits_server_marginal",
]

PUBLISHED_MODES = 392
PUBLISHED_ROWS = 794


def published_weight_bits_client_verified(
    photons_per_symbol: float, gain: float, modes: int = PUBLISHED_MODES
) -> float:
    """The authors' weight bound: client under verification, amplifier; bits per real weight.

    Half of the direct-reconciliation Holevo quantity of a Gaussian channel with V = 2 mu + 1,
    T = 1 and eps = 2 (1 - 1/G)/n. Assumes: collective Gaussian attacks, asymptotic, no loss.

    Args:
        photons_per_symbol: mu, mean photons per complex symbol (two weights), above 0.
        gain: G >= 1.
        modes: n >= 1, complex modes per row.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    noise = _amplifier_noise(gain) / _checks.count("number of modes", modes)
    return weight_bits_client_verified_complex(photons_per_symbol, 1.0, noise, noise) / 2


def published_data_bits_server_homodynes(
    gain: float, rows: int = PUBLISHED_ROWS, modes: int = PUBLISHED_MODES
) -> float:
    """The authors' data bound: 0.5 log2(1 + 4 (M/n) (G-1)^2/(G (3G-2))), per real data symbol.

    The same algebra as a server who homodynes whole rows of the real encoding with n modes:
    (M/n) ell^2/(1 + ell), ell = 2 (1 - 1/G). Local (Cramer-Rao), so not a cap, and not the limit
    for a server with a better receiver.

    Args:
        gain: G >= 1.
        rows: M >= 1.
        modes: n >= 1, complex modes per row.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    return data_bits_server_homodynes_rows(_amplifier_noise(gain), rows, modes)


def superseded_v1_data_bits_server_marginal(
    gain: float, rows: int = PUBLISHED_ROWS, modes: int = PUBLISHED_MODES
) -> float:
    """SUPERSEDED: the authors' data bound of arXiv v1, from each mode's variance alone.

    Too small by one to two orders of magnitude; withdrawn in the published version. Never quote
    it as a leakage. Per real data symbol.

    Args:
        gain: G >= 1.
        rows: M >= 1.
        modes: n >= 1.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    return data_bits_server_uses_marginal_variances(_amplifier_noise(gain), rows, modes)


def _amplifier_noise(gain: float) -> float:
    """Excess noise of the data mode in each quadrature, 2 (1 - 1/G), in shot-noise units."""
    return 2 * (1 - 1 / _checks.at_least_one("amplifier gain", gain))
