"""The server's half of a session: owns the model, sends the light, tests what returns.

It never holds a datum or an outcome of the client. It answers one message at a time (`handle`), so
that the same code serves a client in the same process and one across a network.
"""

import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from drivers.backend import Block, ReturnSummary, ServerOptics, ServerOpticsInfo
from drivers.errors import (
    ConfigurationError,
    LedgerError,
    ProtocolError,
    VeilightError,
    VerificationError,
)
from drivers.receivers import FeedForwardTap
from drivers.return_summary import summarise
from protocol.budget import Charge, charge_for_layer
from protocol.certificates.thresholds import session_thresholds
from protocol.defences import DisguisedNetwork, WeightLight, numbers_like
from protocol.ledger import WeightLedger
from protocol.messages import (
    PROTOCOL_VERSION,
    AuditCommand,
    AuditCommitment,
    AuditDue,
    AuditNoted,
    AuditOpening,
    AuditVerdict,
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
from protocol.randomness import OperatingSystemBits, RandomBits, SeededBits
from protocol.server_audits import AuditDesk
from protocol.server_records import BlockRecord, ServerPolicy, ServerRecord
from protocol.verification import (
    Evidence,
    ReturnExpectation,
    Verdict,
    Verifier,
    expected_return,
)
from protocol.verification.expected import largest_alignment
from protocol.verification.session import SessionMonitor, rails_expected
from protocol.verification.session_limits import honest_kurtosis, session_limits

__all__ = ["BlockRecord", "ServerParty", "ServerPolicy", "ServerRecord"]


@dataclass(frozen=True, kw_only=True)
class _Launched:
    """A block whose light is out."""

    block: Block
    means: Tensor
    entry: int


HEAVIEST_WEIGHTS = 30.0
"""Kurtosis of a layer's weights up to which a phase error is allowed for in the fourth moment."""


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
        self._monitor: SessionMonitor | None = None
        self._desk: AuditDesk | None = None
        if policy.audit_share:
            seed = self._bits.seed
            coins = OperatingSystemBits() if seed is None else SeededBits(seed)
            self._desk = AuditDesk(
                plan, optics, policy.audit_rate, coins, keeps_values=policy.full_return
            )
        self.record = ServerRecord(session=secrets.token_hex(16))

    def handle(self, message: Message) -> Message:
        """Answer one message of the client; errors come back as a `Refusal` and end the session."""
        handlers: dict[type[Message], Callable[..., Message]] = {
            Hello: self._hello,
            Query: self._query,
            BlockReady: self._ready,
            BlockMeasured: self._measured,
            AuditCommitment: self._audit_noted,
            AuditDue: self._audit_due,
            AuditOpening: self._audit_opened,
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
            audit_share=self._policy.audit_share,
            probes=self._policy.probes,
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
        fingerprint = self._fix_thresholds(message.samples)
        return QueryGranted(
            session=self.record.session,
            run=self._run,
            blocks=self._planned_blocks,
            thresholds=fingerprint,
        )

    def _fix_thresholds(self, samples: int) -> str:
        """Set every limit of the session; their fingerprint goes into the ledger's first debit."""
        policy, law = self._policy, self._expectation()
        photons = max(layer.photons_per_symbol for layer in self._plan.layers)
        limits = session_limits(
            self._plan,
            samples,
            law,
            false_alarm=policy.false_alarm,
            shares=policy.shares,
            honest_kurtosis=honest_kurtosis(
                law,
                min(min(layer.tiles) for layer in self._plan.layers),
                mean_fourth_snu=HEAVIEST_WEIGHTS * (4 * photons) ** 2,
                oscillator_drift=self._info.oscillator_drift,
            ),
            audit_share=policy.audit_share,
        )
        self._monitor = SessionMonitor(limits)
        self.record.thresholds = session_thresholds(
            self._plan,
            samples,
            self._info,
            policy.receiver,
            law,
            confidence=policy.confidence,
            limits=limits,
        )
        return self.record.thresholds.sha256

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
        found = self._test(launched, quadratures)
        self.record.blocks.append(found)
        last_tile = block.tile == len(self._plan.of_layer(block.layer).tiles) - 1
        if last_tile or not found.accepted:
            self._settle(block, launched.entry, found.accepted and found.verdict is not None)
        self._closed = not found.accepted
        # Names alone: measured values are the server's, and would tune the next attempt.
        return BlockVerdict(**_block_fields(message), accepted=found.accepted, reason=found.failed)

    def _audit_noted(self, message: AuditCommitment) -> Message:
        self._audits(message).note(message)
        return AuditNoted(session=message.session, first_sample=message.first_sample)

    def _audit_due(self, message: AuditDue) -> Message:
        opened = self._audits(message).due(message.first_sample)
        return AuditCommand(
            session=message.session, first_sample=message.first_sample, opened=opened
        )

    def _audit_opened(self, message: AuditOpening) -> Message:
        returned = self._audits(message).open(message)
        assert self._monitor is not None
        if returned and self._expectation().verifiable:
            self.record.refused = self._monitor.add_audit(returned)
            self.record.tests = self._monitor.scores
        self._closed = bool(self.record.refused)
        return AuditVerdict(
            session=message.session,
            first_sample=message.first_sample,
            accepted=not self.record.refused,
            reason=self.record.refused,
        )

    def _audits(self, message: Message) -> AuditDesk:
        if self._desk is None or not self._planned_blocks:
            raise ProtocolError(f"message {message.kind}: no audits were agreed")
        self.record.audits = self._desk.entries
        return self._desk

    def _finish(self, message: Finish) -> Message:
        if self._desk is not None and self._monitor is not None:
            batches = -(-self.record.samples // self._plan.samples_per_block)
            desk = self._desk
            if len(desk.entries) != batches:
                raise ProtocolError(
                    f"{len(desk.entries)} of {batches} announced batches are done; with audits "
                    "agreed a session ends after the last"
                )
            self.record.refused = self._monitor.finish(batches, desk.commanded, desk.opened)
            self.record.tests = self._monitor.scores
            if self.record.refused:
                raise VerificationError(
                    f"the server refused the session: {self.record.refused}; its light stays "
                    "charged. Mix in as many batches of dummies as the server asks for."
                )
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
        if self._desk is not None:
            self._desk.check(block, start)
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
                thresholds_sha256=self._unwritten_thresholds(),
            )
        if key not in self._debits:
            raise ProtocolError(f"{block.name}: its first tile was not sent")
        return self._debits[key]

    def _unwritten_thresholds(self) -> str | None:
        """The fingerprint, for the session's first debit alone."""
        first = self._ledger.commitment(self.record.session) is None
        fixed = self.record.thresholds
        return fixed.sha256 if first and fixed is not None else None

    def _settle(self, block: Block, entry: int, accepted: bool) -> None:
        self._debits.pop((block.layer, block.first_row, block.first_input), None)
        self._ledger.settle(entry, accepted)

    def _test(self, launched: _Launched, quadratures: Tensor) -> BlockRecord:
        """Measure the return and test it, by itself and with what came before."""
        block, verifier = launched.block, self._verifier(launched)
        law = verifier.expectation
        summary = self._collect(launched, quadratures, law)
        if not law.verifiable:
            return BlockRecord(block=block, verdict=None)
        verdict = verifier.test(summary)
        if not verdict.accepted:
            return BlockRecord(block=block, verdict=verdict)
        failed = self._test_session(launched, summary, verdict, law)
        if not failed:
            evidence = self.record.evidence.setdefault(block.layer, Evidence())
            evidence.add(self.light.of_weights(block, summary))
        return BlockRecord(block=block, verdict=verdict, session_failed=failed)

    def _test_session(
        self,
        launched: _Launched,
        summary: ReturnSummary,
        verdict: Verdict,
        law: ReturnExpectation,
    ) -> str:
        """Names of the session's tests that fail with this block."""
        assert self._monitor is not None
        rails, info = 0.0, self._info
        if math.isfinite(info.converter_range_snu):
            rails = rails_expected(
                verdict.symbols,
                launched.means.abs().double().cpu().numpy(),
                gain=law.gain,
                variance_snu=law.white_variance
                + max(law.data_mode_excess_x, law.data_mode_excess_p),
                edge_snu=info.converter_range_snu - 1.5 * info.converter_step_snu,
            )
        failed = self._monitor.add(summary, verdict, rails)
        self.record.tests = self._monitor.scores
        return failed

    def _collect(
        self, launched: _Launched, quadratures: Tensor, law: ReturnExpectation
    ) -> ReturnSummary:
        block, means, values = launched.block, launched.means, None
        if self._policy.full_return:
            values = self._optics.collect_full(block, quadratures).cpu()
        if self._desk is not None:
            self._desk.hold(block, means.cpu(), quadratures.cpu(), values, law)
        if values is None:
            return self._optics.collect_summary(block, quadratures, law.gain)
        return summarise(
            values,
            quadratures,
            means.cpu(),
            law.gain,
            self._info.converter_range_snu,
            self._info.converter_step_snu,
        )

    def _verifier(self, launched: _Launched) -> Verifier:
        """The verifier of the block's rows; of weights as they are, made once per size of block."""
        block = launched.block
        key = (block.layer, block.tile, block.first_row, block.inputs)
        # Scaled rows have another alignment in every disguise.
        if key not in self._verifiers or self.light.fresh:
            alignment = largest_alignment(launched.means[0])
            expectation = self._expectation(
                block.inputs, self.light.aligned(block.layer, alignment)
            )
            policy = self._policy
            self._verifiers[key] = Verifier(
                expectation,
                false_alarm=policy.shares.blocks * policy.false_alarm,
                blocks=self._planned_blocks,
            )
        return self._verifiers[key]

    def _expectation(self, inputs: int = 1, alignment: float = 0.0) -> ReturnExpectation:
        """The honest return, a batch of probes in P included where the client may send some."""
        receiver = self._policy.receiver
        law = expected_return(self._info, receiver, inputs=inputs, alignment=alignment)
        if not (self._policy.probes and isinstance(receiver, FeedForwardTap)):
            return law
        # Turned by a right angle, the tap gives P back and takes its share of X along one mode.
        taken = 1 - math.sqrt(1 - receiver.tap_fraction)
        modes = min(min(layer.tiles) for layer in self._plan.layers)
        return replace(law, gain_uncertainty=math.hypot(law.gain_uncertainty, taken / modes))

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
