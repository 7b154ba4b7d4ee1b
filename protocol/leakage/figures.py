"""The values of a leakage report: one layer's light, one figure, the sum over layers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from drivers.errors import ConfigurationError
from protocol.leakage import _checks
from protocol.leakage.conventions import Encoding, weights_per_mode

__all__ = [
    "LayerLight",
    "LeakageFigure",
    "LeakageSummary",
    "Secret",
    "figure_for_layer",
    "summarise",
]

Secret: TypeAlias = Literal["weights", "data"]


@dataclass(frozen=True, kw_only=True)
class LayerLight:
    """What the leakage of one optical layer depends on, apart from receiver and channel.

    Attributes:
        rows: M, weight rows sent per query.
        modes: N, optical modes per row (N = inputs for real encoding, inputs/2 for complex).
        photons_per_symbol: mu, mean photons per optical symbol at launch; per two weights for the
            complex encoding.
        encoding: "real" or "complex".
        repetitions: K, transmissions of the same weights, over all clients who may collude.
        data_repetitions: times that the rows are evaluated with the same input.

    Raises:
        ConfigurationError: a value is out of range.
    """

    rows: int
    modes: int
    photons_per_symbol: float
    encoding: Encoding = "real"
    repetitions: int = 1
    data_repetitions: int = 1

    def __post_init__(self) -> None:
        _checks.count("number of rows", self.rows)
        _checks.count("number of modes", self.modes)
        _checks.positive("mean photons per symbol", self.photons_per_symbol)
        weights_per_mode(self.encoding)
        _checks.count("number of repetitions of the weights", self.repetitions)
        _checks.count("number of repetitions of the data", self.data_repetitions)

    @property
    def weight_symbols(self) -> int:
        """Real weights of the layer."""
        return self.rows * self.data_symbols

    @property
    def data_symbols(self) -> int:
        """Real data values of one input."""
        return self.modes * weights_per_mode(self.encoding)


@dataclass(frozen=True, kw_only=True)
class LeakageFigure:
    """Leakage of one secret to one named adversary.

    Attributes:
        adversary: who, and with what means; the same text in every layer.
        secret: "weights" or "data".
        assumptions: what is trusted and what kind of figure it is.
        upper_bound: whether no adversary of this description gets more (False for a local
            estimate, a measurement that is not the best one, or the marginal figure).
        bits_per_symbol: per real weight or real data value, >= 0.
        symbols: how many real weights or data values.
        total_bits: bits_per_symbol times symbols.
        confidence: of a certificate from finitely many tested symbols; None if asymptotic.

    Raises:
        ConfigurationError: a value is out of range or the total does not fit.
    """

    adversary: str
    secret: Secret
    assumptions: str
    upper_bound: bool
    bits_per_symbol: float
    symbols: int
    total_bits: float
    confidence: float | None = None

    def __post_init__(self) -> None:
        _checks.non_negative(f"leakage to {self.adversary}", self.bits_per_symbol, "bit")
        _checks.count("number of symbols", self.symbols)
        expected = self.bits_per_symbol * self.symbols
        if not math.isclose(self.total_bits, expected, rel_tol=1e-9):
            raise ConfigurationError(
                f"leakage to {self.adversary}: the total is {self.total_bits} bit, but "
                f"{self.symbols} symbols at {self.bits_per_symbol} bit make {expected} bit. "
                "Build the figure from its bits per symbol."
            )
        if self.confidence is not None:
            _checks.open_fraction("confidence", self.confidence)


def figure_for_layer(
    layer: LayerLight,
    *,
    adversary: str,
    secret: Secret,
    assumptions: str,
    upper_bound: bool,
    bits_per_symbol: float,
    confidence: float | None = None,
) -> LeakageFigure:
    """A figure with the number of symbols and the total filled in from the layer.

    Raises:
        ConfigurationError: a value is out of range.
    """
    symbols = layer.weight_symbols if secret == "weights" else layer.data_symbols
    return LeakageFigure(
        adversary=adversary,
        secret=secret,
        assumptions=assumptions,
        upper_bound=upper_bound,
        bits_per_symbol=bits_per_symbol,
        symbols=symbols,
        total_bits=bits_per_symbol * symbols,
        confidence=confidence,
    )


@dataclass(frozen=True, kw_only=True)
class LeakageSummary:
    """Leakage of a whole network to one adversary.

    Attributes:
        adversary: who, and with what means.
        secret: "weights" or "data".
        assumptions: those of the worst layer.
        upper_bound: whether every layer's figure is one.
        worst_layer: name of the layer with most bits per symbol.
        worst_bits_per_symbol: that layer's figure.
        mean_bits_per_symbol: total_bits over all symbols.
        total_bits: sum over the layers, each layer a secret of its own.
        symbols: sum over the layers.
        confidence: joint, the layers' failure probabilities added; None if any layer is
            asymptotic.
    """

    adversary: str
    secret: Secret
    assumptions: str
    upper_bound: bool
    worst_layer: str
    worst_bits_per_symbol: float
    mean_bits_per_symbol: float
    total_bits: float
    symbols: int
    confidence: float | None


def summarise(layers: Mapping[str, Sequence[LeakageFigure]]) -> tuple[LeakageSummary, ...]:
    """Worst layer, symbol-weighted mean and total bits per secret and adversary.

    Args:
        layers: figures by layer name, all layers with the same adversaries.

    Raises:
        ConfigurationError: no layers, a layer lacks an adversary that another has or names one
            twice (a sum would hide light that nobody counted), or the joint confidence is gone.
    """
    by_adversary = {name: _indexed(name, figures) for name, figures in layers.items()}
    if not by_adversary:
        raise ConfigurationError("leakage: no layers to summarise; give at least one.")
    keys = list(next(iter(by_adversary.values())))
    for name, figures in by_adversary.items():
        odd = set(keys) ^ set(figures)
        if odd:
            listed = "; ".join(sorted(f"{secret}: {adversary}" for secret, adversary in odd))
            raise ConfigurationError(
                f"leakage: layer {name!r} and the first layer do not list the same adversaries "
                f"({listed}). Compute all layers with the same options."
            )
    return tuple(
        _summary({name: figures[key] for name, figures in by_adversary.items()}) for key in keys
    )


def _indexed(
    name: str, figures: Sequence[LeakageFigure]
) -> dict[tuple[Secret, str], LeakageFigure]:
    indexed = {(figure.secret, figure.adversary): figure for figure in figures}
    if len(indexed) != len(figures):
        raise ConfigurationError(
            f"leakage: layer {name!r} lists an adversary twice. Give each figure once."
        )
    return indexed


def _summary(figures: Mapping[str, LeakageFigure]) -> LeakageSummary:
    worst_layer, worst = max(figures.items(), key=lambda item: item[1].bits_per_symbol)
    total_bits = math.fsum(figure.total_bits for figure in figures.values())
    symbols = sum(figure.symbols for figure in figures.values())
    return LeakageSummary(
        adversary=worst.adversary,
        secret=worst.secret,
        assumptions=worst.assumptions,
        upper_bound=all(figure.upper_bound for figure in figures.values()),
        worst_layer=worst_layer,
        worst_bits_per_symbol=worst.bits_per_symbol,
        mean_bits_per_symbol=total_bits / symbols,
        total_bits=total_bits,
        symbols=symbols,
        confidence=_joint_confidence([figure.confidence for figure in figures.values()]),
    )


def _joint_confidence(confidences: Sequence[float | None]) -> float | None:
    known = [confidence for confidence in confidences if confidence is not None]
    if len(known) < len(confidences):
        return None
    joint = 1 - math.fsum(1 - confidence for confidence in known)
    return _checks.open_fraction("joint confidence over the layers", joint)
