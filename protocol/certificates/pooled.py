"""What the tests of all sessions counted, as the ledger keeps it and as certificates need it.

The ledger keeps sums beside settings that it does not read. Here is what these settings are: all
that has to be alike for two sessions to be one longer session, and all that is needed to make
estimates of their sums.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Self

from drivers.errors import ConfigurationError
from protocol.leakage.certified import NoiseDependence, ServerTrust, TestedQuadrature
from protocol.leakage.certified_pool import TestedLight
from protocol.leakage.certified_statistics import LEAST_SYMBOLS
from protocol.leakage.conventions import Encoding, signal_variance_snu
from protocol.leakage.general_bound import ReturnedChannel
from protocol.ledger import BlockTests, PooledTests, QuadratureSums
from protocol.verification import Evidence, ReturnExpectation

__all__ = ["NoiseShape", "PooledLight", "TestSettings", "block_tests"]

# Sums of photons round; a millionth of a copy is no transmission.
_NO_COPY = 1e-6
_MANY_FRAMES = 1e18


@dataclass(frozen=True, kw_only=True)
class NoiseShape:
    """How the noise of an honest return is spread over modes and frames.

    Attributes:
        white_variance_snu: of every mode, as recorded.
        mode_excess_snu: more of it in the data's mode, the larger one of both quadratures.
        modes: of the smallest tile.
        gain_variance: of the gain from phase errors, within a quadrature.
        cross_gain_variance: likewise from one quadrature to the other.
        frames_per_phase: measured frames that share one phase error, at most.
        alignment: largest share of the launched energy in one mode.
        unevenness: mean square of the rows' energies over their squared mean.
    """

    white_variance_snu: float
    mode_excess_snu: float
    modes: int
    gain_variance: float
    cross_gain_variance: float
    frames_per_phase: float
    alignment: float
    unevenness: float

    @classmethod
    def of(
        cls,
        law: ReturnExpectation,
        *,
        rows: int,
        modes: int,
        alignment: float,
        unevenness: float,
    ) -> Self:
        """The shape that an expectation means.

        Args:
            law: the honest return.
            rows: of the layer.
            modes: of its smallest tile.
            alignment: of the weights.
            unevenness: likewise.
        """
        return cls(
            white_variance_snu=float(law.white_variance),
            mode_excess_snu=float(max(law.data_mode_excess_x, law.data_mode_excess_p)),
            modes=modes,
            gain_variance=float(law.gain_variance),
            cross_gain_variance=float(law.cross_gain_variance),
            frames_per_phase=float(law.frames_per_phase(_MANY_FRAMES, rows)),
            alignment=alignment,
            unevenness=unevenness,
        )

    def dependence(
        self, frames: tuple[float, float], energy_snu: tuple[float, float]
    ) -> NoiseDependence:
        """Correlations of the noise: the data mode, and phase errors of whole frames.

        Args:
            frames: measured in X and in P.
            energy_snu: sums of their squared sent means.
        """
        white, excess, modes = self.white_variance_snu, self.mode_excess_snu, self.modes
        mean = white + excess / modes
        squares = ((modes - 1) * white**2 + (white + excess) ** 2) / modes
        every = sum(frames)
        clump = max(1.0, min(every, self.frames_per_phase))
        on_x, on_p = (
            energy / count if count else 0.0
            for energy, count in zip(energy_snu, frames, strict=True)
        )
        same, cross = self.gain_variance, self.cross_gain_variance
        # What a phase error moves, of the quadrature that it moves most of.
        moving = max(same * on_x + cross * on_p, same * on_p + cross * on_x)
        # The gain of either quadrature is taken from its own frames.
        rarest = min(count for count in frames if count)
        wobble = same * every / rarest + cross
        phase = (2 * moving**2 * clump * self.unevenness + 4 * white * moving) / (
            2 * modes * mean**2
        )
        return NoiseDependence(
            variance_inflation=float(max(1.0, squares / mean**2 + phase)),
            gain_inflation=float(max(1.0, (white + excess * self.alignment) / mean)),
            gain_wobble=float(clump * self.unevenness * wobble / every),
        )


@dataclass(frozen=True, kw_only=True)
class TestSettings:
    """How light was sent, received and tested; sums of alike settings are of one longer session.

    Attributes:
        encoding: "real" or "complex".
        photons_per_symbol: of a copy.
        dither_p_snu: mean square of the known displacements of P.
        x_share: of the frames that are measured in X.
        reference_gain: that the residuals are taken against.
        trust: of the server's detector.
        expected: the honest return, trusted detector taken out.
        noise: of it, as recorded.
    """

    __test__ = False  # not a test class of pytest's

    encoding: Encoding
    photons_per_symbol: float
    dither_p_snu: float
    x_share: float
    reference_gain: float
    trust: ServerTrust
    expected: ReturnedChannel
    noise: NoiseShape


@dataclass(frozen=True, kw_only=True)
class PooledLight:
    """Light of all sessions of the same settings, with a return that passed.

    Attributes:
        settings: alike in all of it.
        copies: of the row with fewest.
        frames_x: measured in X.
        frames_p: likewise in P.
        tested_x: sums over all X symbols.
        tested_p: likewise of P.
    """

    settings: TestSettings
    copies: int
    frames_x: int
    frames_p: int
    tested_x: TestedQuadrature
    tested_p: TestedQuadrature

    @classmethod
    def of(cls, pooled: PooledTests, settings: TestSettings) -> Self | None:
        """From a ledger's sums; None where there is no copy or too little was tested.

        Args:
            pooled: as the ledger has it.
            settings: of it, as read.
        """
        copies = math.floor(pooled.photons / settings.photons_per_symbol + _NO_COPY)
        if copies < 1 or min(pooled.x.symbols, pooled.p.symbols) < LEAST_SYMBOLS:
            return None
        return cls(
            settings=settings,
            copies=copies,
            frames_x=pooled.x.frames,
            frames_p=pooled.p.frames,
            tested_x=_tested(pooled.x, settings.reference_gain),
            tested_p=_tested(pooled.p, settings.reference_gain),
        )

    @property
    def photons(self) -> float:
        """Per symbol, all copies together."""
        return self.copies * self.settings.photons_per_symbol

    @property
    def light(self) -> TestedLight:
        """As the bound takes it."""
        settings, x, p = self.settings, self.tested_x, self.tested_p
        return TestedLight(
            copies=self.copies,
            modulation_snu=signal_variance_snu(settings.photons_per_symbol, settings.encoding),
            expected=settings.expected,
            dither_p_snu=settings.dither_p_snu,
            trust=settings.trust,
            dependence=settings.noise.dependence(
                (self.frames_x, self.frames_p), (x.sent_energy_snu, p.sent_energy_snu)
            ),
            tested_x=x,
            tested_p=p,
        )


def block_tests(settings: TestSettings, counted: Iterable[Evidence]) -> BlockTests:
    """What the ledger keeps of a block.

    Args:
        settings: of its session.
        counted: of its tiles.
    """
    evidence = list(counted)

    def sums(quadrature: int) -> QuadratureSums:
        return QuadratureSums(
            symbols=round(sum(float(one.symbols[quadrature]) for one in evidence)),
            frames=round(sum(float(one.frames[quadrature]) for one in evidence)),
            sent_energy_snu=math.fsum(float(one.mean_energy_snu[quadrature]) for one in evidence),
            projection_snu=math.fsum(float(one.projection_snu[quadrature]) for one in evidence),
            residual_energy_snu=math.fsum(
                float(one.residual_energy_snu[quadrature]) for one in evidence
            ),
        )

    return BlockTests(settings=asdict(settings), x=sums(0), p=sums(1))


def _tested(sums: QuadratureSums, reference_gain: float) -> TestedQuadrature:
    if sums.residual_energy_snu <= 0:
        raise ConfigurationError(
            f"certificate: {sums.symbols} tested symbols of the ledger have no residual at all; no "
            "light is without noise. Find the measurement that failed"
        )
    return TestedQuadrature(
        symbols=sums.symbols,
        sent_energy_snu=sums.sent_energy_snu,
        projection_snu=sums.projection_snu,
        residual_energy_snu=sums.residual_energy_snu,
        reference_gain=reference_gain,
    )
