"""The server's side of audits: which batches it has opened, and what their light says then.

The order makes them worth something: the client commits to what a batch is, the light goes out and
comes back, the quadratures are chosen and the block's tests done; only then the server says whether
the batch is to be opened. Opened dummies show the returned noise along their own direction, where
all of an honest receiver's is.

What they cannot show: a client knows its dummies, and can behave in them. They check the receiver
as it is built and set, and a client that cannot switch it from batch to batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from drivers.backend import Block, ProjectsReturn, ReturnProjection, ServerOptics
from drivers.errors import ConfigurationError, ProtocolError
from drivers.return_summary import project_return
from protocol.dummies import batch_commitment, dummy_vectors
from protocol.encoding import encode_data
from protocol.messages import AuditCommitment, AuditOpening
from protocol.plan import LayerPlan, Plan
from protocol.randomness import RandomBits
from protocol.verification import ReturnExpectation
from protocol.verification.session import AuditedReturn

__all__ = ["AuditDesk", "AuditEntry"]

_COIN_BITS = 53


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One batch, as the server came to know it.

    Args:
        first_sample: of the batch.
        batch: "data", "dummies" or "probe" where the client had to say; empty where it had not.
        symbols: modes of it that were sent.
    """

    first_sample: int
    batch: str
    symbols: int


@dataclass(frozen=True, kw_only=True)
class _Held:
    """A block of the current batch, until it is known whether it is opened."""

    block: Block
    means: Tensor
    quadratures: Tensor
    values: Tensor | None
    expectation: ReturnExpectation


class AuditDesk:
    """Commitments, commands and openings of one session.

    Args:
        plan: of the session.
        optics: the server's.
        rate: share of the batches that are commanded to be opened.
        bits: chooses them.
        keeps_values: the server measures every mode and holds the values itself.

    Raises:
        ConfigurationError: optics that cannot look along a vector afterwards, or complex light.
    """

    def __init__(
        self, plan: Plan, optics: ServerOptics, rate: float, bits: RandomBits, *, keeps_values: bool
    ) -> None:
        if any(layer.encoding == "complex" for layer in plan.layers):
            raise ConfigurationError(
                "audit_share: opened vectors are looked along in real encoding alone; use real "
                "encoding, or no audits"
            )
        self._projects: ProjectsReturn | None = None
        if not keeps_values:
            if not isinstance(optics, ProjectsReturn):
                raise ConfigurationError(
                    "audit_share: these optics cannot look along a vector once the light is "
                    "measured; set full_return so that the server keeps every mode"
                )
            self._projects = optics
            optics.keep_returns()
        self._plan, self._rate, self._bits = plan, rate, bits
        self._commitments: dict[int, str] = {}
        self._current: int | None = None
        self._commanded = False
        self._held: list[_Held] = []
        self._symbols = 0
        self.entries: list[AuditEntry] = []

    @property
    def opened(self) -> int:
        """Batches that turned out to be dummies."""
        return sum(entry.batch == "dummies" for entry in self.entries)

    @property
    def commanded(self) -> int:
        """Batches that the client had to speak about."""
        return sum(bool(entry.batch) for entry in self.entries)

    def note(self, message: AuditCommitment) -> None:
        """Take the commitment of the next batch.

        Raises:
            ProtocolError: the batch before is not done, or this one was begun before.
        """
        if self._current is not None or message.first_sample in self._commitments:
            raise ProtocolError(
                f"samples from {message.first_sample}: a batch is begun once, after the one before"
            )
        self._commitments[message.first_sample] = message.commitment
        self._current, self._symbols = message.first_sample, 0

    def check(self, block: Block, first_sample: int) -> None:
        """Refuse a block whose batch was not committed to.

        Raises:
            ProtocolError: it belongs to another batch than the one that was begun.
        """
        if first_sample != self._current or self._commanded:
            raise ProtocolError(f"{block.name}: its batch was not committed to")

    def hold(
        self,
        block: Block,
        means: Tensor,
        quadratures: Tensor,
        values: Tensor | None,
        expectation: ReturnExpectation,
    ) -> None:
        """Keep what an opening of the batch would need of a block."""
        self._symbols += block.symbols
        self._held.append(
            _Held(
                block=block,
                means=means,
                quadratures=quadratures,
                values=values,
                expectation=expectation,
            )
        )

    def due(self, first_sample: int, samples: int) -> bool:
        """Decide, now that all light of the batch is back, whether it is to be opened.

        Args:
            first_sample: of the batch.
            samples: of the batch.

        Raises:
            ProtocolError: another batch, or blocks of it are missing.
        """
        if (
            first_sample != self._current
            or self._commanded
            or len(self._held) != self._plan.blocks_of_batch(samples)
        ):
            raise ProtocolError(f"samples from {first_sample}: the batch is not done")
        flips = self._bits.flips(f"audit {first_sample}", 1, _COIN_BITS)[0].tolist()
        coin = sum(flip * 0.5 ** (place + 1) for place, flip in enumerate(flips))
        if coin < self._rate:
            self._commanded = True
        else:
            self._end("")
        return self._commanded

    def open(self, message: AuditOpening) -> tuple[AuditedReturn, ...]:
        """What the light of an opened batch says, X and P in turn; empty if it held no dummies.

        Raises:
            ProtocolError: nothing was to be opened, or the opening is not what was committed to.
        """
        if message.first_sample != self._current or not self._commanded:
            raise ProtocolError(f"samples from {message.first_sample}: no opening was asked for")
        committed = batch_commitment(
            message.session, message.first_sample, message.batch, message.seed, message.nonce
        )
        if committed != self._commitments[message.first_sample]:
            raise ProtocolError(
                f"samples from {message.first_sample}: the opening is not what was committed to"
            )
        if message.batch not in ("data", "dummies", "probe"):
            raise ProtocolError(f"a batch of {message.batch!r} is unknown")
        returned: list[AuditedReturn] = []
        if message.batch == "dummies":
            for layer in self._plan.layers:
                returned += self._look(layer, message)
        self._end(message.batch)
        return tuple(returned)

    def _end(self, batch: str) -> None:
        assert self._current is not None
        self.entries.append(
            AuditEntry(first_sample=self._current, batch=batch, symbols=self._symbols)
        )
        self._current, self._commanded = None, False
        self._held.clear()
        if self._projects is not None:
            self._projects.forget_returns()

    def _look(self, layer: LayerPlan, message: AuditOpening) -> list[AuditedReturn]:
        """What a layer's blocks say along the vectors of the opened batch."""
        held = [one for one in self._held if one.block.layer == layer.layer]
        first = message.first_sample * layer.positions
        inputs = max(one.block.first_input + one.block.inputs for one in held) - first
        tiles = encode_data(dummy_vectors(message.seed, layer, inputs), layer)
        returned: list[AuditedReturn] = []
        for one in held:
            start = one.block.first_input - first
            data = tiles[one.block.tile][0][start : start + one.block.inputs]
            returned += self._audited(one, data)
        return returned

    def _audited(self, held: _Held, data: Tensor) -> list[AuditedReturn]:
        law = held.expectation
        found = self._project(held, data)
        # Signs spread a row's energy evenly: along them lies the mean energy of a mode.
        on_x, on_p = _mean_energies(held.means)
        unknown = law.gain_variance + (4 * law.gain_uncertainty * law.gain) ** 2
        more = (
            law.data_mode_excess_x + unknown * on_x + law.cross_gain_variance * on_p,
            law.data_mode_excess_p + unknown * on_p + law.cross_gain_variance * on_x,
        )
        same, cross = law.gain_variance, law.cross_gain_variance
        turned = same * on_x + cross * on_p, same * on_p + cross * on_x
        alike = law.frames_per_phase(found.frames, held.block.rows)
        return [
            AuditedReturn(
                frames=found.frames[index],
                energy_snu=found.energy_snu[index],
                white_variance_snu=law.white_variance,
                excess_noise_snu=more[index],
                phase_noise_snu=turned[index],
                frames_per_phase=float(alike[index]),
                phase_uncertainty_snu=law.cross_gain_uncertainty * (on_p, on_x)[index],
            )
            for index in (0, 1)
        ]

    def _project(self, held: _Held, data: Tensor) -> ReturnProjection:
        gain = held.expectation.gain
        if self._projects is not None:
            return self._projects.project(held.block, data, gain)
        assert held.values is not None
        return project_return(held.values, held.quadratures, held.means, data, gain)


def _mean_energies(means: Tensor) -> tuple[float, float]:
    """Mean squares of X and of P of launched means, SNU."""
    if not means.is_complex():
        return float(means.square().mean(dtype=torch.float64)), 0.0
    parts = torch.view_as_real(means).square().mean(dim=(0, 1, 2), dtype=torch.float64)
    return float(parts[0]), float(parts[1])
