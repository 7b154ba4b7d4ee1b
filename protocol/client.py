"""The client's half of a session: owns the data, reads one number per row, does the rest digitally.

It never holds a weight. It drives the session: every exchange starts here. Every block's outcomes
pass the client's own tests before anything else is sent or measured.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from drivers import errors
from drivers.backend import Block, ClientOptics, ClientOpticsInfo
from drivers.errors import (
    ConfigurationError,
    DataError,
    ProtocolError,
    VeilightError,
    VerificationError,
)
from drivers.receivers import FeedForwardTap
from protocol.channel import ControlChannel
from protocol.client_audits import BatchAudit
from protocol.client_policy import ClientPolicy, announced_samples, batch_kinds, check_dither
from protocol.dummies import BatchKind, BatchSecret, dummy_vectors, new_batch, seeded_batch
from protocol.encoding import decode, encode_data
from protocol.ledger import DataLedger
from protocol.messages import (
    PROTOCOL_VERSION,
    BlockMeasured,
    BlockReady,
    BlockSent,
    BlockVerdict,
    Farewell,
    Finish,
    Hello,
    Message,
    Offer,
    Query,
    QueryGranted,
    Refusal,
)
from protocol.models.digital import DigitalPart
from protocol.models.graph import Graph, OpticalLayer
from protocol.models.model import fold, unfold
from protocol.plan import LayerPlan, Plan
from protocol.verification.outcome_tests import OutcomeMonitor, OutcomeSettings
from protocol.verification.session import SessionScore

_Answer = TypeVar("_Answer", bound=Message)

__all__ = ["ClientParty", "ClientRecord", "LayerSample", "Progress"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a session is."""

    symbols_done: int
    symbols_total: int
    samples_done: int
    samples_total: int


@dataclass(frozen=True, kw_only=True)
class LayerSample:
    """Data and decoded products of a few inputs of one layer, kept for a look at the noise.

    Args:
        vectors: `(inputs, entries)`.
        products: `(inputs, rows)`.
    """

    vectors: Tensor
    products: Tensor


@dataclass(kw_only=True)
class ClientRecord:
    """What the client knows at the end of a session.

    Args:
        session: its name.
        plan: what the server declared.
        graph: the network without weights.
        samples: a few inputs per layer, for a look at the noise.
        thresholds: fingerprint of what the server fixed before the light.
        tests: the client's own, in their worst state.
        batches: what each batch held.
        opened: batches of dummies that the server had opened.
        dummy_symbols: modes that were measured for dummies and probes and told nothing.
    """

    session: str = ""
    plan: Plan | None = None
    graph: Graph | None = None
    samples: dict[int, LayerSample] = field(default_factory=dict)
    thresholds: str = ""
    tests: tuple[SessionScore, ...] = ()
    batches: tuple[BatchKind, ...] = ()
    opened: int = 0
    dummy_symbols: int = 0


class ClientParty:
    """The client.

    Args:
        optics: the client's light.
        channel: to the server.
        ledger: counts what each input has spent; None keeps no account.
        input_bits: what one evaluation of a layer costs an input, by layer plan; charged to the
            ledger before the light of the layer is sent.
        keep: how many inputs per layer to keep in the record for a look at the noise.
        on_progress: called after every block.
        policy: what the client insists on.
    """

    def __init__(
        self,
        optics: ClientOptics,
        channel: ControlChannel,
        *,
        ledger: DataLedger | None = None,
        input_bits: Callable[[LayerPlan], float] | None = None,
        keep: int = 0,
        on_progress: Callable[[Progress], None] | None = None,
        policy: ClientPolicy | None = None,
    ) -> None:
        self._optics, self._channel = optics, channel
        self._policy = policy or ClientPolicy()
        self._audit_share, self._commits = 0.0, False
        self._dither_snu = 0.0
        self._monitor: OutcomeMonitor | None = None
        self._info = optics.describe()
        self._ledger, self._input_bits, self._keep = ledger, input_bits, keep
        self._on_progress = on_progress
        self._symbols_done = 0
        self._run = 0
        self.record = ClientRecord()

    @property
    def info(self) -> ClientOpticsInfo:
        """The calibration of the client's optics."""
        return self._info

    def infer(self, inputs: Tensor) -> Tensor:
        """Run the whole session: the network's outputs `(samples, outputs)`.

        Args:
            inputs: raw data `(samples, *input_shape)` or `(samples, entries)`, float32.

        Raises:
            DataError: wrong shape, NaN or infinity.
            VerificationError: the server found the returned light wrong and ended the session, or
                the client found the server's light wrong; nothing more is measured then.
            ConfigurationError: probes in P that the server does not allow.
            BudgetError: either ledger refuses.
            ProtocolError: the server answers out of turn.
        """
        graph, plan = self._agree()
        data = _checked_inputs(inputs, graph)
        step = plan.samples_per_block
        kinds = batch_kinds(-(-len(data) // step), self._audit_share, self._policy)
        total = announced_samples(kinds, len(data), step)
        granted = self._expect(QueryGranted, Query(session=self.record.session, samples=total))
        self._run = granted.run
        self.record.thresholds, self.record.batches = granted.thresholds, tuple(kinds)
        self._monitor = self._outcome_monitor(plan, kinds, total)
        outputs, used = [], 0
        for number, kind in enumerate(kinds):
            samples = range(number * step, min((number + 1) * step, total))
            secret = self._new_batch(kind, samples.start)
            audit = BatchAudit(self._expect, self.record.session, samples.start, secret)
            if self._commits:
                audit.begin()
            if kind == "data":
                part = data[used : used + step]
                used += len(part)
                outputs.append(self._data_batch(graph, plan, part, samples, total)[: len(part)])
            else:
                self._dummy_batch(plan, secret, samples, total)
            if self._commits:
                self.record.opened += audit.end()
        self._expect(Farewell, Finish(session=self.record.session, samples=total))
        return torch.cat(outputs)

    def _new_batch(self, kind: BatchKind, first_sample: int) -> BatchSecret:
        seed = self._policy.seed
        return new_batch(kind) if seed is None else seeded_batch(kind, seed, first_sample)

    def _outcome_monitor(self, plan: Plan, kinds: list[BatchKind], total: int) -> OutcomeMonitor:
        policy = self._policy
        settings = OutcomeSettings(
            false_alarm=policy.false_alarm,
            variance_slack=policy.variance_slack,
            largest_row_norm=policy.largest_row_norm,
            largest_row_correlation=policy.largest_row_correlation,
            samples=total,
            dummies=kinds.count("dummies"),
            probes=kinds.count("probe"),
            dither_snu=self._dither_snu,
        )
        return OutcomeMonitor(settings, self._info, plan)

    def _agree(self) -> tuple[Graph, Plan]:
        """Greet the server and check what it offers."""
        receiver = self._info.receiver
        offer = self._expect(
            Offer,
            Hello(
                version=PROTOCOL_VERSION,
                receiver=receiver.kind,
                receiver_setting=receiver.setting,
                modes_per_frame=self._info.modes_per_frame,
            ),
        )
        graph, plan = Graph.from_dict(offer.graph), Plan.from_dict(offer.plan)
        plan.check_graph(graph)
        if not 0 <= offer.audit_share < 1:
            raise ProtocolError(
                f"the server asks for a share of {offer.audit_share} of audits, it must lie in "
                "[0, 1)"
            )
        self._commits = offer.audit_share > 0
        self._audit_share = max(offer.audit_share, self._policy.audit_share)
        self._check_probes(plan, offer.probes)
        check_dither(offer.dither_snu, receiver, self._policy)
        self._dither_snu = offer.dither_snu
        self.record = ClientRecord(session=offer.session, plan=plan, graph=graph)
        return graph, plan

    def _check_probes(self, plan: Plan, allowed: bool) -> None:
        """Refuse probes in P where they would find what belongs there, or look like cheating."""
        if not self._policy.probe_share:
            return
        if any(layer.encoding == "complex" for layer in plan.layers):
            raise ConfigurationError(
                "the client's probe_share: complex encoding puts weights on P, so there is nothing "
                "to find there; use no probes"
            )
        if not allowed and isinstance(self._info.receiver, FeedForwardTap):
            raise ConfigurationError(
                "the client's probe_share: with this receiver a batch measured in P returns less "
                "of X, and the server does not allow for it; agree on its setting probes, or use "
                "no probes"
            )

    def _data_batch(
        self, graph: Graph, plan: Plan, raw: Tensor, samples: range, total: int
    ) -> Tensor:
        """All layers for one batch of samples."""
        scaling = graph.scaling
        # One pass over the data instead of two.
        start = raw.new_tensor(-scaling.offset * scaling.factor)
        values = torch.add(start, raw, alpha=scaling.factor)
        if len(values) < len(samples):
            # Random samples fill the batch up; their outputs are dropped.
            values = torch.cat([values, torch.randn(len(samples) - len(raw), *values.shape[1:])])
        digital = DigitalPart()
        digests = None if self._ledger is None else [self._ledger.digest(r.numpy()) for r in raw]
        for index, layer in enumerate(graph.layers):
            if isinstance(layer, OpticalLayer):
                entry = plan.of_layer(index)
                if self._ledger is not None and digests and self._input_bits is not None:
                    bits = self._input_bits(entry)
                    self._ledger.debit_many(
                        self.record.session,
                        digests,
                        index,
                        entry.rows * entry.positions,
                        np.full(len(digests), bits),
                    )
                values = self._optical(layer, graph, plan, entry, values, samples, total)
            else:
                # In place: nobody else holds the values between two layers.
                values = digital.apply(layer, values, in_place=True)
        return values.flatten(1)

    def _optical(
        self,
        layer: OpticalLayer,
        graph: Graph,
        plan: Plan,
        entry: LayerPlan,
        values: Tensor,
        samples: range,
        total: int,
    ) -> Tensor:
        """One layer over light: `(samples, *output_shape)`."""
        vectors = unfold(layer, values).flatten(0, 1)
        kept = vectors[: self._keep].clone()
        tiles = encode_data(vectors, entry, in_place=True)
        products: Tensor | None = None
        for rows, inputs, tile in _block_order(plan, entry, samples):
            unit, norms = tiles[tile]
            block = plan.block(self._run, entry, tile, rows, inputs)
            place = _within(entry, samples, inputs)
            outcomes = self._frames(block, unit[place])
            part = decode(outcomes, norms[place], self._info.signal_gain, entry)
            if len(tiles) == 1 and part.shape == (len(vectors), entry.rows):
                products = part
            else:
                if products is None:
                    products = torch.zeros(len(vectors), entry.rows)
                products[place, rows[0] : rows[0] + rows[1]] += part
            self._report(block, plan, samples, total)
        assert products is not None
        if self._keep and entry.layer not in self.record.samples:
            self.record.samples[entry.layer] = LayerSample(
                vectors=kept, products=products[: self._keep].clone()
            )
        return fold(layer, products, layer.output_shape(graph.shapes[entry.layer]))

    def _dummy_batch(self, plan: Plan, secret: BatchSecret, samples: range, total: int) -> None:
        """All layers for one batch of dummies, or of probes in P."""
        assert self._monitor is not None
        for entry in plan.layers:
            vectors = dummy_vectors(secret.seed, entry, len(samples) * entry.positions)
            tiles = encode_data(vectors, entry)
            for rows, inputs, tile in _block_order(plan, entry, samples):
                unit = tiles[tile][0][_within(entry, samples, inputs)]
                block = plan.block(self._run, entry, tile, rows, inputs)
                # A right angle turns what the receiver calls X into P.
                self._frames(block, unit if secret.batch == "dummies" else 1j * unit, secret)
                self.record.dummy_symbols += block.symbols
                self._report(block, plan, samples, total)
        if secret.batch == "dummies":
            self._check_light(self._monitor.end_of_dummies())

    def _frames(self, block: Block, unit: Tensor, dummy: BatchSecret | None = None) -> Tensor:
        """Outcomes of one block, once client and server have accepted the other's light."""
        self._optics.load(block, unit)
        names = {**block.__dict__, "session": self.record.session}
        sent = self._expect(BlockSent, BlockReady(**names))
        outcomes = self._optics.measure(block)
        self._check_outcomes(block, outcomes, dummy)
        verdict = self._expect(BlockVerdict, BlockMeasured(**names))
        if not sent.block() == verdict.block() == block:
            raise ProtocolError(f"{block.name}: the server answers about another block")
        if not verdict.accepted:
            raise VerificationError(
                f"the server refused {block.name}: {verdict.reason}. The session is over; its "
                "light stays charged. Check the receiver, the fibre and the calibration first."
            )
        return outcomes.cpu()

    def _check_outcomes(self, block: Block, outcomes: Tensor, dummy: BatchSecret | None) -> None:
        """The client's own tests of one block."""
        monitor = self._monitor
        assert monitor is not None
        failed = monitor.add(block, outcomes)
        if dummy is not None and dummy.batch == "dummies":
            failed = monitor.add_dummies(block, outcomes)
        elif dummy is not None:
            failed = monitor.add_probe(outcomes)
        self._check_light(failed)

    def _check_light(self, failed: str) -> None:
        assert self._monitor is not None
        self.record.tests = self._monitor.scores
        if failed:
            found = "; ".join(
                f"{test.name} {test.score:.4g} (limit {test.limit:.4g})"
                for test in self.record.tests
                if not test.passed
            )
            raise VerificationError(
                f"the client refused the server's light: {found}. Nothing more is measured; what "
                "was sent stays charged. Check the receiver's calibration, then ask the server."
            )

    def _report(self, block: Block, plan: Plan, samples: range, total: int) -> None:
        self._symbols_done += block.symbols
        if self._on_progress is not None:
            self._on_progress(
                Progress(
                    symbols_done=self._symbols_done,
                    symbols_total=plan.symbols(total),
                    samples_done=samples.start,
                    samples_total=total,
                )
            )

    def _expect(self, kind: type[_Answer], message: Message) -> _Answer:
        """Exchange a message; an answer of another kind is an error."""
        answer = self._channel.exchange(message)
        if isinstance(answer, Refusal):
            known = getattr(errors, answer.error, None)
            cause = known if answer.error in errors.__all__ else ProtocolError
            assert isinstance(cause, type)
            assert issubclass(cause, VeilightError)
            raise cause(answer.reason)
        if not isinstance(answer, kind):
            raise ProtocolError(f"the server answers {answer.kind!r} to {message.kind!r}")
        return answer


def _block_order(
    plan: Plan, layer: LayerPlan, samples: range
) -> Iterator[tuple[tuple[int, int], tuple[int, int], int]]:
    """Rows, inputs and tile of each block of a batch, in the order in which they are sent.

    A block of rows and inputs is charged with its first tile and settled with its last, before the
    next is charged.
    """
    for inputs in plan.input_ranges(layer, samples):
        for rows in plan.row_ranges(layer):
            for tile in range(len(layer.tiles)):
                yield rows, inputs, tile


def _within(layer: LayerPlan, samples: range, inputs: tuple[int, int]) -> slice:
    """Where a block's inputs stand among those of its batch."""
    first = inputs[0] - samples.start * layer.positions
    return slice(first, first + inputs[1])


def _checked_inputs(inputs: Tensor, graph: Graph) -> Tensor:
    """Raw data in the network's shape."""
    shape = graph.input_shape
    if inputs.ndim < 2 or not len(inputs) or inputs[0].numel() != math.prod(shape):
        raise DataError(
            f"the data have shape {tuple(inputs.shape)}, the network takes samples of {shape}"
        )
    data = inputs.detach().to(torch.float32).reshape(len(inputs), *shape)
    # A sum is cheaper than a mask of all entries, and NaN and infinity survive it.
    if not math.isfinite(float(data.sum())):
        bad = ~torch.isfinite(data.flatten(1)).all(1)
        if bool(bad.any()):
            first = int(bad.nonzero()[0])
            raise DataError(
                f"{int(bad.sum())} of {len(data)} samples hold NaN or infinite values, the first "
                f"is sample {first}; remove or repair them"
            )
    return data
