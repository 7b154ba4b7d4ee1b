"""What one memory over all copies could get at most, at the worst channel that a test leaves.

A certificate takes a channel without memory from copy to copy. One memory that meets every copy of
a weight in turn makes noise that is correlated over the copies, and of which each copy shows a
small part: the tests look at copies one by one. `protocol.leakage.copies` has the bound for any
attack that agrees with averages over copies; here it is evaluated for the kept and the returned
copies of a session together. The kept light belongs to the returned copies in equal parts, by a
passive interferometer: k of K copies are k copies of K/k times the light and sqrt(k/K) the gain.

The errors of the estimates are larger with such an adversary, too: the noise of the k returns of a
weight may be correlated in any way, so that k symbols are worth one at worst. Let C be its
covariance and v the mean variance, tr C = k v. The squared error of the gain goes with the sum of
all entries of C, at most k^2 v instead of k v, that of the variance with tr C^2, at most k^2 v^2
instead of k v^2: k times those of independent copies. Returns of different weights are independent
but for what `NoiseDependence` states.
"""

from collections.abc import Sequence
from dataclasses import replace

from protocol.leakage.certified import (
    CertificationDesign,
    NoiseDependence,
    ServerTrust,
    TestedQuadrature,
)
from protocol.leakage.certified_corner import worst_corner_bits
from protocol.leakage.certified_statistics import EstimatedQuadrature
from protocol.leakage.copies import weight_bits_with_memory
from protocol.leakage.general_bound import ReturnedChannel, weight_bits_general_untested

__all__ = ["certified_bits_with_memory", "remembered_at"]


def certified_bits_with_memory(
    design: CertificationDesign,
    tested_x: TestedQuadrature | None,
    tested_p: TestedQuadrature | None = None,
    *,
    trust: ServerTrust | None = None,
    dependence: NoiseDependence | None = None,
) -> float | None:
    """What can have leaked to one memory over all copies, at most, given what was counted.

    It holds while the guard intervals of these errors do, whose failure is within that of the
    design. They contain those of `certified_weight_bits`, so that without a memory both figures
    hold together. With one returned copy it is the worst corner of that certificate.

    Args:
        design: fixed beforehand.
        tested_x: sums of all tested X symbols; None if there are none.
        tested_p: likewise of P.
        trust: of the server's detector.
        dependence: of the noise of an honest return.

    Returns:
        Bits per optical symbol, no more than all the light holds; None where nothing was tested.

    Raises:
        ConfigurationError: an argument is out of range, or the sums contradict each other.
    """
    own, law = trust or ServerTrust(), dependence or NoiseDependence()
    correlated = replace(
        law,
        variance_inflation=design.copies * law.variance_inflation,
        gain_inflation=design.copies * law.gain_inflation,
    )
    estimates = design.estimates(tested_x, tested_p, own, correlated)
    return remembered_at(design, estimates) if estimates else None


def remembered_at(design: CertificationDesign, returned: Sequence[EstimatedQuadrature]) -> float:
    """What one memory over all copies can have got, at most, within guard intervals.

    Args:
        design: fixed beforehand.
        returned: X, and P where it was tested, with the errors that such a memory can make: the
            gain of the merged return, and the variance of a copy, mean over the copies.

    Raises:
        ConfigurationError: no quantum channel lies in the guard intervals.
    """
    parts = [design.merged(part) for part in returned]
    m_x, m_p = design.modulation_x_snu, design.modulation_p_snu
    untested = weight_bits_general_untested(m_x, m_p)

    def leaked(channel: ReturnedChannel) -> float:
        return weight_bits_with_memory(
            m_x / design.copies, m_p / design.copies, channel, design.copies
        )

    worst = worst_corner_bits(
        m_x,
        m_p,
        parts[0],
        parts[1] if len(parts) > 1 else None,
        # Displacements are fresh for every copy: they do not show the merged return's gain of P.
        gain_p_seen=design.gain_p_seen and design.copies == 1,
        enough=untested,
        leaked=leaked if design.copies > 1 else None,
    )
    return min(worst, untested)
