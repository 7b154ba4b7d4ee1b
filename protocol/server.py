"""The server's half of a session: owns the model, sends the light, tests what returns.

It never holds a datum or an outcome of the client. It answers one message at a time (`handle`), so
that the same code serves a client in the same process and one across a network.
"""

import secrets
from collections.abc import Callable
from typing import Any

from drivers.backend import Block, EarlyBits, ServerOptics, ServerOpticsInfo
from drivers.errors import (
    ConfigurationError,
    DriftError,
    LedgerError,
    ProtocolError,
    VeilightError,
    VerificationError,
)
from protocol.budget import Charge, charge_for_layer
from protocol.defences import DisguisedNetwork, WeightLight, numbers_like
from protocol.displacements import displacements_of
from protocol.honest_channel import server_trust
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
from protocol.server_records import BlockRecord, ServerPolicy, ServerRecord
from protocol.server_tests import Launched, ReturnTests
from protocol.verification import (
    expected_return,
)

__all__ = ["BlockRecord", "ServerParty", "ServerPolicy", "ServerRecord"]


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
        charges: dict[int, Charge] = {
            entry.layer: charge_for_layer(
                entry,
                expected_return(self._info, policy.receiver, dither_snu=policy.dither_snu),
                server_trust(self._info),
                ledger.rule,
            )
            for entry in plan.layers
        }
        if isinstance(self._bits, EarlyBits):
            self._bits.choose(1 - policy.x_share)
        self._displacements = displacements_of(policy.dither_snu, plan, self._info, self._bits.seed)
        self._launched: Launched | None = None
        self._sent: set[Block] = set()
        self._closed = False
        self._greeted = False
        self._planned_blocks = 0
        self._desk: AuditDesk | None = None
        if policy.audit_share:
            seed = self._bits.seed
            coins = OperatingSystemBits() if seed is None else SeededBits(seed)
            self._desk = AuditDesk(
                plan, optics, policy.audit_rate, coins, keeps_values=policy.full_return
            )
        self.record = ServerRecord(session=secrets.token_hex(16))
        self._account = SessionAccount(ledger, self.record.session, charges)
        self._tests = ReturnTests(
            optics, plan, policy, self.light, self.record, self._account, self._desk
        )

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
            if isinstance(error, DriftError):
                self._tests.doubt(error.earlier)
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
        return QueryGranted(
            session=self.record.session,
            run=self._run,
            blocks=self._planned_blocks,
            thresholds=self._tests.fix(message.samples),
        )

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
        self._launched = Launched(block=block, means=means, entry=entry)
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
        found = self._tests.test(launched, quadratures)
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
        self._tests.audit(returned)
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
        if self._desk is not None:
            batches = -(-self.record.samples // self._plan.samples_per_block)
            desk = self._desk
            if len(desk.entries) != batches:
                raise ProtocolError(
                    f"{len(desk.entries)} of {batches} announced batches are done; with audits "
                    "agreed a session ends after the last"
                )
            self._tests.finish(batches, desk.commanded, desk.opened)
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
            self.light.photons(layer),
            None if fixed is None else fixed.sha256,
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
