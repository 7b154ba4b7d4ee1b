"""What the tests of each block counted, for the server's ledger and the sessions after this one."""

import math

from drivers.backend import ReturnSummary
from protocol.certificates.pooled import NoiseShape, TestSettings, block_tests
from protocol.certificates.record import Thresholds
from protocol.defences import WeightLight
from protocol.defences.light import unevenness
from protocol.ledger import BlockTests
from protocol.plan import LayerPlan
from protocol.verification import Evidence, ReturnExpectation
from protocol.verification.expected import largest_alignment

__all__ = ["BlockSums"]

# Upwards, so that two machines that round otherwise describe the same weights alike.
_DIGITS = 1000


class BlockSums:
    """Sums of blocks whose light is out or back and not settled.

    Args:
        light: the weights as they are sent. Those in disguise are sent with other photons and
            another shape every time; no sums of theirs are kept, and later sessions count their
            light as kept by the client.
    """

    def __init__(self, light: WeightLight) -> None:
        self._light = light
        self._counted: dict[int, list[Evidence]] = {}
        self._settings: dict[int, TestSettings] = {}

    def count(self, entry: int, summary: ReturnSummary) -> None:
        """Count a tile that passed.

        Args:
            entry: of its block's debit.
            summary: of its return, dummy rows left out.
        """
        evidence = Evidence()
        evidence.add(summary)
        self._counted.setdefault(entry, []).append(evidence)

    def settled(
        self, entry: int, plan: LayerPlan, thresholds: Thresholds, law: ReturnExpectation
    ) -> BlockTests | None:
        """What a block's tiles counted, all of them back; forgets it.

        Args:
            entry: of its debit.
            plan: of its layer.
            thresholds: of the session.
            law: the honest return of one data vector.
        """
        counted = self._counted.pop(entry, [])
        if not counted or self._light.fresh or not law.verifiable:
            return None
        if plan.layer not in self._settings:
            self._settings[plan.layer] = self._of_layer(plan, thresholds, law)
        return block_tests(self._settings[plan.layer], counted)

    def _of_layer(
        self, plan: LayerPlan, thresholds: Thresholds, law: ReturnExpectation
    ) -> TestSettings:
        fixed = next(layer for layer in thresholds.layers if layer.layer == plan.layer)
        tiles = [self._light.means("", 0, plan, tile) for tile in range(len(plan.tiles))]
        return TestSettings(
            encoding=plan.encoding,
            photons_per_symbol=fixed.photons_per_symbol,
            dither_p_snu=fixed.dither_p_snu,
            x_share=thresholds.x_share,
            reference_gain=float(law.gain),
            trust=thresholds.trust,
            expected=fixed.expected,
            noise=NoiseShape.of(
                law,
                rows=plan.rows,
                modes=min(plan.tiles),
                alignment=_upwards(max(largest_alignment(tile) for tile in tiles)),
                unevenness=_upwards(max(unevenness(tile) for tile in tiles)),
            ),
        )


def _upwards(value: float) -> float:
    return math.ceil(value * _DIGITS) / _DIGITS
