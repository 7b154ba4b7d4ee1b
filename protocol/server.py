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

from drivers.backend import Block, EarlyBits, ReturnSummary, ServerOptics, ServerOpticsInfo
from drivers.errors import (
    ConfigurationError,
    LedgerError,
    ProtocolError,
    VeilightError,
    VerificationError,
)
from drivers.record_watch import RecordWatch, WatchesRecords
from drivers.return_summary import summarise
from protocol.budget import Charge, charge_for_layer
from protocol.defences import DisguisedNetwork, WeightLight, numbers_like
from protocol.displacements import displacements_of
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
from protocol.server_account import SessionAccount
from protocol.server_audits import AuditDesk
from protocol.server_limits import fixed_for_session, honest_return
from protocol.server_records import BlockRecord, ServerPolicy, ServerRecord
from protocol.verification import (
    Evidence,
    ReturnExpectation,
    Verdict,
    Verifier,
    expected_return,
)
from protocol.verification.expected import largest_alignment
from protocol.verification.session import SessionMonitor, SessionScore, rails_expected

__all__ = ["BlockRecord", "ServerParty", "ServerPolicy", "ServerRecord"]


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
        self._optics, self._run = optics, run
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
                expected_return(self._info, policy.receiver, dither_snu=policy.dither_snu),
                self._info.detection_efficiency,
            )
            for entry in plan.layers
        }
        if isinstance(self._bits, EarlyBits):
            self._bits.choose(1 - policy.x_share)
        self._displacements = displacements_of(policy.dither_snu, plan, self._info, self._bits.seed)
        self._verifiers: dict[tuple[int, int, int, int], Verifier] = {}
        self._launched: _Launched | None = None
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
        self._account = SessionAccount(ledger, self.record.session, self._charges)

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
            x_share=self._policy.x_share,
            dither_snu=self._policy.dither_snu,
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
        if self._displacements is not None:
            audited = self._desk is not None
            self._displacements.check(self._plan, message.samples, whole_batches=audited)
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
        limits, thresholds = fixed_for_session(
            self._plan, samples, self._info, self._policy, self._expectation()
        )
        self._monitor, self.record.thresholds = SessionMonitor(limits), thresholds
        return thresholds.sha256

    def _ready(self, message: BlockReady) -> Message:
        block = message.block()
        layer = self._check_block(block)
        rows = slice(block.first_row, block.first_row + block.rows)
        # All blocks of a batch of samples are sent in one disguise.
        batch = self._plan.batch(layer, block.first_input, self.record.samples)
        means = self.light.means(str(block.run), batch.start, layer, block.tile)[None, rows]
        entry = self._debit(block, layer)
        if self._displacements is not None:
            means = self._displacements.added_to(means, block)
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
        quadratures = self._bits.flips(key, block.inputs, block.rows, 1 - self._policy.x_share)
        found = self._test(launched, quadratures)
        self.record.blocks.append(found)
        clean = 0 if self._monitor is None else self._monitor.clean_blocks
        self._account.settle(
            found,
            launched.entry,
            number=len(self.record.blocks),
            clean=clean,
            last_tile=block.tile == len(self._plan.of_layer(block.layer).tiles) - 1,
        )
        if found.session_failed:
            self.record.recharge(clean)
        self._closed = not found.accepted
        # Names alone: measured values are the server's, and would tune the next attempt.
        return BlockVerdict(**_block_fields(message), accepted=found.accepted, reason=found.failed)

    def _audit_noted(self, message: AuditCommitment) -> Message:
        self._audits(message).note(message)
        return AuditNoted(session=message.session, first_sample=message.first_sample)

    def _audit_due(self, message: AuditDue) -> Message:
        most = min(self._plan.samples_per_block, self.record.samples - message.first_sample)
        opened = self._audits(message).due(message.first_sample, most)
        return AuditCommand(
            session=message.session, first_sample=message.first_sample, opened=opened
        )

    def _audit_opened(self, message: AuditOpening) -> Message:
        returned = self._audits(message).open(message)
        assert self._monitor is not None
        if returned and self._expectation().verifiable:
            self._account.begin_test()
            self._end_test(self._monitor.add_audit(returned))
        self._closed = bool(self.record.refused)
        return AuditVerdict(
            session=message.session,
            first_sample=message.first_sample,
            accepted=not self.record.refused,
            reason=self.record.refused,
        )

    def _end_test(self, refused: str) -> None:
        """How a test of the whole session ended that no block came with."""
        assert self._monitor is not None
        self.record.refused, self.record.tests = refused, self._monitor.scores
        self._account.end_test(bool(refused))
        if refused:
            self.record.recharge(0)

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
            self._account.begin_test()
            self._end_test(self._monitor.finish(batches, desk.commanded, desk.opened))
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
        rows = (block.first_row, block.rows)
        batch = self._plan.batch(layer, block.first_input, self.record.samples)
        if (
            not batch
            or block.tile >= len(layer.tiles)
            or rows not in self._plan.row_ranges(layer)
            or block
            != self._plan.block(
                self._run,
                layer,
                block.tile,
                rows,
                self._plan.input_range(layer, batch, block.first_input),
            )
        ):
            raise ProtocolError(f"{block.name}: the block is not one of the plan")
        if self._desk is not None:
            self._desk.check(block, batch.start)
        if block in self._sent:
            raise ProtocolError(f"{block.name}: the block was sent already; each is sent once")
        self._sent.add(block)
        return layer

    def _debit(self, block: Block, layer: LayerPlan) -> int:
        """Charge all tiles of the rows before the first of them is sent."""
        fixed = self.record.thresholds
        return self._account.debit(
            block,
            self.light.ledger_rows(layer, block.first_row, block.rows),
            self.light.photons(layer) * block.inputs,
            None if fixed is None else fixed.sha256,
        )

    def _test(self, launched: _Launched, quadratures: Tensor) -> BlockRecord:
        """Measure the return and test it, by itself and with what came before."""
        block, verifier = launched.block, self._verifier(launched)
        law = verifier.expectation
        summary = self._collect(launched, quadratures, law)
        if not law.verifiable:
            return BlockRecord(block=block, verdict=None)
        verdict = verifier.test(summary)
        watch, watched = self._watched(block, law)
        own = BlockRecord(block=block, verdict=verdict, records=watched)
        if not own.accepted:
            return own
        self._account.begin_test()
        failed = self._test_session(launched, summary, verdict, law, watch)
        if not failed:
            evidence = self.record.evidence.setdefault(block.layer, Evidence())
            evidence.add(self.light.of_weights(block, summary))
        return replace(own, session_failed=failed)

    def _watched(
        self, block: Block, law: ReturnExpectation
    ) -> tuple[RecordWatch | None, tuple[SessionScore, ...]]:
        """What the block's records say beside the data, where there are any, and its tests."""
        if not isinstance(self._optics, WatchesRecords):
            return None, ()
        assert self._monitor is not None
        watch = self._optics.watch(block)
        return watch, self._monitor.of_records(watch, law)

    def _test_session(
        self,
        launched: _Launched,
        summary: ReturnSummary,
        verdict: Verdict,
        law: ReturnExpectation,
        watch: RecordWatch | None,
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
        if watch is not None:
            failed = self._monitor.add_records(watch, law)
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
            # Displacements lie along no direction more than along any other.
            weights = launched.means[0] if self._displacements is None else launched.means[0].real
            alignment = largest_alignment(weights)
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
        return honest_return(
            self._info, self._policy, self._plan, inputs=inputs, alignment=alignment
        )

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
