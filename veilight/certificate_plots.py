"""Leakage against the number of tested symbols, receiver by receiver: what more testing buys."""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import ConfigurationError, OutputError
from drivers.files import replace_files
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.leakage.conventions import Encoding
from sim_backend.settings import LinkSettings
from veilight.certificate_plan import CertificatePlan, planned_certificate

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
    x_share: float = 0.5,
    dither_snu: float = 0.0,
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
        x_share: of the symbols that are tested in X.
        dither_snu: mean square of known displacements of P.
        on_point: called after every point.

    Raises:
        ConfigurationError: a value is out of range.
    """
    light = CertificatePlan(
        link=LinkSettings(receiver=receiver, device="cpu"),
        encoding=encoding,
        photons_per_symbol=photons_per_symbol,
        modes=modes,
        copies=copies,
        symbols=1,
        failure=1 - confidence,
        x_share=x_share,
        dither_snu=dither_snu,
    )
    steps = range(_FIRST_DECADE * _PER_DECADE, _LAST_DECADE * _PER_DECADE + 1)
    symbols = tuple(round(10 ** (step / _PER_DECADE)) for step in steps)
    planned = []
    for number in symbols:
        planned.append(planned_certificate(replace(light, symbols=number)))
        if on_point is not None:
            on_point()
    return LeakageCurve(
        receiver=f"{receiver.kind} at {receiver.setting:.3g}",
        symbols=symbols,
        certified=tuple(one.bits for one in planned),
        asymptotic=planned[0].asymptotic_bits,
        untested=planned[0].untested_bits,
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
    figure.legend(fontsize="small", loc="outside lower center", ncols=3)
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
