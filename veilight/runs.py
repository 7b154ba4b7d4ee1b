"""One inference run from end to end: a model, data, a link, and what came of it.

This is where the two parties are put side by side: the result holds what only someone who owns
both may see (true labels beside noise-free outputs beside the server's evidence), for people who
study or rehearse the protocol.
"""

import math
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import ChoosesEarly, ClientOpticsInfo, OpticalLink, ServerOpticsInfo
from drivers.errors import ConfigurationError, VerificationError
from drivers.receivers import Receiver
from protocol.accounting import channel_estimate, data_leakage, layer_name, weight_leakage
from protocol.budget import charge_for_layer, queries_within_budget
from protocol.certificates.record import TestRecord, Thresholds
from protocol.channel import LocalChannel
from protocol.client import ClientParty, ClientRecord, Progress
from protocol.client_policy import ClientPolicy
from protocol.defences import (
    Defences,
    DisguisedNetwork,
    DisguiseRecord,
    WeightLight,
    disguise_network,
)
from protocol.encoding import make_plan, photons_for_signal_to_noise, signal_to_noise
from protocol.leakage import ChannelEstimate, LeakageSummary
from protocol.ledger import DataLedger, LedgerHead, ThresholdsCommitment, WeightLedger
from protocol.models.model import Model
from protocol.plan import Encoding, LayerPlan, Plan
from protocol.randomness import RandomBits, SeededBits
from protocol.server import BlockRecord, ServerParty, ServerPolicy, ServerRecord
from protocol.verification import Evidence, ReturnExpectation, expected_return
from protocol.verification.session import SessionScore
from sim_backend.adversaries import HONEST, ReturnBehaviour
from sim_backend.settings import LinkSettings
from sim_backend.symbol_link import SymbolLink
from veilight._version import __version__

__all__ = [
    "InferenceRequest",
    "LayerResult",
    "OutcomeHistogram",
    "RunResult",
    "run_inference",
]

Array = NDArray[np.float64]

_NAMED_PACKAGES = ("numpy", "torch", "scipy", "safetensors", "scikit-learn")


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
        samples_per_block: samples that are sent and verified together.
        false_alarm: probability that an honest session is aborted.
        full_return: measure every returned mode instead of the tests' sums.
        audit_share: share of the batches that are dummies, which the server has opened.
        client_policy: what the client insists on, its own dummies and probes included.
        defences: what the server does to its weights from one block of samples to the next.
        confidence: of the finite-size certificate.
        probe_photons_per_mode: the client's bound on a server's probe in P, or None.
        ledger: the server's ledger; None makes one in memory with `budget_bits_per_weight`.
        budget_bits_per_weight: budget of the ledger in memory; None for unlimited.
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
    false_alarm: float = 1e-6
    full_return: bool = False
    audit_share: float = 0.0
    client_policy: ClientPolicy = field(default_factory=ClientPolicy)
    defences: Defences = field(default_factory=Defences)
    confidence: float = 1 - 1e-6
    probe_photons_per_mode: float | None = None
    ledger: WeightLedger | None = None
    budget_bits_per_weight: float | None = None
    data_ledger: DataLedger | None = None
    title: str = "Secure inference"
    data_name: str = "data"
    taints: tuple[str, ...] = ()


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
        disguised: what its disguises were; None if it is sent as it is.
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
    disguised: DisguiseRecord | None = None


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
    budget_lifted: bool
    simulated: bool
    seed: int | None
    link_settings: object
    versions: dict[str, str]
    session: str
    ledger_head: LedgerHead | None
    data_ledger_head: LedgerHead | None
    data_ledger_most_bits: float | None


def run_inference(
    request: InferenceRequest, on_progress: Callable[[Progress], None] | None = None
) -> RunResult:
    """Run one session over the link that the request names.

    A session that the server aborts is a result (`accepted` is False), not an error.

    Args:
        request: what to run.
        on_progress: called after every block.

    Raises:
        VeilightError: a setting, the data or the ledger do not allow the run.
    """
    begin = time.perf_counter()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    link = request.optics or SymbolLink(request.link, request.behaviour)
    client_info = link.client.describe()
    plan, disguise = _plan(request, client_info)
    receiver = client_info.receiver
    graph = request.model.graph
    ledger = request.ledger or WeightLedger.create(
        None,
        request.model.digest,
        {index: graph.optical_layer(index).rows for index in graph.optical},
        request.budget_bits_per_weight,
    )
    seed = client_info.seed
    server = ServerParty(
        request.model,
        plan,
        link.server,
        ServerPolicy(
            receiver=receiver,
            false_alarm=request.false_alarm,
            full_return=request.full_return,
            confidence=request.confidence,
            audit_share=request.audit_share,
            probes=request.client_policy.probe_share > 0,
        ),
        ledger,
        random_bits=_random_bits(link, seed),
        disguise=disguise,
    )
    client = ClientParty(
        link.client,
        LocalChannel(server.handle),
        ledger=request.data_ledger,
        input_bits=None if request.data_ledger is None else _input_bits(plan, receiver),
        keep=64,
        on_progress=on_progress,
        policy=replace(request.client_policy, seed=seed if client_info.simulated else None),
    )
    outputs, abort_reason = None, ""
    try:
        outputs = client.infer(request.inputs)
    except VerificationError as error:
        # The client is told the tests' names alone; the server's record has the numbers.
        abort_reason = str(error)
        if not server.record.accepted:
            abort_reason += f" Measured: {server.record.reason}."
    finished = time.perf_counter()
    return _result(
        request,
        started,
        finished - begin,
        _Session(
            link=link,
            plan=plan,
            server=server.record,
            light=server.light,
            client=client.record,
            ledger=ledger,
            outputs=outputs,
            abort_reason=abort_reason,
        ),
    )


def _random_bits(link: OpticalLink, seed: int | None) -> RandomBits | None:
    """Who chooses the quadratures of the return; None for the operating system."""
    if isinstance(link, ChoosesEarly):
        return link.random_bits
    return None if seed is None else SeededBits(seed)


@dataclass(frozen=True, kw_only=True)
class _Session:
    link: OpticalLink
    plan: Plan
    server: ServerRecord
    light: WeightLight
    client: ClientRecord
    ledger: WeightLedger
    outputs: Tensor | None
    abort_reason: str


def _result(
    request: InferenceRequest, started: str, wall_time_s: float, session: _Session
) -> RunResult:
    """Everything that follows from a finished session."""
    plan = session.plan
    server_info, client_info = session.link.server.describe(), session.link.client.describe()
    receiver = client_info.receiver
    layers = tuple(_layer_result(request, session, layer) for layer in plan.layers)
    channels = {layer.plan.layer: layer.channel for layer in layers}
    sent = {e.layer: session.server.sent_inputs.get(e.layer, 0) // e.positions for e in plan.layers}
    every = {entry.layer: 10_000 for entry in plan.layers}
    predictions = accuracy = noise_free = confusion = None
    if session.outputs is not None:
        predictions = session.outputs.argmax(1).numpy().astype(np.int64)
    if request.labels is not None:
        classes = max(request.model.graph.outputs, int(request.labels.max()) + 1)
        noise_free = float((_noise_free(request) == request.labels).mean())
        if predictions is not None:
            accuracy = float((predictions == request.labels).mean())
            pairs = request.labels * classes + predictions
            confusion = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    thresholds = session.server.thresholds
    assert thresholds is not None  # a session that was not granted raised its error
    symbols = sum(record.block.symbols for record in session.server.blocks)

    def weights(count: Mapping[int, int]) -> tuple[LeakageSummary, ...]:
        return weight_leakage(
            plan, receiver, channels, queries=count, confidence=request.confidence
        )

    return RunResult(
        request=request,
        started=started,
        accepted=session.server.accepted and not session.abort_reason,
        abort_reason=session.abort_reason,
        plan=plan,
        receiver=receiver,
        server_info=server_info,
        client_info=client_info,
        predictions=predictions,
        accuracy=accuracy,
        noise_free_accuracy=noise_free,
        confusion=confusion,
        layers=layers,
        blocks=tuple(session.server.blocks),
        tests=_tests(session),
        thresholds=thresholds,
        thresholds_told=session.client.thresholds,
        thresholds_in_ledger=session.ledger.commitment(session.server.session),
        audited_batches=session.client.opened,
        audit_symbols=session.client.dummy_symbols,
        symbols_sent=symbols,
        light_time_s=symbols / server_info.symbol_rate_hz,
        wall_time_s=wall_time_s,
        weights_leaked=weights(sent),
        weights_leaked_at_10000=weights(every),
        data_leaked=data_leakage(
            plan, receiver, probe_photons_per_mode=request.probe_photons_per_mode
        ),
        budget_bits_per_weight=session.ledger.budget_bits_per_weight,
        budget_lifted=session.ledger.unlimited,
        simulated=server_info.simulated,
        seed=server_info.seed,
        link_settings=session.link.settings,
        versions=_versions(),
        session=session.server.session,
        # A ledger in memory ends with the run: there is nothing that its head could be held to.
        ledger_head=None if request.ledger is None else session.ledger.head,
        data_ledger_head=None if request.data_ledger is None else request.data_ledger.head,
        data_ledger_most_bits=(
            None if request.data_ledger is None else request.data_ledger.totals().most_bits
        ),
    )


def _tests(session: _Session) -> tuple[TestRecord, ...]:
    """The tests over the session, the server's first."""
    both: tuple[tuple[Literal["server", "client"], tuple[SessionScore, ...]], ...] = (
        ("server", session.server.tests),
        ("client", session.client.tests),
    )
    return tuple(
        TestRecord(
            party=party,
            name=test.name,
            # Of a score that is no number JSON knows nothing; it failed in any case.
            score=test.score if math.isfinite(test.score) else 1e300,
            limit=test.limit,
            symbols=test.symbols,
            passed=test.passed,
        )
        for party, tests in both
        for test in tests
    )


def _layer_result(request: InferenceRequest, session: _Session, layer: LayerPlan) -> LayerResult:
    server_info, client_info = session.link.server.describe(), session.link.client.describe()
    expectation = expected_return(server_info, client_info.receiver)
    evidence = session.server.evidence.get(layer.layer)
    charge = charge_for_layer(layer, expectation, server_info.detection_efficiency)
    verified = session.ledger.verified_photons(layer.layer)
    unverified = session.ledger.unverified_photons(layer.layer)
    budget = session.ledger.budget_bits_per_weight
    return LayerResult(
        plan=layer,
        name=layer_name(layer),
        signal_to_noise=signal_to_noise(
            layer.photons_per_symbol, client_info.snr_factor, layer.encoding
        ),
        symbols=session.server.samples * layer.positions * layer.rows * layer.modes,
        expectation=expectation,
        evidence=evidence,
        channel=channel_estimate(evidence, expectation, server_info),
        histogram=_histogram(request.model, session, layer, client_info),
        bits_charged=float(charge(verified, unverified).max()),
        queries_left=(
            None
            if budget is None
            else queries_within_budget(charge, layer.photons_per_symbol * layer.positions, budget)
        ),
        photons_in_ledger=float((verified + unverified).max()),
        disguised=session.light.disguised.get(layer.layer),
    )


def _histogram(
    model: Model, session: _Session, layer: LayerPlan, client_info: ClientOpticsInfo
) -> OutcomeHistogram | None:
    """Deviations of the kept products from W x over |x| sqrt(v) / (a s)."""
    kept = session.client.samples.get(layer.layer)
    if kept is None:
        return None
    vectors, products = kept.vectors.double(), kept.products.double()
    # What is kept is of the first block of samples, and so of its disguise.
    sent = session.light.first_matrices.get(layer.layer)
    matrix = model.matrix(layer.layer).double() if sent is None else torch.from_numpy(sent)
    true = vectors @ matrix.T
    norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    noise = norms * client_info.snr_factor**-0.5 / layer.scale_snu
    lit = norms[:, 0] > 0
    deviations = ((products - true)[lit] / noise[lit]).flatten().numpy()
    if not deviations.size:
        return None
    edges = np.linspace(-5, 5, 61)
    counts, _ = np.histogram(np.clip(deviations, -4.999, 4.999), bins=edges)
    return OutcomeHistogram(
        edges=edges,
        counts=counts.astype(np.int64),
        mean=float(deviations.mean()),
        variance=float(deviations.var()),
    )


def _plan(
    request: InferenceRequest, info: ClientOpticsInfo
) -> tuple[Plan, DisguisedNetwork | None]:
    """How the network is sent, and in which disguise if in any."""
    photons = _photons(request, info)
    if not request.defences.active:
        plan = make_plan(
            request.model,
            photons,
            encoding=request.encoding,
            modes_per_frame=info.modes_per_frame,
            rows_per_block=request.rows_per_block,
            samples_per_block=request.samples_per_block,
        )
        return plan, None
    disguise = disguise_network(
        request.model,
        request.defences,
        photons,
        encoding=request.encoding,
        modes_per_frame=info.modes_per_frame,
        rows_per_block=request.rows_per_block,
        samples_per_block=request.samples_per_block,
    )
    return disguise.plan, disguise


def _photons(request: InferenceRequest, info: ClientOpticsInfo) -> tuple[float, ...]:
    """Photons per symbol, from either way of asking."""
    if bool(request.photons_per_symbol) == bool(request.signal_to_noise):
        raise ConfigurationError(
            "give either photons_per_symbol or signal_to_noise, one number per optical layer"
        )
    if request.photons_per_symbol:
        return request.photons_per_symbol
    return tuple(
        photons_for_signal_to_noise(value, info.snr_factor, request.encoding)
        for value in request.signal_to_noise
    )


def _input_bits(plan: Plan, receiver: Receiver) -> Callable[[LayerPlan], float]:
    """What one evaluation of a layer may tell a homodyning server about an input, in bits."""

    def bits(layer: LayerPlan) -> float:
        figures = data_leakage(
            Plan(layers=(layer,), samples_per_block=plan.samples_per_block), receiver
        )
        return max(figure.total_bits for figure in figures if figure.upper_bound)

    cached = {layer.layer: bits(layer) for layer in plan.layers}
    return lambda layer: cached[layer.layer]


def _noise_free(request: InferenceRequest) -> NDArray[np.int64]:
    graph = request.model.graph
    scaled = (request.inputs - graph.scaling.offset) * graph.scaling.factor
    outputs = [
        request.model.forward(part.reshape(-1, *graph.input_shape)).argmax(1)
        for part in scaled.split(1000)  # type: ignore[no-untyped-call]
    ]
    return torch.cat(outputs).numpy().astype(np.int64)


def _versions() -> dict[str, str]:
    versions = {"veilight": __version__, "python": platform.python_version()}
    for name in _NAMED_PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # a package of another name may provide it
            versions[name] = "unknown"
    return versions
