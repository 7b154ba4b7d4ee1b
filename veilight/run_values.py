"""What a run is asked for, and what came of it: values without behaviour.

The result holds what only someone who owns both parties may see.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import ClientOpticsInfo, OpticalLink, ServerOpticsInfo
from drivers.receivers import Receiver
from protocol.certificates.record import TestRecord, Thresholds
from protocol.client_policy import ClientPolicy
from protocol.defences import (
    Defences,
    DisguiseRecord,
)
from protocol.leakage import ChannelEstimate, LeakageSummary
from protocol.ledger import (
    ChargeRule,
    DataLedger,
    LedgerHead,
    PooledTests,
    ThresholdsCommitment,
    WeightLedger,
)
from protocol.models.model import Model
from protocol.plan import Encoding, LayerPlan, Plan
from protocol.server import BlockRecord
from protocol.verification import Evidence, ReturnExpectation
from sim_backend.adversaries import HONEST, ReturnBehaviour
from sim_backend.settings import LinkSettings

__all__ = ["InferenceRequest", "LayerResult", "OutcomeHistogram", "RunResult"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class InferenceRequest:
    """What to run.

    Args:
        model: the server's network.
        inputs: the client's raw data, float32 `(samples, ...)`.
        labels: true classes `(samples,)`, or None if unknown.
        link: the simulated link, where `optics` gives no other.
        behaviour: what the client of the simulated link does to the returned light.
        optics: an open link to run over, such as a bench; None makes the simulated one.
        encoding: "real" or "complex".
        photons_per_symbol: mu per optical layer; give this or `signal_to_noise`.
        signal_to_noise: F^2 per optical layer.
        rows_per_block: rows that are verified together, 0 for all.
        samples_per_block: samples of a batch; see `protocol.plan.Plan`.
        inputs_per_block: data vectors of a batch that are verified and charged together, 0 for all;
            None for all unless the ledger's budget needs smaller blocks.
        false_alarm: probability that an honest session is aborted.
        full_return: measure every returned mode instead of the tests' sums.
        audit_share: share of the batches that are dummies, which the server has opened.
        x_share: probability that X of a returned frame is measured, P otherwise.
        dither_snu: mean square of random displacements of P that the server adds; 0 for none.
        client_policy: what the client insists on, its own dummies and probes included.
        defences: what the server does to its weights from one block of samples to the next.
        confidence: of the finite-size certificate.
        probe_photons_per_mode: the client's bound on a server's probe in P, which counts for the
            dither as well; None takes the policy's.
        ledger: the server's ledger; None makes one in memory with `budget_bits_per_weight`.
        budget_bits_per_weight: budget of the ledger in memory; None for unlimited.
        against_memory: whether the ledger in memory charges one memory over all copies.
        data_ledger: the client's ledger, or None.
        title: for the report.
        data_name: for the report.
        taints: what was overridden to allow the run, such as a stale calibration; stays with its
            record for ever.
    """

    model: Model
    inputs: Tensor
    labels: NDArray[np.int64] | None = None
    link: LinkSettings = field(default_factory=LinkSettings)
    behaviour: ReturnBehaviour = HONEST
    optics: OpticalLink | None = None
    encoding: Encoding = "real"
    photons_per_symbol: tuple[float, ...] = ()
    signal_to_noise: tuple[float, ...] = ()
    rows_per_block: int = 0
    samples_per_block: int = 100
    inputs_per_block: int | None = None
    false_alarm: float = 1e-6
    full_return: bool = False
    audit_share: float = 0.0
    x_share: float = 0.5
    dither_snu: float = 0.0
    client_policy: ClientPolicy = field(default_factory=ClientPolicy)
    defences: Defences = field(default_factory=Defences)
    confidence: float = 1 - 1e-6
    probe_photons_per_mode: float | None = None
    ledger: WeightLedger | None = None
    budget_bits_per_weight: float | None = None
    against_memory: bool = False
    data_ledger: DataLedger | None = None
    title: str = "Secure inference"
    data_name: str = "data"
    taints: tuple[str, ...] = ()

    @property
    def probe_limit(self) -> float | None:
        """The client's bound on light in P, photons per mode; None for none given."""
        given = self.probe_photons_per_mode
        return self.client_policy.probe_photons_per_mode if given is None else given


@dataclass(frozen=True, kw_only=True)
class OutcomeHistogram:
    """Deviations of the client's products from the true ones, in units of their predicted noise.

    Args:
        edges: bin edges.
        counts: deviations per bin; those beyond the edges are in the outermost bins.
        mean: of the deviations, 0 in theory.
        variance: of the deviations, 1 in theory.
    """

    edges: Array
    counts: NDArray[np.int64]
    mean: float
    variance: float


@dataclass(frozen=True, kw_only=True)
class LayerResult:
    """One optical layer of a run.

    Args:
        plan: how it was sent.
        name: how it is called in tables.
        signal_to_noise: F^2.
        symbols: modes that the plan sends for all samples.
        expectation: what the server expected back.
        evidence: what it measured in accepted blocks, None where nothing passed.
        channel: the channel that this means.
        histogram: the client's deviations, None where no product was measured.
        bits_charged: bits per weight in the ledger after the run, worst row.
        queries_left: verified queries that the budget still allows at this setting, in all,
            from an empty ledger; None without a budget.
        photons_in_ledger: most photons per symbol that a row was ever sent with, all copies.
        untold_photons: of the verified ones, those in entries of older ledgers, which do not tell
            how they came back; most that a row has.
        disguised: what its disguises were; None if it is sent as it is.
        tested: what the ledger has of the tests of all sessions.
    """

    plan: LayerPlan
    name: str
    signal_to_noise: float
    symbols: int
    expectation: ReturnExpectation
    evidence: Evidence | None
    channel: ChannelEstimate
    histogram: OutcomeHistogram | None
    bits_charged: float
    queries_left: int | None
    photons_in_ledger: float
    untold_photons: float = 0.0
    disguised: DisguiseRecord | None = None
    tested: tuple[PooledTests, ...] = ()

    @property
    def launched_photons_per_symbol(self) -> float:
        """Mean photons of a launched mode: those of the weights, and d/4 of the dither."""
        return self.plan.photons_per_symbol + self.expectation.dither_snu / 4


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """All that is worth telling of a run.

    Args:
        request: what was asked for.
        started: UTC time, ISO 8601.
        accepted: both parties' verdict over all blocks.
        abort_reason: why the session ended early, empty if it did not.
        plan: how the network was sent.
        receiver: the agreed receiver.
        server_info: calibration of the server's optics.
        client_info: calibration of the client's optics.
        predictions: classes `(samples,)`, None if the session was aborted.
        accuracy: share of right classes, None without labels or predictions.
        noise_free_accuracy: of the same network without light.
        confusion: counts `(true, predicted)`, None without labels or predictions.
        layers: one per optical layer.
        blocks: the server's record, block by block.
        tests: over the session, of both parties, with their limits.
        thresholds: fixed before the light.
        thresholds_told: their fingerprint, as the client was told it before the light.
        thresholds_in_ledger: where the ledger has it; None where nothing was debited.
        audited_batches: batches of dummies that were opened.
        audit_symbols: modes that were sent for dummies and probes; they tell no product.
        symbols_sent: modes that were sent.
        light_time_s: how long that takes at the link's symbol rate.
        wall_time_s: how long the run took.
        weights_leaked: to whom and how much, after this run's queries.
        weights_leaked_at_10000: after 10,000 queries.
        data_leaked: about one sample, to the server.
        budget_bits_per_weight: of the ledger.
        charge_rule: whom the ledger charges for.
        budget_lifted: True if the ledger was told to let everything pass.
        simulated: always True for a run on a simulated link.
        seed: of the link.
        link_settings: what the link was set to, a dataclass.
        versions: of veilight and what it stands on.
        session: name that the ledgers know the session by.
        ledger_head: where the server's ledger stood afterwards; None for one in memory.
        data_ledger_head: the same for the client's; None without one.
        data_ledger_most_bits: of the input that has spent most; None without a ledger.
    """

    request: InferenceRequest
    started: str
    accepted: bool
    abort_reason: str
    plan: Plan
    receiver: Receiver
    server_info: ServerOpticsInfo
    client_info: ClientOpticsInfo
    predictions: NDArray[np.int64] | None
    accuracy: float | None
    noise_free_accuracy: float | None
    confusion: NDArray[np.int64] | None
    layers: tuple[LayerResult, ...]
    blocks: tuple[BlockRecord, ...]
    tests: tuple[TestRecord, ...]
    thresholds: Thresholds
    thresholds_told: str
    thresholds_in_ledger: ThresholdsCommitment | None
    audited_batches: int
    audit_symbols: int
    symbols_sent: int
    light_time_s: float
    wall_time_s: float
    weights_leaked: tuple[LeakageSummary, ...]
    weights_leaked_at_10000: tuple[LeakageSummary, ...]
    data_leaked: tuple[LeakageSummary, ...]
    budget_bits_per_weight: float | None
    charge_rule: ChargeRule
    budget_lifted: bool
    simulated: bool
    seed: int | None
    link_settings: object
    versions: dict[str, str]
    session: str
    ledger_head: LedgerHead | None
    data_ledger_head: LedgerHead | None
    data_ledger_most_bits: float | None
