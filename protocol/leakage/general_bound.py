"""Weight leakage from the measured second moments of the return, whatever made them.

The server knows the means that it sent and the second moments of what came back. The secret is its
weights; the adversary is the client or a thief, who made the channel and holds the purification of
everything outside the server's own boxes. Direct reconciliation, Holevo's bound
chi = S(AB) - S(B | weights), where A is the half of an entangled pair that stands for the weights.
Nothing is assumed about the receiver: only moments enter. `protocol.leakage.verified` and
`protocol.leakage.weights` are special cases.

What the server cannot see is taken at its worst, over all values that the uncertainty principle
allows: with the real encoding the correlation of P (P carries no weight), with P never tested
everything about P, and always the correlations between X and P. The last are worst at zero if the
seen ones are zero: chi is concave in the covariance matrix (below) and does not change under
P -> -P, so the mean of a matrix and its mirror image leaks no less than either.

Why the bound is concave in the covariance matrix and needs one mode only. chi is the entropy of the
weights less the relative entropy of AB to AB with A measured, which is jointly convex; a Gaussian
state leaks most for its covariance (Garcia-Patron and Cerf, Phys. Rev. Lett. 97, 190503 (2006);
Navascues, Grosshans, Acin, ibid. 190502), so averaging channels cannot lower it. Correlations
between the modes of a row, which every receiver makes, only lower it: with M_1, M_2 the
measurements of A in two modes, D(r || M_1 M_2 r) = D(r || M_1 r) + D(M_1 r || M_1 M_2 r), and each
term is at least that of its own mode alone, because relative entropy falls when a part is dropped.

Conventions: shot-noise units; `modulation` is the mean square of a sent mean (`conventions`: 4 mu
on X for the real encoding, 2 mu on each for the complex one); gains are amplitude gains; **excess
noise is referred to the channel's output**, the returned variance about the known mean less 1. It
may be negative (squeezed) as long as the uncertainty principle holds.
Source of the entanglement-based picture: Weedbrook et al., Rev. Mod. Phys. 84, 621 (2012),
arXiv 1110.3234; one modulated quadrature: Usenko and Grosshans, arXiv 1504.07093.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.leakage import _checks
from protocol.leakage._entropies import mode_slope
from protocol.leakage.entropy import gaussian_channel_bits, thermal_entropy_bits
from protocol.leakage.joint_state import ROUNDING, JointState, UnseenGain, impossible_moments

__all__ = [
    "MeasuredMoments",
    "ReturnedChannel",
    "TrustedDetector",
    "channel_of_moments",
    "possible_other_gains",
    "weight_bits_and_slopes",
    "weight_bits_general",
    "weight_bits_general_untested",
]


@dataclass(frozen=True, kw_only=True)
class TrustedDetector:
    """The part of loss and noise that happens inside the server's own locked box.

    Attributes:
        efficiency: eta, in (0, 1]; mode match included.
        electronic_noise_snu: v_el, quantisation included, in units of the recorded shot noise.

    Raises:
        ConfigurationError: a value is out of range.
    """

    efficiency: float = 1.0
    electronic_noise_snu: float = 0.0

    def __post_init__(self) -> None:
        _checks.positive_fraction("efficiency of the server's detector", self.efficiency)
        _checks.non_negative("electronic noise", self.electronic_noise_snu, "SNU")


@dataclass(frozen=True, kw_only=True)
class MeasuredMoments:
    """Second moments of the sent means w and the recorded return, about zero, per mode.

    Attributes:
        sent_x_snu: mean square of the sent X, above 0.
        sent_p_snu: mean square of the sent P; 0 for the real encoding.
        covariance_x_snu: mean of sent X times recorded X.
        covariance_p_snu: mean of sent P times recorded P; 0 for the real encoding.
        returned_x_snu: mean square of the recorded X.
        returned_p_snu: mean square of the recorded P; None when P was never measured.

    Raises:
        ConfigurationError: a value is NaN or out of range.
    """

    sent_x_snu: float
    covariance_x_snu: float
    returned_x_snu: float
    sent_p_snu: float = 0.0
    covariance_p_snu: float = 0.0
    returned_p_snu: float | None = None

    def __post_init__(self) -> None:
        _checks.positive("mean square of the sent X", self.sent_x_snu, "SNU")
        _checks.non_negative("mean square of the sent P", self.sent_p_snu, "SNU")
        _checks.non_negative("covariance of sent and returned X", self.covariance_x_snu, "SNU")
        _checks.non_negative("covariance of sent and returned P", self.covariance_p_snu, "SNU")
        _checks.positive("mean square of the returned X", self.returned_x_snu, "SNU")
        if self.returned_p_snu is not None:
            _checks.positive("mean square of the returned P", self.returned_p_snu, "SNU")


@dataclass(frozen=True, kw_only=True)
class ReturnedChannel:
    """The channel from launch to return, trusted detector taken out.

    Attributes:
        gain_x: amplitude gain of X, >= 0.
        gain_p: amplitude gain of P, >= 0; not used where nothing is sent in P to see it by.
        excess_noise_x_snu: returned X variance about the known mean less 1, above -1.
        excess_noise_p_snu: the same for P; None when P was never tested.

    Raises:
        ConfigurationError: a value is NaN or out of range.
    """

    gain_x: float
    excess_noise_x_snu: float
    gain_p: float = 0.0
    excess_noise_p_snu: float | None = None

    def __post_init__(self) -> None:
        _checks.non_negative("gain of X", self.gain_x)
        _checks.non_negative("gain of P", self.gain_p)
        _checks.positive("returned variance of X", 1 + self.excess_noise_x_snu, "SNU")
        if self.excess_noise_p_snu is not None:
            _checks.positive("returned variance of P", 1 + self.excess_noise_p_snu, "SNU")


def channel_of_moments(
    moments: MeasuredMoments, detector: TrustedDetector | None = None
) -> ReturnedChannel:
    """Gains and excess noises behind recorded moments, the trusted detector taken out.

    A detector of efficiency eta and noise v_el records V' = eta (V - 1) + 1 + v_el and sqrt(eta)
    times every mean.

    Args:
        moments: as recorded.
        detector: what is trusted; None trusts nothing.

    Raises:
        ConfigurationError: the moments contradict each other or the detector's calibration.
    """
    trusted = detector or TrustedDetector()
    gain_x, excess_x = _quadrature(
        moments.sent_x_snu, moments.covariance_x_snu, moments.returned_x_snu, trusted
    )
    if moments.returned_p_snu is None:
        return ReturnedChannel(gain_x=gain_x, excess_noise_x_snu=excess_x)
    gain_p, excess_p = _quadrature(
        moments.sent_p_snu, moments.covariance_p_snu, moments.returned_p_snu, trusted
    )
    return ReturnedChannel(
        gain_x=gain_x, gain_p=gain_p, excess_noise_x_snu=excess_x, excess_noise_p_snu=excess_p
    )


def weight_bits_general_untested(modulation_x_snu: float, modulation_p_snu: float = 0.0) -> float:
    """Client or thief who keeps all the light: g((nu - 1)/2), nu^2 = (1 + m_x)(1 + m_p).

    Bits per optical symbol. No test can certify more than this. Assumes coherent states and
    Gaussian weights, the worst of their variance.

    Args:
        modulation_x_snu: m_x, mean square of the sent X, >= 0; K times it for K copies.
        modulation_p_snu: m_p, the same for P.

    Raises:
        ConfigurationError: a value is out of range.
    """
    m_x = _checks.non_negative("modulation of X", modulation_x_snu, "SNU")
    m_p = _checks.non_negative("modulation of P", modulation_p_snu, "SNU")
    return _entropy(m_x + m_p + m_x * m_p)


def weight_bits_general(
    modulation_x_snu: float,
    modulation_p_snu: float,
    channel: ReturnedChannel,
    *,
    gain_p_seen: bool = False,
) -> float:
    """Client or thief behind any channel that the server's tests saw; bits per optical symbol.

    With delta = (1 + m_x)(1 + m_p) - 1, gains h_x, h_p and excess noises e_x, e_p the joint state
    has, for its symplectic eigenvalues, with nothing near vacuum subtracted,

    sum of nu^2 - 1 = m_x (1 - 2 h_x h_p + h_x^2) + m_p (1 - 2 h_x h_p + h_p^2)
    + m_x m_p (1 - h_x h_p)^2 + e_x + e_p + e_x e_p + e_x h_p^2 m_p + e_p h_x^2 m_x,
    product of nu^2 - 1 = delta Q,
    Q = e_x (1 - h_p^2) + e_p (1 - h_x^2) + e_x e_p - (h_x - h_p)^2.

    Where nothing is sent in P (m_p = 0) h_p is not observed: the largest value over all h_p with
    Q >= 0 is taken. Where P was never tested it is the limit e_p -> infinity, and with light sent
    in P that is never tested, all of it.

    A server may add known random displacements that carry no weight: Gaussian, fresh for every
    symbol, nobody else's before the light is back. Telling the adversary afterwards only helps it,
    and given them the secret is the weights alone. Shift the return back by the gain times the
    displacement: the mean state has the regression's gain as its correlation, because both are the
    mean response of the return to a displacement of the same sent state (Stein's identity), and
    the noise about the displacement as its noise. Concavity then gives the bound at that gain,
    with the modulation of the weights alone; in P with the real encoding, m_p = 0.

    Args:
        modulation_x_snu: m_x, mean square of the sent X, >= 0; K times it for K copies of the same
            weights, which a passive interferometer merges into one.
        modulation_p_snu: m_p, the same for P; 0 for the real encoding.
        channel: what the tests saw.
        gain_p_seen: with m_p = 0, whether known displacements of P showed its gain; the excess
            noise of P is then about their mean.

    Raises:
        ConfigurationError: a value is out of range, or no quantum channel has these moments.
    """
    m_x = _checks.non_negative("modulation of X", modulation_x_snu, "SNU")
    m_p = _checks.non_negative("modulation of P", modulation_p_snu, "SNU")
    if channel.excess_noise_p_snu is None:
        if m_p > 0:
            return weight_bits_general_untested(m_x, m_p)
        return _x_only_bits(m_x, channel)
    state = JointState(
        m_x=m_x,
        m_p=m_p,
        h_x=channel.gain_x,
        e_x=channel.excess_noise_x_snu,
        e_p=channel.excess_noise_p_snu,
    )
    noise = state.noise_product
    if noise < -ROUNDING:
        raise impossible_moments("the returned noise is below that of vacuum", noise)
    if m_p == 0 and not gain_p_seen:
        worst = state.worst_gain()
        joint = state.entropy(worst.gain, worst.quality)
    else:
        joint = state.entropy(channel.gain_p, state.quality(channel.gain_p))
    # Holevo's quantity is never negative; the difference can round to -1e-17.
    return max(0.0, joint - _entropy(max(0.0, noise)))


def weight_bits_and_slopes(
    modulation_x_snu: float,
    modulation_p_snu: float,
    point: Sequence[float],
    *,
    gain_p_seen: bool = False,
) -> tuple[float, tuple[float, ...]]:
    """`weight_bits_general` and its exact derivatives by every moment of the channel.

    For searches: arguments are finite and in range by construction and are not checked. The slope
    by a gain of P that nothing shows is 0, and one at the edge of all channels is infinite.

    Args:
        modulation_x_snu: m_x, all copies, above 0.
        modulation_p_snu: m_p, all copies, >= 0.
        point: h_x and e_x, then h_p and e_p if P is tested.
        gain_p_seen: whether the gain of P is seen by a known displacement alone.

    Returns:
        Bits per optical symbol, and the slopes in the order of `point`.

    Raises:
        ConfigurationError: no quantum channel has these moments.
    """
    m_x, m_p = modulation_x_snu, modulation_p_snu
    if len(point) == 2:
        if m_p > 0:
            return weight_bits_general_untested(m_x, m_p), (0.0, 0.0)
        return _x_only_slopes(m_x, point[0], point[1])
    h_x, e_x, h_p, e_p = point
    state = JointState(m_x=m_x, m_p=m_p, h_x=h_x, e_x=e_x, e_p=e_p)
    noise = state.noise_product
    if noise < -ROUNDING:
        raise impossible_moments("the returned noise is below that of vacuum", noise)
    unseen = m_p == 0 and not gain_p_seen
    worst = state.worst_gain() if unseen else UnseenGain(gain=h_p, quality=state.quality(h_p))
    by_h_x, by_e_x, by_h_p, by_e_p = state.slopes(worst.gain, worst.quality, worst.by_product)
    known = mode_slope(max(0.0, noise))
    bits = state.entropy(worst.gain, worst.quality) - _entropy(max(0.0, noise))
    return max(0.0, bits), (
        by_h_x,
        by_e_x - known * (1 + e_p),
        0.0 if unseen else by_h_p,
        by_e_p - known * (1 + e_x),
    )


def possible_other_gains(
    gain: float, excess_noise_snu: float, other_excess_noise_snu: float
) -> tuple[float, float] | None:
    """Gains of one quadrature that the uncertainty principle allows, given those of the other.

    (1 + e_x - h_x^2)(1 + e_p - h_p^2) >= (1 - h_x h_p)^2, quadratic in h_p: between
    (h_x -+ sqrt((e_x + e_p + e_x e_p)(1 + e_x - h_x^2)))/(1 + e_x). None if no gain is.

    Args:
        gain: of one quadrature.
        excess_noise_snu: of the same.
        other_excess_noise_snu: of the other.
    """
    noisy = 1 + excess_noise_snu
    product = excess_noise_snu + other_excess_noise_snu * noisy
    added = noisy - gain**2
    if product < 0 or added < 0:
        return None
    reach = math.sqrt(product * added)
    return (gain - reach) / noisy, (gain + reach) / noisy


def _x_only_bits(m_x: float, channel: ReturnedChannel) -> float:
    noisy = 1 + channel.excess_noise_x_snu
    added = noisy - channel.gain_x**2
    if added < -ROUNDING * noisy and m_x > 0:
        raise impossible_moments("the return is brighter than its noise allows", added)
    returned = m_x * channel.gain_x**2
    hidden = m_x * max(0.0, added) / (noisy + returned)
    return gaussian_channel_bits(returned / noisy) + _entropy(hidden)


def _x_only_slopes(m_x: float, h_x: float, e_x: float) -> tuple[float, tuple[float, ...]]:
    noisy, returned = 1 + e_x, m_x * h_x**2
    whole, added = noisy + returned, noisy - h_x**2
    bits = _x_only_bits(m_x, ReturnedChannel(gain_x=h_x, excess_noise_x_snu=e_x))
    hidden = m_x * max(0.0, added) / whole
    by_hidden = mode_slope(hidden)
    by_returned = 1 / (2 * math.log(2) * whole)
    return bits, (
        2 * h_x * m_x * (by_returned - by_hidden * (1 + m_x) * noisy / whole**2),
        by_hidden * m_x * (1 + m_x) * h_x**2 / whole**2 - by_returned * returned / noisy,
    )


def _entropy(nu_squared_minus_one: float) -> float:
    excess = nu_squared_minus_one
    return thermal_entropy_bits(excess / (1 + math.sqrt(1 + excess)) / 2)


def _quadrature(
    sent: float, covariance: float, returned: float, detector: TrustedDetector
) -> tuple[float, float]:
    """Gain and excess noise of one quadrature, detector taken out."""
    eta = detector.efficiency
    slope = covariance / sent if sent > 0 else 0.0
    about_mean = returned - slope * covariance
    return (
        slope / math.sqrt(eta),
        (about_mean - 1 - detector.electronic_noise_snu) / eta,
    )
