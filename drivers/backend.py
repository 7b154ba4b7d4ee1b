"""The optics interface: all that the protocol engine sees of any light, simulated or real.

Two small protocols, split by party. The server launches frames of quadrature means and later
measures the light that returned; the client loads its normalised data and reads one quadrature per
frame.

    mode      one pulse (time bin): one symbol of the modulator
    frame     the modes that carry one weight row for one data vector
    block     inputs x rows frames that are sent, measured, returned, verified and charged together

Arrays are torch tensors in shot-noise units (vacuum variance 1 per quadrature, X = a + a^dagger),
batched as (inputs, rows, modes). Order of calls for one block:

    client.load(block, data)      the data are in the receiver before light arrives
    server.send(block, means)     light goes out; the ledger was debited before
    client.measure(block)         one outcome per frame; the rest of the light goes back
    server.collect_*(block, ...)  the server picks a quadrature per frame and measures the return

Blocks of one layer come in ascending order of `first_input`, each frame once.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from drivers.errors import ConfigurationError, OpticsError
from drivers.receivers import Receiver

__all__ = [
    "Block",
    "ChoosesEarly",
    "ClientOptics",
    "ClientOpticsInfo",
    "EarlyBits",
    "OpticalLink",
    "ProjectsReturn",
    "ReturnProjection",
    "ReturnSummary",
    "ServerOptics",
    "ServerOpticsInfo",
    "check_block_tensor",
]


@dataclass(frozen=True, kw_only=True)
class Block:
    """Which frames a call is about.

    Args:
        run: number of the run on these optics, so that a repetition is a new transmission.
        layer: index of the layer in the network.
        tile: index of the part of the row, where a row has more entries than the receiver modes.
        first_input: index of the first data vector within the run and layer.
        inputs: data vectors in the block.
        first_row: index of the first weight row.
        rows: weight rows in the block.
        modes: modes per frame.
    """

    run: int
    layer: int
    tile: int
    first_input: int
    inputs: int
    first_row: int
    rows: int
    modes: int

    def __post_init__(self) -> None:
        for name in ("run", "layer", "tile", "first_input", "first_row"):
            if getattr(self, name) < 0:
                raise OpticsError(f"block {name} is {getattr(self, name)}, it must be at least 0")
        for name in ("inputs", "rows", "modes"):
            if getattr(self, name) < 1:
                raise OpticsError(f"block {name} is {getattr(self, name)}, it must be at least 1")

    @property
    def frames(self) -> int:
        """Frames in the block: inputs times rows."""
        return self.inputs * self.rows

    @property
    def symbols(self) -> int:
        """Modes sent in the block."""
        return self.frames * self.modes

    @property
    def name(self) -> str:
        """Short text for messages and records."""
        return (
            f"layer {self.layer} rows {self.first_row}-{self.first_row + self.rows - 1} "
            f"inputs {self.first_input}-{self.first_input + self.inputs - 1}"
            + (f" tile {self.tile}" if self.tile else "")
        )


@dataclass(frozen=True, kw_only=True)
class ServerOpticsInfo:
    """What the server knows of its own optics, from calibration.

    Args:
        backend: name of the backend, for records.
        simulated: True for ever on records made with it.
        seed: seed of a simulated link, None for real light or an unseeded link.
        modes_per_frame: largest frame that the receivers can take.
        symbol_rate_hz: modes per second.
        forward_transmittance: power transmittance from the launch to the client's receiver.
        return_transmittance: from the client's receiver to the server's detector.
        detection_efficiency: of the server's homodyne detector, mode match included.
        electronic_noise_snu: of the server's detector.
        excess_noise_snu: technical noise of the launched light, per quadrature and mode.
        phase_noise_rad: root-mean-square phase error of the server's detection.
        phase_memory_frames: correlation length of that error.
        phase_error_per_input: that error is one for all frames of a data vector, and another for
            the next; `phase_memory_frames` then says nothing.
        phase_variance_uncertainty_rad2: standard uncertainty of the square of `phase_noise_rad`.
        oscillator_drift: root-mean-square relative drift of the oscillator's amplitude.
        oscillator_memory_inputs: correlation length of that drift, in data vectors.
        data_mode_excess_x_snu: excess noise of the returned X of the data mode, at the client's
            output: what an honest receiver of the agreed setting adds.
        data_mode_excess_p_snu: likewise of P.
        unitary_error_rad: how far the client's U_x^dagger U_x may be from the identity.
        gain_uncertainty: relative standard uncertainty of the calibrated round-trip gain.
        variance_uncertainty: relative standard uncertainty of the calibrated unit of variance.
        converter_range_snu: full scale of the digitiser, +- this; infinity if it has no limit.
        converter_step_snu: width of one code; 0 if values are not quantised.
        modulates_p: whether a mean can be put on P as well as on X.

    Raises:
        ConfigurationError: a value out of range.
    """

    backend: str
    simulated: bool
    seed: int | None
    modes_per_frame: int
    symbol_rate_hz: float
    forward_transmittance: float = 1.0
    return_transmittance: float = 1.0
    detection_efficiency: float = 1.0
    electronic_noise_snu: float = 0.0
    excess_noise_snu: float = 0.0
    phase_noise_rad: float = 0.0
    phase_memory_frames: float = 0.0
    phase_error_per_input: bool = False
    phase_variance_uncertainty_rad2: float = 0.0
    oscillator_drift: float = 0.0
    oscillator_memory_inputs: float = 0.0
    data_mode_excess_x_snu: float = 0.0
    data_mode_excess_p_snu: float = 0.0
    unitary_error_rad: float = 0.0
    gain_uncertainty: float = 0.0
    variance_uncertainty: float = 0.0
    converter_range_snu: float = math.inf
    converter_step_snu: float = 0.0
    modulates_p: bool = True

    def __post_init__(self) -> None:
        for name in ("forward_transmittance", "return_transmittance", "detection_efficiency"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise ConfigurationError(f"{name} is {value}, it must lie in (0, 1]")
        for name in (
            "electronic_noise_snu",
            "excess_noise_snu",
            "phase_noise_rad",
            "phase_memory_frames",
            "phase_variance_uncertainty_rad2",
            "oscillator_drift",
            "oscillator_memory_inputs",
            "data_mode_excess_x_snu",
            "data_mode_excess_p_snu",
            "unitary_error_rad",
            "gain_uncertainty",
            "variance_uncertainty",
            "converter_step_snu",
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigurationError(f"{name} is {value}, it must be finite and at least 0")
        if not self.symbol_rate_hz > 0:
            raise ConfigurationError(f"symbol_rate_hz is {self.symbol_rate_hz}, it must be above 0")


@dataclass(frozen=True, kw_only=True)
class ClientOpticsInfo:
    """What the client knows of its own optics, from calibration.

    Args:
        backend: name of the backend, for records.
        simulated: True for ever on records made with it.
        seed: seed of a simulated link, None for real light or an unseeded link.
        receiver: the receiver and its setting.
        modes_per_frame: largest frame that it can take.
        symbol_rate_hz: modes per second.
        signal_gain: mean of the recorded outcome per unit of (launched means . data), all losses
            and the mean phase error included.
        outcome_variance_snu: variance of the recorded outcome, all noise included.
    """

    backend: str
    simulated: bool
    seed: int | None
    receiver: Receiver
    modes_per_frame: int
    symbol_rate_hz: float
    signal_gain: float
    outcome_variance_snu: float

    @property
    def snr_factor(self) -> float:
        """Signal-to-noise ratio of an outcome per (launched means . data)^2."""
        return self.signal_gain**2 / self.outcome_variance_snu


@dataclass(frozen=True, kw_only=True)
class ReturnSummary:
    """Sufficient statistics of the verification tests, one entry per quadrature and weight row.

    Every tensor is float64 of shape (2, rows), X frames first, P frames second, summed over the
    inputs and modes of the block. With y the measured values and m the launched means of the
    quadrature that was measured:

    Args:
        frames: frames measured in that quadrature.
        reference_gain: gain g of the residual.
        mean_energy_snu: sum of m^2.
        projection_snu: sum of m y.
        residual_energy_snu: sum of (y - g m)^2.
        rails: values at either end of the digitiser's range.
        modes: modes per frame.
        residual_fourth_snu: sum of (y - g m)^4; None where it was not worked out.
        unseen_energy_snu: sum of the squared means of the quadrature that was not measured, of
            which a phase error shows some; None where it was not worked out.
    """

    frames: Tensor
    reference_gain: float
    mean_energy_snu: Tensor
    projection_snu: Tensor
    residual_energy_snu: Tensor
    rails: Tensor
    modes: int
    residual_fourth_snu: Tensor | None = None
    unseen_energy_snu: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class ReturnProjection:
    """Returned deviations of a block along opened data vectors, X frames first, P frames second.

    Args:
        frames: measured in that quadrature.
        energy_snu: sum over them of ((y - g m) . data)^2.
    """

    frames: tuple[int, int]
    energy_snu: tuple[float, float]


@runtime_checkable
class ServerOptics(Protocol):
    """The server's light: launch frames, collect what comes back."""

    def describe(self) -> ServerOpticsInfo:
        """What these optics are and were calibrated for."""

    def send(self, block: Block, means_snu: Tensor) -> None:
        """Launch the frames of `block`.

        Args:
            block: which frames.
            means_snu: quadrature means, `(inputs or 1, rows, modes)`; real tensors put light on X
                alone, complex ones X + iP. One entry on the first axis serves all inputs.

        Raises:
            OpticsError: wrong shape, NaN, or a block that was already sent.
        """

    def collect_full(self, block: Block, quadratures: Tensor) -> Tensor:
        """Measure every mode of the returned light.

        Args:
            block: which frames.
            quadratures: bool `(inputs, rows)`, True where P is to be measured.

        Returns:
            Measured values in SNU, float32 `(inputs, rows, modes)`.
        """

    def collect_summary(
        self, block: Block, quadratures: Tensor, reference_gain: float
    ) -> ReturnSummary:
        """As `collect_full`, reduced to what the verification needs."""


@runtime_checkable
class ProjectsReturn(Protocol):
    """A server's optics that keep what came back until the client has opened its data."""

    def keep_returns(self) -> None:
        """Keep every block that is collected from now on, until `forget_returns`."""

    def project(self, block: Block, data: Tensor, reference_gain: float) -> ReturnProjection:
        """Look at a kept block along data vectors.

        Args:
            block: collected before.
            data: opened vectors of unit norm, real, `(inputs, modes)`.
            reference_gain: gain of the expected mean.

        Raises:
            OpticsError: the block was not kept, or the data have the wrong shape.
        """

    def forget_returns(self) -> None:
        """Drop what was kept."""


@runtime_checkable
class ClientOptics(Protocol):
    """The client's light: load the data, read one quadrature per frame."""

    def describe(self) -> ClientOpticsInfo:
        """What these optics are and were calibrated for."""

    def load(self, block: Block, data: Tensor) -> None:
        """Set the receiver to the data of a block.

        Args:
            block: which frames.
            data: vectors of unit norm, `(inputs, modes)`, real or complex.

        Raises:
            OpticsError: wrong shape, NaN, or vectors that are not of unit norm.
        """

    def measure(self, block: Block) -> Tensor:
        """Measure X of the data mode of every frame: float32 `(inputs, rows)`, SNU."""


class OpticalLink(Protocol):
    """Both ends of one link, for people who own both: in simulation, or on one bench."""

    @property
    def server(self) -> ServerOptics:
        """The server's end."""

    @property
    def client(self) -> ClientOptics:
        """The client's end."""

    @property
    def settings(self) -> object:
        """What the link was set to: a dataclass, for records."""


@runtime_checkable
class ChoosesEarly(Protocol):
    """A link on which the server's quadratures are chosen before the light returns.

    It takes no others when a block is collected: the engine has its flips from here.
    """

    @property
    def random_bits(self) -> "EarlyBits":
        """What was chosen, with the engine's interface for a source of coin flips."""


@runtime_checkable
class EarlyBits(Protocol):
    """Coin flips that were made when a block was sent."""

    @property
    def seed(self) -> int | None:
        """The seed of a reproducible source, None for a source fit for security."""

    def choose(self, p_share: float) -> None:
        """Draw P with this probability in blocks that are sent from now on; 0.5 until then."""

    def flips(self, key: str, inputs: int, rows: int, p_share: float = 0.5) -> Tensor:
        """Bool `(inputs, rows)` of the block that was sent last, chosen with that share of P."""


def check_block_tensor(what: str, tensor: Tensor, *shapes: tuple[int, ...]) -> None:
    """Refuse a tensor that has none of `shapes` or holds NaN or infinity.

    Raises:
        OpticsError: says what it got.
    """
    if tuple(tensor.shape) not in shapes:
        wanted = " or ".join(str(shape) for shape in shapes)
        raise OpticsError(f"{what} has shape {tuple(tensor.shape)}, expected {wanted}")
    # One sum is cheaper than a mask of all entries; NaN and infinity survive it.
    if tensor.numel() and not math.isfinite(abs(complex(tensor.sum().item()))):
        raise OpticsError(f"{what} holds NaN or infinite values")
