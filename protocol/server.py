"""The server's half of a session: owns the model, sends the light, tests what returns.

It never holds a datum or an outcome of the client. It answers one message at a time (`handle`), so
that the same code serves a client in the same process and one across a network.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from drivers.backend import Block, ReturnSummary, ServerOptics, ServerOpticsInfo
from drivers.errors import ConfigurationError, LedgerError, ProtocolError, VeilightError
from drivers.receivers import Receiver
from drivers.return_summary import summarise
from protocol.budget import Charge, charge_for_layer
from protocol.defences import DisguisedNetwork, WeightLight, numbers_like
from protocol.ledger import WeightLedger
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
from protocol.models.model import Model
from protocol.plan import LayerPlan, Plan
from protocol.randomness import OperatingSystemBits, RandomBits
from protocol.verification import Evidence, Verdict, Verifier, expected_return
from protocol.verification.expected import largest_alignment

__all__ = ["BlockRecord", "ServerParty", "ServerPolicy", "ServerRecord"]


@dataclass(frozen=True, kw_only=True)
class ServerPolicy:
    """What the server insists on.

    Args:
        receiver: the agreed receiver and setting; nothing that the client reports replaces it.
        false_alarm: probability that an honest session is aborted.
        full_return: measure and keep every mode instead of drawing the tests' sums.
        largest_query: most samples of one session. The false-alarm rate is shared over the blocks
            that a client announces, so an unbounded number would let it widen every threshold.
    """

    receiver: Receiver
    false_alarm: float = 1e-6
    full_return: bool = False
    largest_query: int = 10_000_000

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm < 0.5:
            raise ConfigurationError(
                f"false_alarm is {self.false_alarm}, it must lie in (0, 0.5): the probability "
                "that an honest session is aborted"
            )


@dataclass(frozen=True, kw_only=True)
class BlockRecord:
    """One block as the server saw it; `verdict` is None where nothing can be tested."""

    block: Block
    verdict: Verdict | None

    @property
    def accepted(self) -> bool:
        """True unless a test failed."""
        return self.verdict is None or self.verdict.accepted


@dataclass(kw_only=True)
class ServerRecord:
    """What the server knows at the end of a session."""

    session: str
    samples: int = 0
    blocks: list[BlockRecord] = field(default_factory=list)
    evidence: dict[int, Evidence] = field(default_factory=dict)
    sent_inputs: dict[int, int] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """True if every block passed."""
        return all(record.accepted for record in self.blocks)


@dataclass(frozen=True, kw_only=True)
class _Launched:
    """A block whose light is out."""

    block: Block
    means: Tensor
    entry: int


class ServerParty:
    """The server.

    Args:
        model: the network.
        plan: how it is sent (`protocol.encoding.make_plan`).
        optics: the server's light.
        policy: what the server insists on.
        ledger: of this model; debited before every block.
        random_bits: chooses the measured quadratures; a seeded source is for simulation alone.
        disguise: sends the weights in a fresh disguise for every block of samples, by its own
            plan; None sends them as they are.
        run: number of the first run on these optics.

    Raises:
        ConfigurationError: a seeded source on real light, or complex light for a receiver that
            does not return P.
        LedgerError: the ledger of another model.
    """

    def __init__(
        self,
        model: Model,
        plan: Plan,
        optics: ServerOptics,
        policy: ServerPolicy,
        ledger: WeightLedger,
        *,
        random_bits: RandomBits | None = None,
        disguise: DisguisedNetwork | None = None,
        run: int = 0,
    ) -> None:
        self._plan, self._policy = plan, policy
        self._optics, self._ledger, self._run = optics, ledger, run
        self._info = optics.describe()
        self._bits = random_bits or OperatingSystemBits()
        if self._bits.seed is not None and not self._info.simulated:
            raise ConfigurationError(
                "a seed for the measured quadratures is possible in simulation only: on real light "
                "the client could foresee them"
            )
        numbers = numbers_like(random_bits, self._info.simulated)
        self.light = WeightLight(model, plan, disguise, numbers)
        if ledger.model_digest != model.digest:
            raise LedgerError(
                f"the ledger is of the model {ledger.model_digest[:12]}, the weights to be sent "
                f"are {model.digest[:12]}; give the ledger of these weights"
            )
        if not policy.receiver.preserves_p and any(e.encoding == "complex" for e in plan.layers):
            raise ConfigurationError(
                f"receiver {policy.receiver.kind} keeps the mean of X only; use real encoding"
            )
        self._charges: dict[int, Charge] = {
            entry.layer: charge_for_layer(
                entry,
                expected_return(self._info, policy.receiver),
                self._info.detection_efficiency,
            )
            for entry in plan.layers
        }
        self._verifiers: dict[tuple[int, int, int, int], Verifier] = {}
        self._launched: _Launched | None = None
        self._debits: dict[tuple[int, int, int], int] = {}
        self._sent: set[Block] = set()
        self._closed = False
        self._greeted = False
        self._planned_blocks = 0
        self.record = ServerRecord(session=secrets.token_hex(16))

    def handle(self, message: Message) -> Message:
        """Answer one message of the client; errors come back as a `Refusal` and end the session."""
        handlers: dict[type[Message], Callable[..., Message]] = {
            Hello: self._hello,
            Query: self._query,
            BlockReady: self._ready,
            BlockMeasured: self._measured,
            Finish: self._finish,
        }
        try:
            if self._closed:
                raise ProtocolError("the session is closed; begin a new one")
            handler = handlers.get(type(message))
            if handler is None:
                raise ProtocolError(f"a client does not send {message.kind!r}")
            if not isinstance(message, Hello):
                self._check_session(message)
            return handler(message)
        except VeilightError as error:
            self._closed = True
            return Refusal(error=type(error).__name__, reason=str(error))

    def _check_session(self, message: Message) -> None:
        session = getattr(message, "session", None)
        if not self._greeted or session != self.record.session:
            raise ProtocolError(f"message {message.kind} belongs to another session")

    def _hello(self, message: Hello) -> Message:
        agreed = self._policy.receiver
        for name, asked, own in (
            ("version", message.version, PROTOCOL_VERSION),
            ("receiver", message.receiver, agreed.kind),
            ("receiver setting", message.receiver_setting, agreed.setting),
        ):
            if asked != own:
                raise ProtocolError(f"{name} differs: the client has {asked}, the server {own}")
        largest = max(max(entry.tiles) for entry in self._plan.layers)
        if message.modes_per_frame < largest:
            raise ProtocolError(
                f"modes_per_frame differs: the client takes {message.modes_per_frame}, the plan "
                f"sends up to {largest}; lower modes_per_frame on the server"
            )
        self._greeted = True
        return Offer(
            version=PROTOCOL_VERSION,
            session=self.record.session,
            graph=self.light.graph.to_dict(),
            plan=self._plan.to_dict(),
        )

    def _query(self, message: Query) -> Message:
        if self._planned_blocks:
            raise ProtocolError("the session's number of samples is fixed already")
        if not 1 <= message.samples <= self._policy.largest_query:
            raise ProtocolError(
                f"a query is for 1 to {self._policy.largest_query} samples, not {message.samples}; "
                "divide it into sessions"
            )
        self._planned_blocks = self._plan.blocks(message.samples)
        self.record.samples = message.samples
        return QueryGranted(session=self.record.session, run=self._run, blocks=self._planned_blocks)

    def _ready(self, message: BlockReady) -> Message:
        block = message.block()
        layer = self._check_block(block)
        rows = slice(block.first_row, block.first_row + block.rows)
        samples = block.first_input // layer.positions
        means = self.light.means(str(block.run), samples, layer, block.tile)[None, rows]
        entry = self._debit(block, layer)
        self._optics.send(block, means)
        self._launched = _Launched(block=block, means=means, entry=entry)
        if block.tile == 0 and block.first_row == 0:
            sent = self.record.sent_inputs
            sent[block.layer] = sent.get(block.layer, 0) + block.inputs
        return BlockSent(**_block_fields(message))

    def _measured(self, message: BlockMeasured) -> Message:
        block = message.block()
        launched, self._launched = self._launched, None
        if launched is None or launched.block != block:
            raise ProtocolError(f"{block.name}: no light was sent for it")
        # The choice is made here, after the client has declared the light to be on its way back.
        key = f"{block.run} {block.layer} {block.tile} {block.first_row}"
        quadratures = self._bits.flips(key, block.inputs, block.rows)
        verdict = self._test(launched, quadratures)
        self.record.blocks.append(BlockRecord(block=block, verdict=verdict))
        accepted = verdict is not None and verdict.accepted
        last_tile = block.tile == len(self._plan.of_layer(block.layer).tiles) - 1
        refused = verdict is not None and not verdict.accepted
        if refused or last_tile:
            self._settle(block, launched.entry, accepted)
        if verdict is not None and refused:
            self._closed = True
            # Names alone: measured values are the server's, and would tune the next attempt.
            return BlockVerdict(**_block_fields(message), accepted=False, reason=verdict.failed)
        return BlockVerdict(**_block_fields(message), accepted=True, reason="")

    def _finish(self, message: Finish) -> Message:
        self._closed = True
        return Farewell(session=message.session, blocks=len(self.record.blocks))

    def _check_block(self, block: Block) -> LayerPlan:
        """The block's layer plan, if the block is one of the session's."""
        if not self._planned_blocks:
            raise ProtocolError("a query comes before its blocks")
        if self._launched is not None:
            raise ProtocolError(f"{block.name}: the block before it was not measured")
        layer = self._plan.of_layer(block.layer)
        rows, step = (block.first_row, block.rows), self._plan.samples_per_block
        start, rest = divmod(block.first_input, layer.positions)
        samples = range(start, min(start + step, self.record.samples))
        if (
            rest
            or start % step
            or not samples
            or block.tile >= len(layer.tiles)
            or rows not in self._plan.row_ranges(layer)
            or block != self._plan.block(self._run, layer, block.tile, rows, samples)
        ):
            raise ProtocolError(f"{block.name}: the block is not one of the plan")
        if block in self._sent:
            raise ProtocolError(f"{block.name}: the block was sent already; each is sent once")
        self._sent.add(block)
        return layer

    def _debit(self, block: Block, layer: LayerPlan) -> int:
        """Charge all tiles of the rows before the first of them is sent."""
        key = (block.layer, block.first_row, block.first_input)
        if block.tile == 0:
            first, rows = self.light.ledger_rows(layer, block.first_row, block.rows)
            self._debits[key] = self._ledger.debit(
                self.record.session,
                block.layer,
                first,
                rows,
                self.light.photons(layer) * block.inputs,
                self._charges[block.layer],
            )
        if key not in self._debits:
            raise ProtocolError(f"{block.name}: its first tile was not sent")
        return self._debits[key]

    def _settle(self, block: Block, entry: int, accepted: bool) -> None:
        self._debits.pop((block.layer, block.first_row, block.first_input), None)
        self._ledger.settle(entry, accepted)

    def _test(self, launched: _Launched, quadratures: Tensor) -> Verdict | None:
        """Measure the return and test it; None where an honest client returns nothing."""
        block = launched.block
        verifier = self._verifier(launched)
        summary = self._collect(launched, quadratures, verifier.expectation.gain)
        if not verifier.expectation.verifiable:
            return None
        verdict = verifier.test(summary)
        if verdict.accepted:
            self.record.evidence.setdefault(block.layer, Evidence()).add(summary)
        return verdict

    def _collect(
        self, launched: _Launched, quadratures: Tensor, reference_gain: float
    ) -> ReturnSummary:
        if not self._policy.full_return:
            return self._optics.collect_summary(launched.block, quadratures, reference_gain)
        values = self._optics.collect_full(launched.block, quadratures)
        return summarise(
            values.cpu(),
            quadratures,
            launched.means.cpu(),
            reference_gain,
            self._info.converter_range_snu,
            self._info.converter_step_snu,
        )

    def _verifier(self, launched: _Launched) -> Verifier:
        """The verifier of the block's rows; of weights as they are, made once per size of block."""
        block = launched.block
        key = (block.layer, block.tile, block.first_row, block.inputs)
        # Scaled rows have another alignment in every disguise.
        if key not in self._verifiers or self.light.fresh:
            expectation = expected_return(
                self._info,
                self._policy.receiver,
                inputs=block.inputs,
                alignment=largest_alignment(launched.means[0]),
            )
            self._verifiers[key] = Verifier(
                expectation, false_alarm=self._policy.false_alarm, blocks=self._planned_blocks
            )
        return self._verifiers[key]

    @property
    def info(self) -> ServerOpticsInfo:
        """The calibration of the server's optics."""
        return self._info

    @property
    def plan(self) -> Plan:
        """How the model is sent."""
        return self._plan


def _block_fields(message: BlockReady | BlockMeasured) -> dict[str, Any]:
    return {**message.__dict__}
