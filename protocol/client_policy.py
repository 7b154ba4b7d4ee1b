"""What the client insists on, and how it mixes batches of dummies into a session."""

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drivers.errors import ConfigurationError, ProtocolError
from drivers.receivers import Receiver
from protocol.dummies import BatchKind
from protocol.verification.session_limits import audits_of

__all__ = ["ClientPolicy", "announced_samples", "batch_kinds", "check_dither"]


@dataclass(frozen=True, kw_only=True)
class ClientPolicy:
    """What the client insists on.

    Args:
        false_alarm: probability that it refuses an honest server's session.
        audit_share: share of the batches that are dummies, if the server asks for fewer.
        probe_share: batches by which P is measured, for each batch of data; what a server puts
            there shows in nothing else.
        variance_slack: relative, of the calibrated variance of an outcome.
        largest_row_norm: of honest weights, the norm of the longest row over the root mean square.
        largest_row_correlation: of honest weights, the mean cosine of rows a fixed number apart.
        seed: makes the places of the dummies repeat, for simulation alone.
        probe_photons_per_mode: most light in P that it lets a server send, mean photons per mode;
            a server that displaces P by more is refused. None: no light in P at all for a receiver
            that does not give P back as it came, which tells of the data; any for the others.

    Raises:
        ConfigurationError: a value out of range.
    """

    false_alarm: float = 1e-6
    audit_share: float = 0.0
    probe_share: float = 0.0
    variance_slack: float = 0.01
    largest_row_norm: float = 4.0
    largest_row_correlation: float = 0.5
    seed: int | None = None
    probe_photons_per_mode: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm < 0.5:
            raise ConfigurationError(
                f"the client's false_alarm is {self.false_alarm}, it must lie in (0, 0.5): the "
                "probability that it refuses an honest server"
            )
        for name in ("audit_share", "variance_slack", "largest_row_correlation"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigurationError(
                    f"the client's {name} is {getattr(self, name)}, it must lie in [0, 1)"
                )
        least_of = (
            ("probe_share", 0.0),
            ("largest_row_norm", 1.0),
            ("probe_photons_per_mode", 0.0),
        )
        for name, least in least_of:
            value = getattr(self, name)
            if value is None:
                continue
            if not (math.isfinite(value) and value >= least):
                raise ConfigurationError(
                    f"the client's {name} is {value}, it must be finite and at least {least:g}"
                )


def check_dither(dither_snu: float, receiver: Receiver, policy: ClientPolicy) -> None:
    """Refuse displacements of P beyond what the client lets a server send.

    Whoever sends them knows them: to a receiver that dims P of the data's mode they are a probe
    (`protocol.leakage.probing`), of d/4 photons per mode.

    Args:
        dither_snu: d, mean square that the server declares.
        receiver: the client's.
        policy: the client's.

    Raises:
        ProtocolError: a declaration that is no mean square.
        ConfigurationError: more light than the client allows.
    """
    if not 0 <= dither_snu < math.inf:
        raise ProtocolError(
            f"the server declares displacements of P of {dither_snu} SNU, it must be finite and at "
            "least 0"
        )
    limit, photons = policy.probe_photons_per_mode, dither_snu / 4
    if limit is None:
        limit = math.inf if receiver.preserves_p else 0.0
    if not photons <= limit:
        raise ConfigurationError(
            f"the server displaces P by {dither_snu:g} SNU, {photons:g} photons per mode; the "
            f"client lets {limit:g} pass with receiver {receiver.kind}. Raise its "
            "probe_photons_per_mode, which its data leakage is charged for, or ask the server for "
            "less dither"
        )


def announced_samples(kinds: Sequence[BatchKind], samples: int, samples_per_block: int) -> int:
    """Samples that a session is announced for.

    With dummies among them all batches are alike, or the last one would tell what it is.

    Args:
        kinds: of `batch_kinds`.
        samples: of data.
        samples_per_block: of a batch.
    """
    return len(kinds) * samples_per_block if len(set(kinds)) > 1 else samples


def batch_kinds(data_batches: int, audit_share: float, policy: ClientPolicy) -> list[BatchKind]:
    """What each batch of a session is, in an order that nobody else can foresee.

    Args:
        data_batches: that hold data.
        audit_share: agreed share of dummies among all batches.
        policy: the client's.
    """
    probes = math.ceil(policy.probe_share * data_batches - 1e-9)
    dummies = 0
    while audits_of(data_batches + probes + dummies, audit_share) > dummies:
        dummies += 1
    kinds: list[BatchKind] = ["data"] * data_batches
    kinds += ["dummies"] * dummies
    kinds += ["probe"] * probes
    if policy.seed is None:
        secrets.SystemRandom().shuffle(kinds)
        return kinds
    order = np.random.default_rng([policy.seed, len(kinds)]).permutation(len(kinds))
    return [kinds[place] for place in order]
