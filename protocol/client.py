"""The client's half of a session: owns the data, reads one number per row, does the rest digitally.

It never holds a weight. It drives the session: every exchange starts here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from drivers import errors
from drivers.backend import Block, ClientOptics, ClientOpticsInfo
from drivers.errors import DataError, ProtocolError, VeilightError, VerificationError
from protocol.channel import ControlChannel
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
    """What the client knows at the end of a session."""

    session: str = ""
    plan: Plan | None = None
    graph: Graph | None = None
    samples: dict[int, LayerSample] = field(default_factory=dict)


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
    ) -> None:
        self._optics, self._channel = optics, channel
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
            VerificationError: the server found the returned light wrong and ended the session.
            BudgetError: either ledger refuses.
            ProtocolError: the server answers out of turn.
        """
        graph, plan = self._agree()
        data = _checked_inputs(inputs, graph)
        granted = self._expect(QueryGranted, Query(session=self.record.session, samples=len(data)))
        self._run = granted.run
        step = plan.samples_per_block
        outputs = [
            self._batch(graph, plan, data, range(start, min(start + step, len(data))))
            for start in range(0, len(data), step)
        ]
        self._expect(Farewell, Finish(session=self.record.session, samples=len(data)))
        return torch.cat(outputs)

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
        self.record = ClientRecord(session=offer.session, plan=plan, graph=graph)
        return graph, plan

    def _batch(self, graph: Graph, plan: Plan, data: Tensor, samples: range) -> Tensor:
        """All layers for one batch of samples."""
        raw = data[samples.start : samples.stop]
        scaling = graph.scaling
        # One pass over the data instead of two.
        start = raw.new_tensor(-scaling.offset * scaling.factor)
        values = torch.add(start, raw, alpha=scaling.factor)
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
                values = self._optical(layer, graph, plan, entry, values, samples, len(data))
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
        for rows in plan.row_ranges(entry):
            columns = slice(rows[0], rows[0] + rows[1])
            for tile, (unit, norms) in enumerate(tiles):
                block = plan.block(self._run, entry, tile, rows, samples)
                outcomes = self._frames(block, unit)
                part = decode(outcomes, norms, self._info.signal_gain, entry)
                if len(tiles) == 1 and entry.rows == rows[1]:
                    products = part
                else:
                    if products is None:
                        products = torch.zeros(len(vectors), entry.rows)
                    products[:, columns] += part
                self._report(block, plan, samples, total)
        assert products is not None
        if self._keep and entry.layer not in self.record.samples:
            self.record.samples[entry.layer] = LayerSample(
                vectors=kept, products=products[: self._keep].clone()
            )
        return fold(layer, products, layer.output_shape(graph.shapes[entry.layer]))

    def _frames(self, block: Block, unit: Tensor) -> Tensor:
        """Outcomes of one block, once the server has accepted what came back."""
        self._optics.load(block, unit)
        names = {**block.__dict__, "session": self.record.session}
        sent = self._expect(BlockSent, BlockReady(**names))
        outcomes = self._optics.measure(block)
        verdict = self._expect(BlockVerdict, BlockMeasured(**names))
        if not sent.block() == verdict.block() == block:
            raise ProtocolError(f"{block.name}: the server answers about another block")
        if not verdict.accepted:
            raise VerificationError(
                f"the server refused {block.name}: {verdict.reason}. The session is over; its "
                "light stays charged. Check the receiver, the fibre and the calibration first."
            )
        return outcomes.cpu()

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
