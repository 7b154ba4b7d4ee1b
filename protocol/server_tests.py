"""What the server does with the light that comes back: measure it, test it, settle its block.

Every block is tested by itself; those that pass are tested again with all that came before.
"""

import math
from dataclasses import dataclass, replace

from torch import Tensor

from drivers.backend import Block, ReturnSummary, ServerOptics
from drivers.record_watch import RecordWatch, WatchesRecords
from drivers.return_summary import summarise
from protocol.defences import WeightLight
from protocol.plan import Plan
from protocol.server_account import SessionAccount
from protocol.server_audits import AuditDesk
from protocol.server_limits import fixed_for_session, honest_return
from protocol.server_records import BlockRecord, ServerPolicy, ServerRecord
from protocol.server_sums import BlockSums
from protocol.uninterrupted import uninterrupted
from protocol.verification import Evidence, ReturnExpectation, Verdict, Verifier
from protocol.verification.expected import largest_alignment
from protocol.verification.session import (
    AuditedReturn,
    SessionMonitor,
    SessionScore,
    rails_expected,
)

__all__ = ["Launched", "ReturnTests"]


@dataclass(frozen=True, kw_only=True)
class Launched:
    """A block whose light is out.

    Args:
        block: which.
        means: as sent.
        entry: of its debit.
    """

    block: Block
    means: Tensor
    entry: int


class ReturnTests:
    """The tests of one session.

    Args:
        optics: the server's light.
        plan: how the network is sent.
        policy: what the server insists on.
        light: the weights as they are sent.
        record: of the session; is kept up to date.
        account: of the session, in the ledger.
        desk: holds the returns of a batch that may be opened; None without audits.
    """

    def __init__(
        self,
        optics: ServerOptics,
        plan: Plan,
        policy: ServerPolicy,
        light: WeightLight,
        record: ServerRecord,
        account: SessionAccount,
        desk: AuditDesk | None,
    ) -> None:
        self._optics, self._plan, self._policy, self._light = optics, plan, policy, light
        self._record, self._account, self._desk = record, account, desk
        self._info = optics.describe()
        self._sums = BlockSums(light)
        self._verifiers: dict[tuple[int, int, int, int], Verifier] = {}
        self._planned_blocks = 0
        self._fixed: SessionMonitor | None = None

    def fix(self, samples: int) -> str:
        """Set every limit of the session, before its light.

        Args:
            samples: announced.

        Returns:
            Fingerprint of all thresholds, for the ledger's first debit.
        """
        limits, thresholds = fixed_for_session(
            self._plan, samples, self._info, self._policy, self._expectation()
        )
        self._planned_blocks = self._plan.blocks(samples)
        self._fixed, self._record.thresholds = SessionMonitor(limits), thresholds
        return thresholds.sha256

    def test(self, launched: Launched, quadratures: Tensor) -> BlockRecord:
        """Measure a return, test it, and settle its block in record and ledger.

        Args:
            launched: the block.
            quadratures: bool `(inputs, rows)`, True where P is measured.
        """
        verifier = self._verifier(launched)
        law = verifier.expectation
        summary = self._collect(launched, quadratures, law)
        own, watch = self._tested_alone(launched.block, summary, verifier)
        # A server that is stopped in here finds its whole session refused.
        with uninterrupted():
            found = self._tested_with_session(own, launched, summary, law, watch)
            self._settle(found, launched)
        return found

    def audit(self, returned: tuple[AuditedReturn, ...]) -> None:
        """Test what an opened batch gave back; the record says whether it is refused."""
        if returned and self._expectation().verifiable:
            with uninterrupted():
                self._account.begin_test()
                self._end_test(self._monitor.add_audit(returned))

    def finish(self, batches: int, commanded: int, opened: int) -> None:
        """Test, at the end, that as many audits were opened as were agreed; as `audit`.

        Args:
            batches: of the session.
            commanded: about which the client had to speak.
            opened: of these, dummies.
        """
        with uninterrupted():
            self._account.begin_test()
            self._end_test(self._monitor.finish(batches, commanded, opened))

    def doubt(self, bursts: int) -> None:
        """Charge the last blocks in full: the bench refuses the records of so many bursts."""
        # Each block is one burst at least.
        clean = max(0, len(self._record.blocks) - bursts)
        self._account.recharge(clean)
        self._record.recharge(clean)

    @property
    def _monitor(self) -> SessionMonitor:
        assert self._fixed is not None
        return self._fixed

    def _end_test(self, refused: str) -> None:
        """How a test of the whole session ended that no block came with."""
        self._record.refused, self._record.tests = refused, self._monitor.scores
        self._account.end_test(bool(refused))
        if refused:
            self._record.recharge(0)

    def _settle(self, found: BlockRecord, launched: Launched) -> None:
        """Write down what the tests of a block said."""
        block, record = launched.block, self._record
        record.blocks.append(found)
        clean, plan = self._monitor.clean_blocks, self._plan.of_layer(block.layer)
        last_tile, tested = block.tile == len(plan.tiles) - 1, None
        if last_tile and found.verified and record.thresholds is not None:
            tested = self._sums.settled(
                launched.entry, plan, record.thresholds, self._expectation()
            )
        self._account.settle(
            found,
            launched.entry,
            number=len(record.blocks),
            clean=clean,
            last_tile=last_tile,
            tested=tested,
        )
        if found.session_failed:
            record.recharge(clean)

    def _tested_alone(
        self, block: Block, summary: ReturnSummary, verifier: Verifier
    ) -> tuple[BlockRecord, RecordWatch | None]:
        """Test a block by itself; also what its records say beside the data, if anything."""
        if not verifier.expectation.verifiable:
            return BlockRecord(block=block, verdict=None), None
        verdict = verifier.test(summary)
        watch, watched = self._watched(block, verifier.expectation)
        return BlockRecord(block=block, verdict=verdict, records=watched), watch

    def _tested_with_session(
        self,
        own: BlockRecord,
        launched: Launched,
        summary: ReturnSummary,
        law: ReturnExpectation,
        watch: RecordWatch | None,
    ) -> BlockRecord:
        """Test a block that passed by itself with what came before."""
        if own.verdict is None or not own.accepted:
            return own
        self._account.begin_test()
        failed = self._test_session(launched, summary, own.verdict, law, watch)
        if not failed:
            evidence = self._record.evidence.setdefault(own.block.layer, Evidence())
            of_weights = self._light.of_weights(own.block, summary)
            evidence.add(of_weights)
            self._sums.count(launched.entry, of_weights)
        return replace(own, session_failed=failed)

    def _watched(
        self, block: Block, law: ReturnExpectation
    ) -> tuple[RecordWatch | None, tuple[SessionScore, ...]]:
        """What the block's records say beside the data, where there are any, and its tests."""
        if not isinstance(self._optics, WatchesRecords):
            return None, ()
        watch = self._optics.watch(block)
        return watch, self._monitor.of_records(watch, law)

    def _test_session(
        self,
        launched: Launched,
        summary: ReturnSummary,
        verdict: Verdict,
        law: ReturnExpectation,
        watch: RecordWatch | None,
    ) -> str:
        """Names of the session's tests that fail with this block."""
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
        self._record.tests = self._monitor.scores
        return failed

    def _collect(
        self, launched: Launched, quadratures: Tensor, law: ReturnExpectation
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

    def _verifier(self, launched: Launched) -> Verifier:
        """The verifier of the block's rows; of weights as they are, made once per size of block."""
        block = launched.block
        key = (block.layer, block.tile, block.first_row, block.inputs)
        # Scaled rows have another alignment in every disguise.
        if key not in self._verifiers or self._light.fresh:
            # Displacements lie along no direction more than along any other.
            weights = launched.means[0].real if self._policy.dither_snu else launched.means[0]
            alignment = largest_alignment(weights)
            expectation = self._expectation(
                block.inputs, self._light.aligned(block.layer, alignment)
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
