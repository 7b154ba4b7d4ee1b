"""Leakage against the number of tested symbols, receiver by receiver: what more testing buys."""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import ConfigurationError, OutputError
from drivers.files import replace_files
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.leakage.certified import (
    TestedQuadrature,
    certification_design,
    certified_weight_bits,
)
from protocol.leakage.conventions import Encoding, signal_variance_snu, weights_per_mode
from protocol.leakage.general_bound import (
    ReturnedChannel,
    weight_bits_general,
    weight_bits_general_untested,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "LeakageCurve",
    "draw_leakage_against_symbols",
    "leakage_curve",
    "receivers_of_equal_signal",
    "write_leakage_plot",
]

# Okabe and Ito's colours, which the colour-blind can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73")
_FIRST_DECADE, _LAST_DECADE, _PER_DECADE = 3, 11, 2


@dataclass(frozen=True, kw_only=True)
class LeakageCurve:
    """One receiver's leakage in bits per weight.

    Attributes:
        receiver: kind and setting.
        symbols: tested symbols, both quadratures together.
        certified: at most, at the confidence, for a channel and estimates as expected.
        asymptotic: from infinitely many symbols.
        untested: all the light kept.
        confidence: of `certified`.
    """

    receiver: str
    symbols: tuple[int, ...]
    certified: tuple[float, ...]
    asymptotic: float
    untested: float
    confidence: float


def receivers_of_equal_signal(snr_factor: float, encoding: Encoding) -> tuple[Receiver, ...]:
    """The three receivers, each set to the same signal-to-noise factor, where it can be.

    The amplifier's gain solves G (G - 1) = f (2 G^2 - 3 G + 2), the smaller root: the better one.

    Args:
        snr_factor: f, in (0, 1).
        encoding: "complex" leaves the feed-forward tap out, which does not return P.

    Raises:
        ConfigurationError: f is out of range.
    """
    if not 0 < snr_factor < 1:
        raise ConfigurationError(
            f"leakage plot: the signal-to-noise factor is {snr_factor}, it must lie in (0, 1)"
        )
    f = snr_factor
    receivers: list[Receiver] = []
    square = (3 * f - 1) ** 2 + 8 * f * (1 - 2 * f)
    if square >= 0:
        # The form without 1 - 2 f in the denominator, which vanishes at f = 1/2.
        gain = 4 * f / ((3 * f - 1) + math.sqrt(square))
        receivers.append(Amplifier(gain=gain))
    if encoding == "real":
        receivers.append(FeedForwardTap(tap_fraction=f))
    receivers.append(PassiveTap(tap_fraction=f))
    return tuple(receivers)


def leakage_curve(
    receiver: Receiver,
    *,
    modes: int,
    photons_per_symbol: float,
    encoding: Encoding = "real",
    copies: int = 1,
    confidence: float = 1 - 1e-6,
    on_point: Callable[[], None] | None = None,
) -> LeakageCurve:
    """A receiver's leakage over eight decades of tested symbols, lossless line, ideal detector.

    Args:
        receiver: the client's.
        modes: optical modes per row, over which its noise is spread.
        photons_per_symbol: mu.
        encoding: "real" or "complex".
        copies: K.
        confidence: of the certificate, in (0, 1).
        on_point: called after every point.

    Raises:
        ConfigurationError: a value is out of range.
    """
    gain = math.sqrt(receiver.returned_transmittance)
    channel = ReturnedChannel(
        gain_x=gain,
        gain_p=gain,
        excess_noise_x_snu=receiver.excess_noise_x_snu / modes,
        excess_noise_p_snu=receiver.excess_noise_p_snu / modes,
    )
    m_x = signal_variance_snu(photons_per_symbol, encoding)
    m_p = m_x if encoding == "complex" else 0.0
    share = weights_per_mode(encoding)
    steps = range(_FIRST_DECADE * _PER_DECADE, _LAST_DECADE * _PER_DECADE + 1)
    symbols = tuple(round(10 ** (step / _PER_DECADE)) for step in steps)
    certified = []
    for number in symbols:
        certified.append(_certified(channel, (m_x, m_p), copies, number // 2, confidence) / share)
        if on_point is not None:
            on_point()
    return LeakageCurve(
        receiver=f"{receiver.kind} at {receiver.setting:.3g}",
        symbols=symbols,
        certified=tuple(certified),
        asymptotic=weight_bits_general(copies * m_x, copies * m_p, channel) / share,
        untested=weight_bits_general_untested(copies * m_x, copies * m_p) / share,
        confidence=confidence,
    )


def draw_leakage_against_symbols(
    curves: Sequence[LeakageCurve], title: str, tested_symbols: int = 0
) -> "Figure":
    """The curves in one panel: certified solid, asymptotic dashed, untested as one grey line.

    Args:
        curves: at most three.
        title: above the panel.
        tested_symbols: of the run, marked by an upright line; 0 for none.

    Raises:
        ConfigurationError: no curve, or more than three.
    """
    from matplotlib.figure import Figure

    if not 1 <= len(curves) <= len(_COLOURS):
        raise ConfigurationError(f"leakage plot: {len(curves)} curves; draw one to three")
    figure = Figure(figsize=(6.8, 4.6), layout="constrained")
    axes = figure.subplots()
    for curve, colour in zip(curves, _COLOURS, strict=False):
        axes.plot(curve.symbols, curve.certified, color=colour, label=curve.receiver)
        axes.axhline(curve.asymptotic, color=colour, linestyle="--", linewidth=0.9)
    axes.axhline(curves[0].untested, color="0.5", linewidth=0.9, label="nothing tested")
    axes.set(xscale="log", yscale="log", xlabel="tested symbols", ylabel="bits per weight, at most")
    if tested_symbols > 0:
        axes.axvline(tested_symbols, color="0.5", linestyle=":", label="tested in this run")
    failure = 1 - curves[0].confidence
    axes.set_title(
        f"{title}\nsolid: certified at 1 - {failure:.2g}, dashed: infinitely many symbols",
        fontsize="medium",
    )
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def write_leakage_plot(
    curves: Sequence[LeakageCurve], title: str, path: Path, tested_symbols: int = 0
) -> None:
    """Write the picture as PNG, whole or not at all; an existing file is replaced.

    Raises:
        ConfigurationError: no curve, or more than three.
        OutputError: the system refuses the write.
    """
    picture = io.BytesIO()
    figure = draw_leakage_against_symbols(curves, title, tested_symbols)
    figure.savefig(picture, format="png", dpi=130)
    try:
        replace_files([(path, picture.getvalue())])
    except (OSError, ValueError) as error:
        raise OutputError(
            f"plot {path}: cannot be written: {error}; choose a folder that exists, may be written "
            "to and has room"
        ) from error


def _certified(
    channel: ReturnedChannel,
    modulations: tuple[float, float],
    copies: int,
    symbols: int,
    confidence: float,
) -> float:
    """Bits per optical symbol for estimates that come out as expected."""
    design = certification_design(
        channel,
        modulation_x_snu=modulations[0],
        modulation_p_snu=modulations[1],
        copies=copies,
        symbols_x=symbols,
        symbols_p=symbols,
        failure=1 - confidence,
    )
    sums = [
        TestedQuadrature(
            symbols=symbols,
            sent_energy_snu=symbols * modulation,
            projection_snu=symbols * modulation * gain,
            residual_energy_snu=(symbols - (1 if modulation > 0 else 0)) * (1 + (excess or 0.0)),
            reference_gain=gain,
        )
        for modulation, gain, excess in (
            (modulations[0], channel.gain_x, channel.excess_noise_x_snu),
            (modulations[1], channel.gain_p, channel.excess_noise_p_snu),
        )
    ]
    certified = certified_weight_bits(design, *sums)
    if certified is None:
        return weight_bits_general_untested(copies * modulations[0], copies * modulations[1])
    return certified.bits_per_symbol
