"""Model extraction: what a client who follows the rules learns about the weights.

Every query gives one noisy linear function of each row; no optical test can see a client who only
asks. What limits it is a budget of queries. Textbook linear regression and Shannon's capacity of
the Gaussian channel.
"""

from protocol.leakage import _checks
from protocol.leakage.conventions import Encoding, signal_variance_snu, weights_per_mode
from protocol.leakage.entropy import gaussian_channel_bits

__all__ = [
    "client_least_squares_weight_snr",
    "client_queries_for_weight_snr",
    "weight_bits_client_query_inside_rules",
]


def weight_bits_client_query_inside_rules(
    photons_per_symbol: float, snr_factor: float, encoding: Encoding = "real"
) -> float:
    """Client who follows the rules: 0.5 log2(1 + SNR) bits per row and query, model extraction.

    SNR = f times the variance of one modulated quadrature (4 mu real, 2 mu complex), for a unit
    data vector. Assumes: Gaussian weights, an honest receiver; no optical test can see this, only
    a budget of queries limits it. Per row, not per weight.

    Args:
        photons_per_symbol: mu, mean photons per symbol at launch, above 0.
        snr_factor: f = a^2/v of the receiver after losses and detector noise, above 0.
        encoding: "real" or "complex".

    Raises:
        ConfigurationError: an argument is out of range.
    """
    factor = _checks.positive("SNR factor of the receiver", snr_factor)
    return gaussian_channel_bits(factor * signal_variance_snu(photons_per_symbol, encoding))


def client_least_squares_weight_snr(
    photons_per_symbol: float,
    snr_factor: float,
    queries: int,
    modes: int,
    encoding: Encoding = "real",
) -> float:
    """Client inside the rules: SNR of each weight after K orthogonal inputs, K f 4 mu / N.

    Least squares over K queries spread evenly over N orthogonal data vectors. For the complex
    encoding each mode holds two weights: K f 2 mu / (2 N).

    Args:
        photons_per_symbol: mu, mean photons per symbol at launch, above 0.
        snr_factor: f = a^2/v of the receiver, above 0.
        queries: K >= 1.
        modes: N >= 1, optical modes per row.
        encoding: "real" or "complex".

    Raises:
        ConfigurationError: an argument is out of range.
    """
    return _checks.count("number of queries", queries) * _snr_per_query(
        photons_per_symbol, snr_factor, modes, encoding
    )


def client_queries_for_weight_snr(
    weight_snr: float,
    photons_per_symbol: float,
    snr_factor: float,
    modes: int,
    encoding: Encoding = "real",
) -> float:
    """Client inside the rules: queries K for a given SNR per weight, the inverse (not rounded).

    Args:
        weight_snr: SNR per weight aimed at, above 0.
        photons_per_symbol: mu, mean photons per symbol at launch, above 0.
        snr_factor: f = a^2/v of the receiver, above 0.
        modes: N >= 1, optical modes per row.
        encoding: "real" or "complex".

    Raises:
        ConfigurationError: an argument is out of range.
    """
    target = _checks.positive("SNR per weight", weight_snr)
    return target / _snr_per_query(photons_per_symbol, snr_factor, modes, encoding)


def _snr_per_query(
    photons_per_symbol: float, snr_factor: float, modes: int, encoding: Encoding
) -> float:
    factor = _checks.positive("SNR factor of the receiver", snr_factor)
    unknowns = _checks.count("number of modes", modes) * weights_per_mode(encoding)
    return factor * signal_variance_snu(photons_per_symbol, encoding) / unknowns
