"""One inference run from end to end: a model, data, a link, and what came of it.

This is where the two parties are put side by side: the result holds what only someone who owns
both may see (true labels beside noise-free outputs beside the server's evidence), for people who
study or rehearse the protocol.
"""

import math
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import ChoosesEarly, ClientOpticsInfo, OpticalLink
from drivers.errors import ConfigurationError, VerificationError
from drivers.receivers import Receiver
from protocol.accounting import (
    channel_estimate,
    charged_data_bits,
    data_leakage,
    layer_name,
    weight_leakage,
)
from protocol.budget import charge_for_layer, pending_queries, queries_within_budget
from protocol.certificates.record import TestRecord
from protocol.channel import LocalChannel
from protocol.client import ClientParty, ClientRecord, Progress
from protocol.client_policy import ClientPolicy
from protocol.defences import (
    DisguisedNetwork,
    WeightLight,
    disguise_network,
)
from protocol.encoding import make_plan, photons_for_signal_to_noise, signal_to_noise
from protocol.honest_channel import server_trust
from protocol.leakage import LeakageSummary
from protocol.ledger import WeightLedger
from protocol.models.model import Model
from protocol.plan import LayerPlan, Plan
from protocol.randomness import RandomBits, SeededBits
from protocol.server import ServerParty, ServerPolicy, ServerRecord
from protocol.verification import expected_return
from protocol.verification.session import SessionScore
from sim_backend.symbol_link import SymbolLink
from veilight._version import __version__
from veilight.block_sizes import with_fitting_blocks
from veilight.run_values import InferenceRequest, LayerResult, OutcomeHistogram, RunResult

__all__ = ["InferenceRequest", "LayerResult", "RunResult", "run_inference"]

_NAMED_PACKAGES = ("numpy", "torch", "scipy", "safetensors", "scikit-learn")


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
    server_info, client_info = link.server.describe(), link.client.describe()
    plan, disguise = _plan(request, client_info)
    receiver = client_info.receiver
    ledger = request.ledger or _ledger_in_memory(request)
    plan, disguise = with_fitting_blocks(request, plan, disguise, server_info, receiver, ledger)
    server = ServerParty(
        request.model,
        plan,
        link.server,
        _server_policy(request, receiver),
        ledger,
        random_bits=_random_bits(link, client_info.seed),
        disguise=disguise,
    )
    client = ClientParty(
        link.client,
        LocalChannel(server.handle),
        ledger=request.data_ledger,
        input_bits=None if request.data_ledger is None else _input_bits(request, plan, receiver),
        keep=64,
        on_progress=on_progress,
        policy=_client_policy(request, client_info),
    )
    outputs, abort_reason = _outputs(client, server, request.inputs)
    return _result(
        request,
        started,
        time.perf_counter() - begin,
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


def _ledger_in_memory(request: InferenceRequest) -> WeightLedger:
    """A ledger that ends with the run."""
    graph = request.model.graph
    rows = {index: graph.optical_layer(index).rows for index in graph.optical}
    return WeightLedger.create(
        None,
        request.model.digest,
        rows,
        request.budget_bits_per_weight,
        rule="with memory" if request.against_memory else "copies apart",
    )


def _server_policy(request: InferenceRequest, receiver: Receiver) -> ServerPolicy:
    return ServerPolicy(
        receiver=receiver,
        false_alarm=request.false_alarm,
        full_return=request.full_return,
        confidence=request.confidence,
        audit_share=request.audit_share,
        probes=request.client_policy.probe_share > 0,
        x_share=request.x_share,
        dither_snu=request.dither_snu,
    )


def _client_policy(request: InferenceRequest, info: ClientOpticsInfo) -> ClientPolicy:
    """What was asked for; where nothing is simulated, chance is the operating system's."""
    return replace(
        request.client_policy,
        seed=info.seed if info.simulated else None,
        probe_photons_per_mode=request.probe_limit,
    )


def _outputs(client: ClientParty, server: ServerParty, inputs: Tensor) -> tuple[Tensor | None, str]:
    """What the network says, or why the session was given up."""
    try:
        return client.infer(inputs), ""
    except VerificationError as error:
        # The client is told the tests' names alone; the server's record has the numbers.
        reason = str(error)
        if not server.record.accepted:
            reason += f" Measured: {server.record.reason}."
        return None, reason


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
    # A sample of which a block was sent counts in full.
    sent = {
        e.layer: -(-session.server.sent_inputs.get(e.layer, 0) // e.positions) for e in plan.layers
    }
    every = {entry.layer: 10_000 for entry in plan.layers}
    judged = _judged(request, session.outputs)
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
        predictions=judged.predictions,
        accuracy=judged.accuracy,
        noise_free_accuracy=judged.noise_free_accuracy,
        confusion=judged.confusion,
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
            plan,
            receiver,
            probe_photons_per_mode=request.probe_limit,
            dither_snu=request.dither_snu,
        ),
        budget_bits_per_weight=session.ledger.budget_bits_per_weight,
        budget_lifted=session.ledger.unlimited,
        charge_rule=session.ledger.rule,
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


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """What the network said, and how true it is where the labels are known."""

    predictions: NDArray[np.int64] | None = None
    accuracy: float | None = None
    noise_free_accuracy: float | None = None
    confusion: NDArray[np.int64] | None = None


def _judged(request: InferenceRequest, outputs: Tensor | None) -> _Judged:
    predictions = None if outputs is None else outputs.argmax(1).numpy().astype(np.int64)
    labels = request.labels
    if labels is None:
        return _Judged(predictions=predictions)
    noise_free = float((_noise_free(request) == labels).mean())
    if predictions is None:
        return _Judged(noise_free_accuracy=noise_free)
    classes = max(request.model.graph.outputs, int(labels.max()) + 1)
    pairs = labels * classes + predictions
    return _Judged(
        predictions=predictions,
        accuracy=float((predictions == labels).mean()),
        noise_free_accuracy=noise_free,
        confusion=np.bincount(pairs, minlength=classes**2).reshape(classes, classes),
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
    expectation = expected_return(server_info, client_info.receiver, dither_snu=request.dither_snu)
    evidence = session.server.evidence.get(layer.layer)
    rule = session.ledger.rule
    charge = charge_for_layer(layer, expectation, server_trust(server_info), rule)
    light = session.ledger.light(layer.layer)
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
        bits_charged=float(charge.bits(light).max()),
        queries_left=(
            None
            if budget is None
            else queries_within_budget(
                charge,
                layer.photons_per_symbol * layer.positions,
                budget,
                pending_queries(session.plan, layer),
            )
        ),
        photons_in_ledger=float((light.verified + light.unverified).max()),
        untold_photons=session.ledger.totals().most_untold_photons[layer.layer],
        disguised=session.light.disguised.get(layer.layer),
        tested=session.ledger.tested(layer.layer),
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
            inputs_per_block=request.inputs_per_block or 0,
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
        inputs_per_block=request.inputs_per_block or 0,
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


def _input_bits(
    request: InferenceRequest, plan: Plan, receiver: Receiver
) -> Callable[[LayerPlan], float]:
    """What one evaluation of a layer may tell a server about an input, in bits."""
    probed = request.dither_snu > 0 and not receiver.preserves_p

    def bits(layer: LayerPlan) -> float:
        figures = data_leakage(
            Plan(layers=(layer,), samples_per_block=plan.samples_per_block),
            receiver,
            probe_photons_per_mode=request.probe_limit if probed else None,
            dither_snu=request.dither_snu,
        )
        return charged_data_bits(figures, probed=probed)

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
