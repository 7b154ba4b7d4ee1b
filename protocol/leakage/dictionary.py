"""The dictionary attack: a server who only has to tell a list of candidate inputs apart.

Telling one of R candidates from the rest takes log2 R bits in all, far fewer than learning x
component by component: 20 bits name one image in a million. The working figure for real data.
ln R over the relative entropy per row is the working figure: one input in five or six is found on
so many rows already, half of them at 1.5 to 2.1 times as many, and 99 in 100 at about four times
(`sim_backend.reconstruction.dictionary_law`); by Fano's inequality nobody finds half of them on
less than about 0.45 of it.
"""

import math

from protocol.leakage import _checks

__all__ = ["dictionary_nats_per_row_server_homodynes", "dictionary_rows_server_homodynes"]


def dictionary_nats_per_row_server_homodynes(excess_noise_snu: float, cosine: float) -> float:
    """Server who homodynes whole rows: relative entropy per row between two candidates, in nats.

    KL = ell^2 (1 - c^2)/(2 (1 + ell)) between N(0, I + ell x x^T) and N(0, I + ell y y^T).
    Assumes: real encoding (complex candidates give less), known means, coherent probes, ideal
    detectors.

    Args:
        excess_noise_snu: ell of the measured quadrature, >= 0.
        cosine: c = x^.y^ between the candidates, in [-1, 1].

    Raises:
        ConfigurationError: an argument is out of range.
    """
    ell = _checks.non_negative("excess noise of the data mode", excess_noise_snu, "SNU")
    overlap = _checks.fraction("absolute cosine between candidates", abs(cosine))
    return ell**2 * (1 - overlap) * (1 + overlap) / (2 * (1 + ell))


def dictionary_rows_server_homodynes(
    excess_noise_snu: float, candidates: int, cosine: float = 0.5
) -> float:
    """Server who homodynes whole rows: rows needed to single out one in R candidates, ln R / KL.

    Not a floor: a sixth to a fifth of the inputs are found there (see the module). Not rounded;
    infinite when the return carries no noise of the data mode. Assumes: see
    `dictionary_nats_per_row_server_homodynes`; candidates equally likely, pairwise cosine c.

    Args:
        excess_noise_snu: ell of the measured quadrature, >= 0.
        candidates: R >= 2.
        cosine: c between any two candidates, in [-1, 1].

    Raises:
        ConfigurationError: an argument is out of range.
    """
    nats = math.log(_checks.count("number of candidates", candidates, minimum=2))
    per_row = dictionary_nats_per_row_server_homodynes(excess_noise_snu, cosine)
    return nats / per_row if per_row > 0 else math.inf
