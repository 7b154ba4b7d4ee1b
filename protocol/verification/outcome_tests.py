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

Where the plan cuts a batch into blocks of a few inputs, floor and power are tested over the batch
so far as well, and repeated rows over all its dummies so far: what is too little for a small block
adds up as it would in one large block.
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

LARGEST_PHASE_ERROR_RAD = 0.1
"""Of an honest client's own detector, by which displacements of P show in X."""

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
        dither_snu: mean square of the displacements of P that the server declared.
    """

    false_alarm: float
    variance_slack: float
    largest_row_norm: float
    largest_row_correlation: float
    samples: int
    dummies: int
    probes: int
    dither_snu: float = 0.0


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
        most = min(plan.samples_per_block, settings.samples)
        self._per_batch = plan.blocks_of_batch(most)
        self._cut = any(
            plan.largest_inputs(layer, most) < most * layer.positions for layer in plan.layers
        )
        self._scores: dict[str, SessionScore] = {}
        self._limits: dict[tuple[int, ...], Callable[[Tensor], None]] = {}
        self._so_far: dict[tuple[int, ...], tuple[int, int, float]] = {}
        self._batch_limits: dict[tuple[int, ...], tuple[float, float]] = {}
        self._batch: dict[tuple[int, int], Array] = {}
        self._products: dict[tuple[int, ...], tuple[int, Array, Array]] = {}
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
        if self._cut:
            self._add_to_batch(block, float(torch.linalg.vector_norm(outcomes.double()).square()))
        return self.failed

    def _add_to_batch(self, block: Block, energy: float) -> None:
        """Floor and power of the batch so far, of the block's rows and tile."""
        layer = self._plan.of_layer(block.layer)
        place = (block.layer, block.tile, block.first_row)
        batch = self._plan.batch(layer, block.first_input, self._settings.samples).start
        begun, inputs, before = self._so_far.get(place, (batch, 0, 0.0))
        if begun != batch:
            inputs, before = 0, 0.0
        inputs, total = inputs + block.inputs, before + energy
        self._so_far[place] = (batch, inputs, total)
        key, count = (block.layer, inputs, block.rows), inputs * block.rows
        if key not in self._batch_limits:
            self._batch_limits[key] = self._floor_and_ceiling(layer, inputs, block.rows)
        floor, ceiling = self._batch_limits[key]
        self._note("outcome floor", floor / max(total, 1e-300), 1.0, count)
        self._note("outcome power", total / ceiling, 1.0, count)

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
        place = (block.layer, block.first_input)
        energies = self._batch.setdefault(place, np.zeros(block.inputs))
        energies += weight * np.square(values).sum(1)
        self._test_repeats(block, values)
        return self.failed

    def end_of_dummies(self) -> str:
        """Test the energies of all dummies so far, at the end of a batch of them."""
        for (index, _), energies in self._batch.items():
            sums = self._sums.setdefault(index, np.zeros(3))
            sums += (energies.size, energies.sum(), np.square(energies).sum())
        for index in {index for index, _ in self._batch}:
            layer, sums = self._plan.of_layer(index), self._sums[index]
            # A tile's energies count by its share of the modes, and these shares add up to 1.
            declared = layer.rows * (self._noise + self._signal(layer))
            rate = SHARES["dummy power"] * self._settings.false_alarm
            rate /= self._settings.dummies * len(self._plan.layers)
            self._test_mean("dummy power", sums, declared * self._slack, rate)
        self._batch.clear()
        self._products.clear()
        return self.failed

    def add_probe(self, outcomes: Tensor) -> str:
        """Test a block that was measured in P together with all before it, after `add`."""
        values = outcomes.double()
        self._probed += (values.numel(), float(values.square().sum()))
        rate = SHARES["P"] * self._settings.false_alarm
        rate /= 2 * self._per_batch * max(self._settings.probes, 1)
        count, energy = int(self._probed[0]), float(self._probed[1])
        # Displacements at most as large as declared: fewer are no harm.
        declared = self._gain**2 * self._settings.dither_snu
        limits = client_limits(count, self._noise, declared, rate)
        ceiling, floor = limits.ceiling_snu * self._slack, limits.floor_snu / self._slack
        self._note("P audit", max(energy / ceiling, floor / max(energy, 1e-300)), 1.0, count)
        return self.failed

    @property
    def _slack(self) -> float:
        return 1 + self._settings.variance_slack

    def _rate(self, share: str) -> float:
        return SHARES[share] * self._settings.false_alarm / self._blocks

    def _rate_of_sums(self, share: str) -> float:
        """Where sums are tested twice, over the block and over the batch so far, half for each."""
        return self._rate(share) / (2 if self._cut else 1)

    def _signal(self, layer: LayerPlan) -> float:
        """Variance that declared weights add along a direction that does not know them.

        Real light has 4 mu in X; complex light has half of it in each quadrature. Of displacements
        of P a phase error lets a little through.
        """
        on_x = layer.photons_per_symbol * (4 if layer.encoding == "real" else 2)
        leaked = LARGEST_PHASE_ERROR_RAD**2 * self._settings.dither_snu
        return self._gain**2 * (on_x + leaked)

    def _tests_of(self, block: Block) -> Callable[[Tensor], None]:
        """The tests of blocks of one size, with limits that are worked out once."""
        layer = self._plan.of_layer(block.layer)
        count, noise = block.frames, self._noise
        floor, ceiling = self._floor_and_ceiling(layer, block.inputs, block.rows)
        single = float(chi2.ppf(self._rate("inputs") / block.inputs, block.rows)) * noise
        single /= self._slack
        row_energy = self._row_energy(layer)
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

    def _row_energy(self, layer: LayerPlan) -> float:
        """No direction holds more than all of a row: 4 mu N, declared on average over the rows."""
        weights = 4 * layer.photons_per_symbol * layer.modes
        leaked = LARGEST_PHASE_ERROR_RAD**2 * self._settings.dither_snu
        return self._gain**2 * (weights + leaked)

    def _floor_and_ceiling(self, layer: LayerPlan, inputs: int, rows: int) -> tuple[float, float]:
        """Sums of squares between which outcomes of so many inputs and rows lie.

        The ceiling for means of at most the layer's energy is Birge's bound for a noncentral
        chi-square (Ann. Inst. Henri Poincare 37, lemma 8.1).
        """
        count, energy = inputs * rows, inputs * layer.rows * self._row_energy(layer)
        limits = client_limits(count, self._noise, 0.0, self._rate_of_sums("floor"))
        away, depth = energy / self._noise, math.log(1 / self._rate_of_sums("power"))
        tail = 2 * math.sqrt((count + 2 * away) * depth) + 2 * depth
        ceiling = self._noise * self._slack * (count + away + tail)
        return limits.floor_snu / self._slack, ceiling

    def _test_repeats(self, block: Block, values: Array) -> None:
        """Mean product of outcomes of rows any number apart, over the batch's dummies so far."""
        rows = block.rows
        lags = rows - _FEWEST_PAIRS
        if lags < 1:
            return
        spectrum = np.fft.rfft(values, 2 * rows, axis=1)
        products = np.fft.irfft(np.square(np.abs(spectrum)), axis=1)[:, 1 : lags + 1]
        products /= rows - np.arange(1, lags + 1)
        place = (block.layer, block.tile, block.first_row)
        inputs, total, squares = self._products.get(place, (0, np.zeros(lags), np.zeros(lags)))
        inputs += len(products)
        total, squares = total + products.sum(0), squares + np.square(products).sum(0)
        self._products[place] = (inputs, total, squares)
        if inputs < _FEWEST_DUMMIES:
            return
        layer, means = self._plan.of_layer(block.layer), total / inputs
        allowed = self._settings.largest_row_correlation * self._signal(layer)
        variance = np.maximum(squares / inputs - means**2, 0.0) / (inputs - 1)
        rate = SHARES["repeated"] * self._settings.false_alarm
        rate /= self._settings.dummies * self._per_batch * lags
        score = float(np.max((means - allowed) / np.sqrt(np.maximum(variance, 1e-300))))
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
