"""Data leakage through the returned light: the client's secret against the server.

A receiver leaves noise of variance ell on one mode, the one shaped like the normalised data vector
x^. The returned covariance of a row is I + ell_x x^ x^T in X and I + ell_p x^ x^T in P: one random
number per row, fully correlated over the modes, so whole rows tell the server far more than the
variance of each mode does. Every row sent with the same x tells it more.

Common assumptions: coherent probes of known mean (squeezed probes see more; the client must test
for them), ideal server detectors, M rows evaluated with the same x, receiver noise Gaussian.
Figures marked *local* are Fisher information turned into bits for a Gaussian prior of variance 1/N
per component, 0.5 log2(1 + M F/N): average-case estimates, not caps. Figures marked *cap* hold for
any prior with E[x^ x^T] = I/N. Neither is privacy: real images have strong priors, for which
`protocol.leakage.dictionary` is the working figure.

Encoding: with the real encoding a mode carries one real data symbol. With the complex encoding it
carries two and x^ is a complex unit vector; the noise must then be equal in X and P. Shot-noise
units. Loss of transmittance eta before the server's detector scales ell by eta
(`excess_noise_after_loss_snu`).

Sources: arXiv 2408.05629 (the receiver's noise); spiked Wishart Fisher information and the quantum
Fisher information of a Gaussian state derived in `tests/physics`, where slow references check them.
"""

import math

from drivers.errors import ConfigurationError
from protocol.leakage import _checks
from protocol.leakage.conventions import Encoding, weights_per_mode
from protocol.leakage.entropy import (
    excess_noise_to_thermal_photons,
    gaussian_channel_bits,
    log1p_minus_argument,
    thermal_entropy_bits,
)

__all__ = [
    "data_bits_server_any_measurement",
    "data_bits_server_any_measurement_cap",
    "data_bits_server_heterodynes_rows",
    "data_bits_server_homodynes_rows",
    "data_bits_server_homodynes_rows_cap",
    "data_bits_server_uses_marginal_variances",
    "excess_noise_after_loss_snu",
    "fisher_server_any_measurement",
    "fisher_server_heterodynes_rows",
    "fisher_server_homodynes_rows",
    "local_data_bits",
]


def excess_noise_after_loss_snu(excess_noise_snu: float, return_efficiency: float) -> float:
    """Excess noise of the data mode after a loss on the way back: ell -> eta ell.

    Use it only for losses that the server cannot remove.

    Args:
        excess_noise_snu: ell at the client's output, >= 0.
        return_efficiency: eta, transmittance from there to the server's photocurrent, in (0, 1].

    Raises:
        ConfigurationError: an argument is out of range.
    """
    efficiency = _checks.positive_fraction("efficiency of the return", return_efficiency)
    return efficiency * _excess(excess_noise_snu)


def local_data_bits(fisher_per_row: float, rows: int, modes: int, encoding: Encoding) -> float:
    """Local bits per real data symbol, 0.5 log2(1 + M F/N), N real components (2N if complex).

    Args:
        fisher_per_row: F, Fisher information of one row on one real component of x^, >= 0.
        rows: M >= 1, rows evaluated with the same x, repetitions counted.
        modes: optical modes per row, >= 1.
        encoding: "real" or "complex".

    Raises:
        ConfigurationError: an argument is out of range.
    """
    fisher = _checks.non_negative("Fisher information per row", fisher_per_row)
    count = _checks.count("number of rows", rows)
    return gaussian_channel_bits(count * fisher / _components(modes, encoding))


def data_bits_server_uses_marginal_variances(
    excess_noise_snu: float, rows: int, modes: int, encoding: Encoding = "real"
) -> float:
    """Server who uses each mode's variance alone. NOT an upper bound; per real data symbol.

    Local, for a flat x^ (x_i^2 = 1/N): F = 2 ell^2 x_i^2/(1 + ell x_i^2)^2, so about
    0.5 log2(1 + 2 ell^2 M/N^2). It ignores that the noise is one number per row over all modes:
    whole rows give a hundred times more. Kept to compare with version 1 of arXiv 2408.05629.

    Args:
        excess_noise_snu: ell of the measured quadrature, >= 0.
        rows: M >= 1.
        modes: N >= 1.
        encoding: "real" or "complex".

    Raises:
        ConfigurationError: an argument is out of range.
    """
    ell = _excess(excess_noise_snu)
    marginal = ell / _components(modes, "real")
    fisher = 2 * ell**2 / _components(modes, encoding) / (1 + marginal) ** 2
    return local_data_bits(fisher, rows, modes, encoding)


def fisher_server_homodynes_rows(excess_noise_snu: float, encoding: Encoding = "real") -> float:
    """Server who homodynes one quadrature and keeps whole rows: Fisher information per row.

    On one real component of x^ perpendicular to x^: ell^2/(1 + ell) for the real encoding,
    ell^2/(2 + ell) for the complex one (real and imaginary part share the noise).

    Args:
        excess_noise_snu: ell of the measured quadrature, >= 0.
        encoding: "real" or "complex".

    Raises:
        ConfigurationError: an argument is out of range.
    """
    ell = _excess(excess_noise_snu)
    return ell**2 / (weights_per_mode(encoding) + ell)


def data_bits_server_homodynes_rows(
    excess_noise_snu: float, rows: int, modes: int, encoding: Encoding = "real"
) -> float:
    """Server who homodynes one quadrature of whole rows; local, bits per real data symbol.

    Real encoding: 0.5 log2(1 + (M/N) ell^2/(1 + ell)). Assumes: see the module.

    Args:
        excess_noise_snu: ell of the measured quadrature (the noisier one), >= 0.
        rows: M >= 1.
        modes: N >= 1.
        encoding: "real" or "complex".

    Raises:
        ConfigurationError: an argument is out of range.
    """
    fisher = fisher_server_homodynes_rows(excess_noise_snu, encoding)
    return local_data_bits(fisher, rows, modes, encoding)


def fisher_server_heterodynes_rows(excess_noise_x_snu: float, excess_noise_p_snu: float) -> float:
    """Server who heterodynes whole rows: Fisher information per row and real component.

    Heterodyne halves each ell: the sum over X and P of (ell/2)^2/(1 + ell/2), which is
    2 kappa^2/(1 + kappa) at ell_x = ell_p = 2 kappa; the same for both encodings there.

    Args:
        excess_noise_x_snu: ell_x, >= 0.
        excess_noise_p_snu: ell_p, >= 0.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    halves = (_excess(excess_noise_x_snu) / 2, _excess(excess_noise_p_snu) / 2)
    return sum(half**2 / (1 + half) for half in halves)


def data_bits_server_heterodynes_rows(
    excess_noise_x_snu: float,
    excess_noise_p_snu: float,
    rows: int,
    modes: int,
    encoding: Encoding = "real",
) -> float:
    """Server who heterodynes whole rows; local, bits per real data symbol.

    Amplifier, real encoding: 0.5 log2(1 + 2 (M/N) kappa^2/(1 + kappa)). Assumes: see the module.

    Args:
        excess_noise_x_snu: ell_x, >= 0.
        excess_noise_p_snu: ell_p, >= 0; equal to ell_x for the complex encoding.
        rows: M >= 1.
        modes: N >= 1.
        encoding: "real" or "complex".

    Raises:
        ConfigurationError: an argument is out of range.
    """
    _check_phase_insensitive(excess_noise_x_snu, excess_noise_p_snu, encoding)
    fisher = fisher_server_heterodynes_rows(excess_noise_x_snu, excess_noise_p_snu)
    return local_data_bits(fisher, rows, modes, encoding)


def fisher_server_any_measurement(excess_noise_x_snu: float, excess_noise_p_snu: float) -> float:
    """Server with any measurement: quantum Fisher information per row and component.

    ell_x + ell_p. For the data mode's covariance diag(a, b) against vacuum, a = 1 + ell_x,
    b = 1 + ell_p, nu = sqrt(ab), r^2 = sqrt(a/b): 2 c_I^2/(nu - 1) + 2 c_Z^2/(nu + 1) with
    c_I, c_Z = ((a - 1)/r +- (b - 1) r)/2, which reduces to that sum. Amplifier 4 kappa (displace
    by minus the known mean and count photons), feed-forward tap ell.

    Args:
        excess_noise_x_snu: ell_x, >= 0.
        excess_noise_p_snu: ell_p, >= 0.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    return _excess(excess_noise_x_snu) + _excess(excess_noise_p_snu)


def data_bits_server_any_measurement(
    excess_noise_x_snu: float,
    excess_noise_p_snu: float,
    rows: int,
    modes: int,
    encoding: Encoding = "real",
) -> float:
    """Server with any measurement, row by row or collective; local, bits per real data symbol.

    Real encoding: 0.5 log2(1 + (ell_x + ell_p) M/N). Assumes: see the module; coherent probes.

    Args:
        excess_noise_x_snu: ell_x, >= 0.
        excess_noise_p_snu: ell_p, >= 0; equal to ell_x for the complex encoding.
        rows: M >= 1.
        modes: N >= 1.
        encoding: "real" or "complex".

    Raises:
        ConfigurationError: an argument is out of range.
    """
    _check_phase_insensitive(excess_noise_x_snu, excess_noise_p_snu, encoding)
    fisher = fisher_server_any_measurement(excess_noise_x_snu, excess_noise_p_snu)
    return local_data_bits(fisher, rows, modes, encoding)


def data_bits_server_homodynes_rows_cap(
    excess_noise_snu: float, rows: int, modes: int, encoding: Encoding = "real"
) -> float:
    """Server who homodynes one quadrature of whole rows: cap, bits per real data symbol.

    Mutual information (M/2N) [N log2(1 + ell/N) - log2(1 + ell)], a rigorous cap for any prior
    with E[x^ x^T] = I/N. Complex encoding: half of it, two data symbols sharing a mode.

    Args:
        excess_noise_snu: ell of the measured quadrature (the noisier one), >= 0.
        rows: M >= 1.
        modes: N >= 1.
        encoding: "real" or "complex".

    Raises:
        ConfigurationError: an argument is out of range.
    """
    ell = _excess(excess_noise_snu)
    count, components = _checks.count("number of rows", rows), _components(modes, encoding)
    # N ln(1 + ell/N) - ln(1 + ell) with the common term ell taken out of both.
    nats = modes * log1p_minus_argument(ell / modes) - log1p_minus_argument(ell)
    return count * nats / (2 * components * math.log(2))


def data_bits_server_any_measurement_cap(
    excess_noise_x_snu: float,
    excess_noise_p_snu: float,
    rows: int,
    modes: int,
    encoding: Encoding = "real",
) -> float:
    """Server with any measurement: additive Holevo cap, bits per real data symbol.

    (M/N) [N g(n(ell_x/N, ell_p/N)) - g(n(ell_x, ell_p))], n(x, p) = (sqrt((1+x)(1+p)) - 1)/2:
    for the amplifier (M/N) [N g(kappa/N) - g(kappa)]. A cap for any prior with E[x^ x^T] = I/N
    and coherent probes, loose for M near N and beyond. Complex encoding: half of it.

    Args:
        excess_noise_x_snu: ell_x, >= 0.
        excess_noise_p_snu: ell_p, >= 0; equal to ell_x for the complex encoding.
        rows: M >= 1.
        modes: N >= 1.
        encoding: "real" or "complex".

    Raises:
        ConfigurationError: an argument is out of range.
    """
    _check_phase_insensitive(excess_noise_x_snu, excess_noise_p_snu, encoding)
    x, p = _excess(excess_noise_x_snu), _excess(excess_noise_p_snu)
    count, components = _checks.count("number of rows", rows), _components(modes, encoding)
    averaged = thermal_entropy_bits(excess_noise_to_thermal_photons(x / modes, p / modes))
    conditional = thermal_entropy_bits(excess_noise_to_thermal_photons(x, p))
    return count * (modes * averaged - conditional) / components


def _excess(value: float) -> float:
    return _checks.non_negative("excess noise of the data mode", value, "SNU")


def _components(modes: int, encoding: Encoding) -> int:
    """Real components of x^: one or two per mode."""
    return _checks.count("number of modes", modes) * weights_per_mode(encoding)


def _check_phase_insensitive(x: float, p: float, encoding: Encoding) -> None:
    if encoding == "complex" and not math.isclose(_excess(x), _excess(p), rel_tol=1e-9):
        raise ConfigurationError(
            f"leakage: excess noise is {x} SNU in X and {p} SNU in P with the complex encoding; "
            "they must be equal. A receiver that acts on one quadrature needs the real encoding."
        )
