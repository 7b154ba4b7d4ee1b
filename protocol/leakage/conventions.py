"""The one place where photon numbers become quadrature variances.

Shot-noise units: X = a + a^dagger, vacuum variance 1, so a coherent state of n photons has
<X>^2 + <P>^2 = 4 n. `mu` is the mean photon number per optical symbol (one mode of one row).

=========  ==================  =============================  =================================
encoding   weights per symbol  variance of a modulated mean   written elsewhere as
=========  ==================  =============================  =================================
real       1 (on X)            4 mu on X, 0 on P              V = 1 + 4 mu
complex    2 (on X and on P)   2 mu on each                   V = 2 mu + 1 (arXiv 2408.05629)
=========  ==================  =============================  =================================

The same "mu" can therefore mean a signal variance of mu, 2 mu or 4 mu: a factor 2 to 4.
"""

from typing import Literal, TypeAlias

from drivers.errors import ConfigurationError
from protocol.leakage import _checks

__all__ = ["Encoding", "signal_variance_snu", "weights_per_mode"]

Encoding: TypeAlias = Literal["real", "complex"]


def weights_per_mode(encoding: Encoding) -> int:
    """Real weights carried by one optical mode: 1 (real encoding) or 2 (complex encoding).

    Raises:
        ConfigurationError: `encoding` is neither "real" nor "complex".
    """
    if encoding == "real":
        return 1
    if encoding == "complex":
        return 2
    raise ConfigurationError(
        f"leakage: encoding {encoding!r} is unknown; use 'real' (one weight per mode, on X) or "
        "'complex' (two weights per mode, on X and P)."
    )


def signal_variance_snu(photons_per_symbol: float, encoding: Encoding) -> float:
    """Variance of one modulated quadrature mean over the weights, in shot-noise units.

    Args:
        photons_per_symbol: mu, mean photons per optical symbol at launch, above 0. For the
            complex encoding this is per complex symbol, that is per two weights.
        encoding: "real" gives 4 mu, "complex" gives 2 mu.

    Raises:
        ConfigurationError: mu is not above 0, or the encoding is unknown.
    """
    _checks.positive("mean photon number per symbol", photons_per_symbol)
    return 4 * photons_per_symbol / weights_per_mode(encoding)
