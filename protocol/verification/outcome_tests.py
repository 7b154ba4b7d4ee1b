"""The client's tests of the server over a session, from its outcomes alone.

    outcome floor      sum of squares of a block against the receiver's noise: whatever the weights
                       are, they only add. Squeezed light falls below.
    input floor        the same of each input of the block
    outcome power      the same sum against the energy that was declared for the whole layer
    outcome peak       the largest outcome against the longest row that honest weights have
    dummy power        over dummies, whose direction does not know the weights: the mean energy
                       along them is the declared one, with a spread that they show themselves
    repeated rows      over dummies: correlation of rows any number apart
    P audit            sum of squares of a batch measured in P, where the server puts nothing

With data the light's energy along them is unknown to the client, so that the sharp tests of power
need dummies, which the server cannot tell from data.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import chi2, t
from torch import Tensor

from drivers.backend import Block, ClientOpticsInfo
from protocol.plan import LayerPlan, Plan
from protocol.verification.client_tests import client_limits
from protocol.verification.session import SessionScore

__all__ = ["OutcomeMonitor", "OutcomeSettings"]

Array = NDArray[np.float64]

SHARES = {
    "floor": 0.2,
    "inputs": 0.1,
    "power": 0.05,
    "peak": 0.15,
    "dummy power": 0.15,
    "repeated": 0.1,
    "P": 0.25,
}
"""Shares of the client's false-alarm rate; a share whose test does not run is not spent."""

_FEWEST_DUMMIES = 10
_FEWEST_PAIRS = 8


@dataclass(frozen=True, kw_only=True)
class OutcomeSettings:
    """What the tests are set for.

    Args:
        false_alarm: of the session.
        variance_slack: see `protocol.client_policy.ClientPolicy`, as the next two.
        largest_row_norm: likewise.
        largest_row_correlation: likewise.
        samples: of the session, dummies included.
        dummies: batches of them.
        probes: batches measured in P.
    """

    false_alarm: float
    variance_slack: float
    largest_row_norm: float
    largest_row_correlation: float
    samples: int
    dummies: int
    probes: int


class OutcomeMonitor:
    """Tests every block of outcomes and says when the server's light is not what it declared.

    Args:
        settings: of the session.
        info: the client's calibration.
        plan: what the server declared.
    """

    def __init__(self, settings: OutcomeSettings, info: ClientOpticsInfo, plan: Plan) -> None:
        self._settings, self._plan = settings, plan
        self._noise, self._gain = info.outcome_variance_snu, info.signal_gain
        self._blocks = plan.blocks(settings.samples)
        self._per_batch = self._blocks // -(-settings.samples // plan.samples_per_block)
        self._scores: dict[str, SessionScore] = {}
        self._limits: dict[tuple[int, ...], Callable[[Tensor], None]] = {}
        self._batch: dict[int, Array] = {}
        self._sums: dict[int, Array] = {}
        self._probed = np.zeros(2)

    @property
    def scores(self) -> tuple[SessionScore, ...]:
        """The worst state of every test that has run; a limit of 1 is a ratio to the limit."""
        return tuple(self._scores.values())

    @property
    def failed(self) -> str:
        """Names of the tests that fail; empty if none does."""
        return ", ".join(score.name for score in self.scores if not score.passed)

    def add(self, block: Block, outcomes: Tensor) -> str:
        """Test a block of data, of dummies or of probes.

        Args:
            block: which.
            outcomes: `(inputs, rows)`, SNU.

        Returns:
            Names of the tests that fail now; empty if none does.
        """
        key = (block.layer, block.inputs, block.rows)
        if key not in self._limits:
            self._limits[key] = self._tests_of(block)
        self._limits[key](outcomes)
        return self.failed

    def add_dummies(self, block: Block, outcomes: Tensor) -> str:
        """Test a block of dummies, after `add`; its energies count with the batch."""
        layer = self._plan.of_layer(block.layer)
        values = outcomes.double().cpu().numpy()
        rate = self._rate("peak") / 2
        spread = self._noise + self._settings.largest_row_norm**2 * self._signal(layer)
        # Signs along a row are no wider than a normal number (Hoeffding), nor is their sum with it.
        limit = math.sqrt(2 * spread * math.log(2 * values.size / rate))
        self._note("outcome peak", float(np.abs(values).max()) / limit, 1.0, values.size)
        weight = block.modes / layer.modes
        energies = self._batch.setdefault(block.layer, np.zeros(block.inputs))
        energies += weight * np.square(values).sum(1)
        self._test_repeats(layer, values)
        return self.failed

    def end_of_dummies(self) -> str:
        """Test the energies of all dummies so far, at the end of a batch of them."""
        for index, energies in self._batch.items():
            layer, sums = self._plan.of_layer(index), self._sums.setdefault(index, np.zeros(3))
            sums += (energies.size, energies.sum(), np.square(energies).sum())
            # A tile's energies count by its share of the modes, and these shares add up to 1.
            declared = layer.rows * (self._noise + self._signal(layer))
            rate = SHARES["dummy power"] * self._settings.false_alarm
            rate /= self._settings.dummies * len(self._plan.layers)
            self._test_mean("dummy power", sums, declared * self._slack, rate)
        self._batch.clear()
        return self.failed

    def add_probe(self, outcomes: Tensor) -> str:
        """Test a block that was measured in P together with all before it, after `add`."""
        values = outcomes.double()
        self._probed += (values.numel(), float(values.square().sum()))
        rate = SHARES["P"] * self._settings.false_alarm
        rate /= 2 * self._per_batch * max(self._settings.probes, 1)
        count, energy = int(self._probed[0]), float(self._probed[1])
        limits = client_limits(count, self._noise, 0.0, rate)
        ceiling, floor = limits.ceiling_snu * self._slack, limits.floor_snu / self._slack
        self._note("P audit", max(energy / ceiling, floor / max(energy, 1e-300)), 1.0, count)
        return self.failed

    @property
    def _slack(self) -> float:
        return 1 + self._settings.variance_slack

    def _rate(self, share: str) -> float:
        return SHARES[share] * self._settings.false_alarm / self._blocks

    def _signal(self, layer: LayerPlan) -> float:
        """Variance that declared weights add along a direction that does not know them.

        Real light has 4 mu in X; complex light has half of it in each quadrature.
        """
        return self._gain**2 * layer.photons_per_symbol * (4 if layer.encoding == "real" else 2)

    def _tests_of(self, block: Block) -> Callable[[Tensor], None]:
        """The tests of blocks of one size, with limits that are worked out once."""
        layer = self._plan.of_layer(block.layer)
        count, noise = block.frames, self._noise
        floor = client_limits(count, noise, 0.0, self._rate("floor")).floor_snu / self._slack
        single = float(chi2.ppf(self._rate("inputs") / block.inputs, block.rows)) * noise
        single /= self._slack
        # No direction holds more than all of a row: 4 mu N, declared on average over the rows.
        row_energy = self._gain**2 * 4 * layer.photons_per_symbol * layer.modes
        ceiling = self._ceiling(count, block.inputs * layer.rows * row_energy)
        each = self._rate("peak") / 4 / count
        peak = self._settings.largest_row_norm * math.sqrt(row_energy)
        peak += math.sqrt(noise * self._slack) * float(-ndtri(each))

        def test(outcomes: Tensor) -> None:
            energies = torch.linalg.vector_norm(outcomes, dim=1).double().square()
            total, least = float(energies.sum()), float(energies.min())
            low, high = outcomes.aminmax()
            self._note("outcome floor", floor / max(total, 1e-300), 1.0, count)
            self._note("input floor", single / max(least, 1e-300), 1.0, block.rows)
            self._note("outcome power", total / ceiling, 1.0, count)
            self._note("outcome peak", max(-float(low), float(high)) / peak, 1.0, count)

        return test

    def _ceiling(self, count: int, energy: float) -> float:
        """Sum of squares that `count` outcomes with means of at most `energy` in all stay below.

        Birge's bound for a noncentral chi-square (Ann. Inst. Henri Poincare 37, lemma 8.1).
        """
        away, depth = energy / self._noise, math.log(1 / self._rate("power"))
        tail = 2 * math.sqrt((count + 2 * away) * depth) + 2 * depth
        return self._noise * self._slack * (count + away + tail)

    def _test_repeats(self, layer: LayerPlan, values: Array) -> None:
        """Mean product of outcomes of rows any number apart, over the dummies."""
        inputs, rows = values.shape
        lags = rows - _FEWEST_PAIRS
        if inputs < _FEWEST_DUMMIES or lags < 1:
            return
        spectrum = np.fft.rfft(values, 2 * rows, axis=1)
        products = np.fft.irfft(np.square(np.abs(spectrum)), axis=1)[:, 1 : lags + 1]
        means = products / (rows - np.arange(1, lags + 1))
        allowed = self._settings.largest_row_correlation * self._signal(layer)
        error = means.std(axis=0, ddof=1) / math.sqrt(inputs)
        rate = SHARES["repeated"] * self._settings.false_alarm
        rate /= self._settings.dummies * self._per_batch * lags
        score = float(np.max((means.mean(axis=0) - allowed) / np.maximum(error, 1e-300)))
        self._note("repeated rows", score, float(t.isf(rate, inputs - 1)), inputs)

    def _test_mean(self, name: str, sums: Array, declared: float, rate: float) -> None:
        """Student's test that a mean is not above what was declared."""
        count, total, squares = (float(value) for value in sums)
        if count < _FEWEST_DUMMIES:
            return
        mean = total / count
        variance = max(squares / count - mean**2, 1e-300) * count / (count - 1)
        score = (mean - declared) / math.sqrt(variance / count)
        self._note(name, score, float(t.isf(rate, count - 1)), int(count))

    def _note(self, name: str, score: float, limit: float, symbols: int) -> None:
        """Keep the worst state of a test; what is not a number is worst of all."""
        before = self._scores.get(name)
        worse = before is None or not (score - limit <= before.score - before.limit)
        if worse and (before is None or before.passed):
            self._scores[name] = SessionScore(name=name, score=score, limit=limit, symbols=symbols)
