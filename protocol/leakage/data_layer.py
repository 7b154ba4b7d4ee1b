"""All data-leakage figures of one layer, for reports and the command line.

The adversaries' names are the same in every layer, so that `summarise` can add them up.
"""

import math
from dataclasses import dataclass

from protocol.leakage import _checks
from protocol.leakage.conventions import Encoding
from protocol.leakage.data import (
    data_bits_server_any_measurement,
    data_bits_server_any_measurement_cap,
    data_bits_server_heterodynes_rows,
    data_bits_server_homodynes_rows,
    data_bits_server_homodynes_rows_cap,
    data_bits_server_uses_marginal_variances,
    excess_noise_after_loss_snu,
)
from protocol.leakage.dictionary import dictionary_nats_per_row_server_homodynes
from protocol.leakage.dithering import (
    data_bits_any_cap_with_dither,
    data_bits_any_with_dither,
    data_bits_homodyne_dither,
    data_bits_homodyne_dither_cap,
)
from protocol.leakage.figures import LayerLight, LeakageFigure, figure_for_layer
from protocol.leakage.probing import data_bits_server_probes_feed_forward_tap
from protocol.leakage.receivers import ReceiverNoise, check_encoding

__all__ = ["PROBING_SERVER", "data_figures_for_layer"]

PROBING_SERVER = "server probing P, and any measurement"
"""Name of the server that is charged for all the light in P that a client lets through."""

_TRUST = "coherent probes of known mean, server's detectors ideal"
_LOCAL = "local estimate (Fisher information, prior variance 1/N), not a cap"


def data_figures_for_layer(
    layer: LayerLight,
    receiver: ReceiverNoise,
    *,
    return_efficiency: float = 1.0,
    probe_photons_per_mode: float | None = None,
    candidate_cosine: float = 0.5,
    dither_snu: float = 0.0,
) -> tuple[LeakageFigure, ...]:
    """Data leakage of one layer to every server, per real data value of one input.

    Args:
        layer: the layer's light; rows times data_repetitions count.
        receiver: the client's receiver.
        return_efficiency: eta of losses that the server cannot remove, in (0, 1]; 1 trusts none.
        probe_photons_per_mode: the client's bound on the mean photons per mode in P; adds the
            probing server. None leaves that server out and the figures trust that P is empty.
        candidate_cosine: cosine between dictionary candidates, in [-1, 1].
        dither_snu: d, mean square of displacements of P that the server sends and knows. A
            receiver that dims P of the data mode shows the data by them; and since nobody sees that
            they are random, a probing server of d/4 photons per mode is charged as well.

    Raises:
        ConfigurationError: a value is out of range or the receiver does not fit the encoding.
    """
    check_encoding(receiver, layer.encoding)
    dither = 0.0 if receiver.preserves_p else _checks.non_negative("dither", dither_snu, "SNU")
    trust = _TRUST
    if dither:
        probe_photons_per_mode = max(probe_photons_per_mode or 0.0, dither / 4)
        trust += f", P displaced at random by {dither:g} SNU of mean square"
    elif not receiver.preserves_p and probe_photons_per_mode is None:
        trust += ", server trusted to send no light in P"
    excess_x = excess_noise_after_loss_snu(receiver.excess_noise_x_snu, return_efficiency)
    excess_p = excess_noise_after_loss_snu(receiver.excess_noise_p_snu, return_efficiency)
    seen = _Return(
        rows=layer.rows * layer.data_repetitions,
        modes=layer.modes,
        encoding=layer.encoding,
        excess_x=excess_x,
        excess_p=excess_p,
        receiver=receiver,
        dither=dither * return_efficiency,
    )
    entries = [
        *_homodyne_entries(seen, trust),
        *_quantum_entries(seen, trust),
        _dictionary_entry(seen, trust, layer.data_symbols, candidate_cosine),
    ]
    if probe_photons_per_mode is not None:
        # Loss dims the displaced mean like any other light.
        reaching_server = probe_photons_per_mode * return_efficiency
        entries.append(_probing_entry(seen, receiver, reaching_server))
    return tuple(
        figure_for_layer(
            layer,
            adversary=entry.adversary,
            secret="data",
            assumptions=entry.assumptions,
            upper_bound=entry.upper_bound,
            bits_per_symbol=entry.bits,
        )
        for entry in entries
    )


@dataclass(frozen=True, kw_only=True)
class _Return:
    """The light that the server gets back for one input."""

    rows: int
    modes: int
    encoding: Encoding
    excess_x: float
    excess_p: float
    receiver: ReceiverNoise
    dither: float

    @property
    def size(self) -> tuple[int, int, Encoding]:
        return self.rows, self.modes, self.encoding

    @property
    def noisier(self) -> float:
        return max(self.excess_x, self.excess_p)

    @property
    def homodyne(self) -> float:
        """Local bits of whole rows, in the better quadrature."""
        bits = data_bits_server_homodynes_rows(self.noisier, *self.size)
        displaced = (self.receiver, self.dither, self.rows, self.modes)
        return max(bits, data_bits_homodyne_dither(*displaced)) if self.dither else bits

    @property
    def homodyne_cap(self) -> float:
        """The same as a cap."""
        bits = data_bits_server_homodynes_rows_cap(self.noisier, *self.size)
        displaced = (self.receiver, self.dither, self.rows, self.modes)
        return max(bits, data_bits_homodyne_dither_cap(*displaced)) if self.dither else bits

    @property
    def any_measurement(self) -> float:
        """Local bits of the best measurement."""
        if not self.dither:
            return data_bits_server_any_measurement(self.excess_x, self.excess_p, *self.size)
        return data_bits_any_with_dither(
            self.receiver, self.excess_x, self.dither, self.rows, self.modes
        )

    @property
    def any_measurement_cap(self) -> float:
        """The same as a cap."""
        if not self.dither:
            return data_bits_server_any_measurement_cap(self.excess_x, self.excess_p, *self.size)
        return data_bits_any_cap_with_dither(
            self.receiver, self.excess_x, self.dither, self.rows, self.modes
        )


@dataclass(frozen=True, kw_only=True)
class _Entry:
    adversary: str
    bits: float
    assumptions: str
    upper_bound: bool = False


def _homodyne_entries(seen: _Return, trust: str) -> list[_Entry]:
    return [
        _Entry(
            adversary="server using each mode's variance alone",
            bits=data_bits_server_uses_marginal_variances(seen.noisier, *seen.size),
            assumptions=f"{trust}; ignores the correlation over modes, NOT an upper bound",
        ),
        _Entry(
            adversary="server homodyning whole rows",
            bits=seen.homodyne,
            assumptions=f"{trust}; {_LOCAL}",
        ),
        _Entry(
            adversary="server homodyning whole rows, cap",
            bits=seen.homodyne_cap,
            assumptions=f"{trust}; mutual information, any prior with E[x x^T] = I/N",
            upper_bound=True,
        ),
        _Entry(
            adversary="server heterodyning whole rows",
            bits=data_bits_server_heterodynes_rows(seen.excess_x, seen.excess_p, *seen.size),
            assumptions=f"{trust}; {_LOCAL}",
        ),
    ]


def _quantum_entries(seen: _Return, trust: str) -> list[_Entry]:
    return [
        _Entry(
            adversary="server with any measurement",
            bits=seen.any_measurement,
            assumptions=f"{trust}; {_LOCAL}",
        ),
        _Entry(
            adversary="server with any measurement, cap",
            bits=seen.any_measurement_cap,
            assumptions=f"{trust}; additive Holevo bound, any prior with E[x x^T] = I/N",
            upper_bound=True,
        ),
    ]


def _dictionary_entry(seen: _Return, trust: str, data_symbols: int, cosine: float) -> _Entry:
    per_row = dictionary_nats_per_row_server_homodynes(seen.noisier, cosine) / math.log(2)
    return _Entry(
        adversary="server with a dictionary of candidates",
        bits=seen.rows * per_row / data_symbols,
        assumptions=(
            f"{trust}; homodyne, evidence between candidates of cosine {cosine:g}: a total of "
            "log2 R bits singles out one in R"
        ),
    )


def _probing_entry(seen: _Return, receiver: ReceiverNoise, photons: float) -> _Entry:
    if receiver.preserves_p:
        return _Entry(
            adversary=PROBING_SERVER,
            bits=data_bits_server_any_measurement(seen.excess_x, seen.excess_p, *seen.size),
            assumptions=f"{_TRUST}; returned means do not depend on the data; {_LOCAL}",
        )
    bits = data_bits_server_probes_feed_forward_tap(
        # A tap's outcome has mean sqrt(tau) (q . x), so the tapped fraction is a^2.
        receiver.signal_gain**2,
        photons,
        seen.rows,
        seen.modes,
        excess_noise_x_snu=seen.excess_x,
    )
    return _Entry(
        adversary=PROBING_SERVER,
        bits=bits,
        assumptions=(
            f"{_TRUST}; at most {photons:g} photons per mode in P, all along the data vector; "
            f"{_LOCAL}"
        ),
    )
