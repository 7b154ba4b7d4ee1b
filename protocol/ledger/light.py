"""How a row's light was received: what the ledger remembers of it besides the photons.

The light of all sessions is in one client's hands, so it has to be charged together, each part at
the channel at which its own session received it. A few numbers per row are enough, as sums over the
transmissions i of v_i photons that came back through a channel (T_i, e_i): the photons that passed,
those that did not, and the sums of T_i v_i, T_i v_i e_x,i and T_i v_i e_p,i. Against one memory
over all copies there are three more, which do not ask how bright a copy was: the number of copies
that passed and the sums of their e_x,i and e_p,i. `protocol.budget` has what they are worth, and
why.
"""

from dataclasses import dataclass, fields, replace
from typing import Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from protocol.ledger import _arguments
from protocol.plan import Encoding

__all__ = [
    "ChargeRule",
    "LightChannel",
    "Photons",
    "RowLight",
    "require_one_encoding",
]

Photons: TypeAlias = NDArray[np.float64]
ChargeRule: TypeAlias = Literal["copies apart", "with memory"]
"""Whom a ledger charges for: clients whose memory meets one copy of a weight each, or any client,
one memory over all copies included. Fixed when the ledger is made."""


@dataclass(frozen=True, kw_only=True)
class LightChannel:
    """How light comes back whose return passes the server's tests, its own detector taken out.

    Both quadratures are tested in every session, so both noises are known.

    Args:
        encoding: "real" or "complex".
        transmittance: power transmittance of the mean from launch to return, in [0, 1]; 0 where
            nothing comes back, or nothing is tested: such light counts as kept.
        excess_noise_x_snu: excess noise per mode in X at the channel's output, >= 0.
        excess_noise_p_snu: likewise in P.

    Raises:
        ConfigurationError: a value is out of range or NaN.
    """

    encoding: Encoding
    transmittance: float
    excess_noise_x_snu: float
    excess_noise_p_snu: float

    def __post_init__(self) -> None:
        if self.encoding not in ("real", "complex"):
            raise ConfigurationError(
                f"ledger: encoding {self.encoding!r} is unknown; it must be 'real' or 'complex'"
            )
        _arguments.fraction("transmittance of the return", self.transmittance)
        _arguments.non_negative("excess noise of the returned X", self.excess_noise_x_snu, "SNU")
        _arguments.non_negative("excess noise of the returned P", self.excess_noise_p_snu, "SNU")


@dataclass(frozen=True, kw_only=True)
class RowLight:
    """Light of weight rows: photons per weight, all transmissions together; arrays `(rows,)`.

    Args:
        verified: with a return that passed.
        unverified: the others.
        returned: of the verified ones, what came back: sum of T v.
        noise_x: sum of T v e_x, in photons times SNU.
        noise_p: sum of T v e_p.
        copies: how many times a weight came back with a return that passed.
        copies_noise_x: sum of e_x over these copies, in SNU, however bright they were.
        copies_noise_p: sum of e_p.
        unplaced: of the verified ones, those of which nobody wrote down how they came back; they
            are in `verified` and not in the sums.
        encoding: of all of it; None where nothing tells it.
    """

    verified: Photons
    unverified: Photons
    returned: Photons
    noise_x: Photons
    noise_p: Photons
    copies: Photons
    copies_noise_x: Photons
    copies_noise_p: Photons
    unplaced: Photons
    encoding: Encoding | None

    @classmethod
    def received(
        cls, channel: LightChannel, verified: Photons, unverified: Photons, copies: Photons
    ) -> Self:
        """Light that was all received in one way.

        Args:
            channel: at which the verified part came back.
            verified: photons per weight, `(rows,)`.
            unverified: likewise.
            copies: that the verified photons were in.
        """
        returned = channel.transmittance * verified
        return cls(
            verified=verified,
            unverified=unverified,
            returned=returned,
            noise_x=channel.excess_noise_x_snu * returned,
            noise_p=channel.excess_noise_p_snu * returned,
            copies=copies,
            copies_noise_x=channel.excess_noise_x_snu * copies,
            copies_noise_p=channel.excess_noise_p_snu * copies,
            unplaced=np.zeros_like(verified),
            encoding=channel.encoding,
        )

    def more(
        self,
        channel: LightChannel,
        *,
        verified: float = 0,
        unverified: float = 0,
        copies: float = 0,
    ) -> Self:
        """All rows after more light; what is unplaced gets the channel of the new light.

        Args:
            channel: of the new light.
            verified: photons per weight that come back and pass.
            unverified: the others.
            copies: that the new verified photons are in.

        Raises:
            ConfigurationError: the light so far has another encoding.
        """
        require_one_encoding("ledger", self.encoding, channel.encoding)
        returned = channel.transmittance * (verified + self.unplaced)
        return replace(
            self,
            verified=self.verified + verified,
            unverified=self.unverified + unverified,
            returned=self.returned + returned,
            noise_x=self.noise_x + channel.excess_noise_x_snu * returned,
            noise_p=self.noise_p + channel.excess_noise_p_snu * returned,
            copies=self.copies + copies,
            copies_noise_x=self.copies_noise_x + channel.excess_noise_x_snu * copies,
            copies_noise_p=self.copies_noise_p + channel.excess_noise_p_snu * copies,
            unplaced=np.zeros_like(self.unplaced),
            encoding=channel.encoding,
        )

    def rows(self, block: slice) -> Self:
        """Some of the rows."""
        return self._of_columns(self._table()[:, block])

    def distinct(self) -> tuple[Self, NDArray[np.intp]]:
        """Rows that differ, and the number of the first row of each kind.

        Most rows of a layer have been sent with the same light, and a charge may be slow.
        """
        table, first = np.unique(self._table(), axis=1, return_index=True)
        return self._of_columns(table), first

    def _table(self) -> Photons:
        return np.stack([getattr(self, name) for name in _COLUMNS])

    def _of_columns(self, table: Photons) -> Self:
        return replace(self, **dict(zip(_COLUMNS, table, strict=True)))


_COLUMNS = tuple(field.name for field in fields(RowLight) if field.name != "encoding")


def require_one_encoding(where: str, before: Encoding | None, now: Encoding) -> None:
    """Refuse light of another encoding than the weights were sent with before.

    A real and a complex copy of a weight do not merge into one mode: there is no charge for both.

    Args:
        where: for messages.
        before: encoding of the light so far; None for none.
        now: that is asked for.

    Raises:
        ConfigurationError: they differ.
    """
    if before is not None and before != now:
        raise ConfigurationError(
            f"{where}: these weights were sent with {before} encoding, now {now} encoding is asked "
            "for; light of both together cannot be charged, and none was sent. Keep the encoding "
            f"{before!r}; {now!r} begins with the ledger of a renewed network (veilight renew)"
        )
