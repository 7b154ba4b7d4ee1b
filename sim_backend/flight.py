"""One block of frames on its way: what was launched, loaded, measured and is about to return."""

from dataclasses import dataclass

import torch
from torch import Tensor

from drivers.backend import Block
from sim_backend.adversaries import ReturnBehaviour
from sim_backend.random_streams import DriftStream, StreamFactory
from sim_backend.receiver_law import ReceiverLaw, receiver_law
from sim_backend.settings import DetectorSettings, LinkSettings

__all__ = [
    "Flight",
    "LayerStreams",
    "ReturnChannel",
    "receive",
    "return_channel",
    "rotation_partner",
]


class LayerStreams:
    """The random streams of one layer's rows, in the order of its inputs."""

    def __init__(self, factory: StreamFactory, settings: LinkSettings, block: Block) -> None:
        key = (block.run, block.layer, block.tile, block.first_row, block.rows, block.modes)
        self.next_input = 0
        self.outcome = factory.normals(*key, "outcome")
        self.technical = factory.normals(*key, "technical")
        self.frames = factory.normals(*key, "return frames")
        self.sums = factory.normals(*key, "return sums")
        self.modes = factory.normals(*key, "return modes")
        self.hit_modes = factory.normals(*key, "hit modes")
        self.technical_modes = factory.normals(*key, "technical modes")
        self.few = factory.numpy(*key, "few")
        self.fourth = factory.numpy(*key, "fourth powers")
        self.client = _Detection(factory, settings.client, (*key, "client"))
        self.server = _Detection(factory, settings.server, (*key, "server"))
        self._settings = settings
        self._law: ReceiverLaw | None = None

    def receiver_law(self, block: Block, device: torch.device) -> ReceiverLaw:
        """The law of the client's receiver for the next frames; computed once if it is steady."""
        detector = self._settings.client
        if self._law is None or not detector.steady:
            phase, oscillator = self.client.take(block.inputs, block.rows, device)
            self._law = receiver_law(self._settings.receiver, detector, phase, oscillator)
        return self._law


class _Detection:
    """Phase error per frame and oscillator amplitude per data vector of one detector."""

    def __init__(
        self, factory: StreamFactory, detector: DetectorSettings, key: tuple[object, ...]
    ) -> None:
        self._detector = detector
        self._phase = DriftStream(
            factory.normals(*key, "phase"), detector.phase_error_rad, detector.phase_memory_frames
        )
        self._oscillator = DriftStream(
            factory.normals(*key, "oscillator"),
            detector.oscillator_drift,
            detector.oscillator_memory_inputs,
        )

    def take(self, inputs: int, rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Phase error and oscillator amplitude of the next frames, broadcasting to both axes."""
        still = torch.zeros((1, 1), device=device)
        phase = self._phase.take(inputs, rows) if self._detector.phase_error_rad else still
        drift = self._oscillator.take(inputs, 1) if self._detector.oscillator_drift else still
        return phase, 1 + drift


@dataclass(frozen=True, kw_only=True)
class Flight:
    """State of one block after the client has measured and before the server collects.

    Args:
        block: which frames.
        streams: random streams of its layer.
        means: launched means `(inputs or 1, rows, modes)`, real or complex.
        data: loaded data `(inputs, modes)`, real or complex.
        law: the receiver's law in force.
        overlap_x: X of (means . data) per frame at launch, `(inputs, rows)`.
        overlap_p: P of it; None where nothing was put on P.
        arriving_x: X of the data mode at the client's receiver, launch noise included.
        arriving_p: P of it; None where neither means nor launch noise put anything there.
        outcome_noise: the outcome's noise in units of its standard deviation, `(inputs, rows)`.
    """

    block: Block
    streams: LayerStreams
    means: Tensor
    data: Tensor
    law: ReceiverLaw
    overlap_x: Tensor
    overlap_p: Tensor | None
    arriving_x: Tensor
    arriving_p: Tensor | None
    outcome_noise: Tensor

    @property
    def complex_light(self) -> bool:
        """True if P carries means or data."""
        return _is_complex(self.means, self.data)

    def overlap(self, data: Tensor) -> tuple[Tensor, Tensor | None]:
        """X and P of (means . conj(data)) per frame, `(inputs, rows)`."""
        return _overlap(self.means, data)

    def share(self, settings: LinkSettings) -> float:
        """Amplitude gain of all modes but the data's, from launch to the client's output."""
        return float(settings.forward_transmittance**0.5 * self.law.other_modes)

    def data_mode(self) -> tuple[Tensor, Tensor]:
        """Amplitude of the data mode at the client's output, X and P, launch noise included."""
        law, x, p = self.law, self.arriving_x, self.arriving_p
        if p is None:
            return law.return_xx * x, torch.zeros((1, 1), device=x.device)
        return law.return_xx * x + law.return_xp * p, law.return_pp * p

    def data_mode_noise(self) -> tuple[Tensor, Tensor]:
        """The receiver's own noise in the returned data mode, X and P, given the outcome."""
        law, block, u = self.law, self.block, self.outcome_noise
        if not bool(law.excess_x.any() or law.excess_p.any()):
            still = torch.zeros((1, 1), device=u.device)
            return still, still
        # Inputs first: then the numbers of a frame do not depend on how many inputs a block has.
        both = self.streams.frames.take(block.inputs, block.rows, 2).unbind(-1)
        root = (law.excess_x - law.beta_x**2).clamp_min(0).sqrt()
        # Cholesky factor of the 2 x 2 covariance that is left once the outcome is known.
        cross = torch.where(root > 0, -law.beta_x * law.beta_p / root.clamp_min(1e-12), 0.0)
        left = (law.excess_p - law.beta_p**2 - cross**2).clamp_min(0).sqrt()
        noise_p = law.beta_p * u + cross * both[0] + left * both[1]
        return law.beta_x * u + root * both[0], noise_p

    def partner(self, settings: LinkSettings) -> tuple[Tensor, Tensor] | None:
        """Rotation partner and angle per input of an imperfect U_x^dagger U_x, if it is one."""
        if not (settings.unitary_error_rad and settings.receiver.acts_on_data_mode):
            return None
        mode, exists = rotation_partner(self.data)
        return mode, settings.unitary_error_rad * exists.to(torch.float32)


def receive(
    block: Block, streams: LayerStreams, means: Tensor, data: Tensor, settings: LinkSettings
) -> tuple[Flight, Tensor]:
    """Let the client measure a block.

    Returns:
        The flight, and the outcome per frame before the digitiser, `(inputs, rows)`.
    """
    overlap_x, overlap_p = _overlap(means, data)
    law = streams.receiver_law(block, means.device)
    amplitude = settings.forward_transmittance**0.5
    x = overlap_x if amplitude == 1 else amplitude * overlap_x
    p = None if overlap_p is None else amplitude * overlap_p
    if settings.excess_noise_snu:
        std = (settings.forward_transmittance * settings.excess_noise_snu) ** 0.5
        technical = std * streams.technical.take(block.inputs, block.rows, 2)
        x = x + technical[..., 0]
        p = technical[..., 1] if p is None else p + technical[..., 1]
    noise = streams.outcome.take(block.inputs, block.rows)
    if law.outcome_x.numel() == 1:  # numbers are faster than tensors of one entry
        outcome = torch.mul(x, law.outcome_x.item()).add_(noise, alpha=law.outcome_std.item())
    else:
        outcome = torch.mul(x, law.outcome_x).addcmul_(noise, law.outcome_std)
    if p is not None:
        outcome += law.outcome_p * p
    flight = Flight(
        block=block,
        streams=streams,
        means=means,
        data=data,
        law=law,
        overlap_x=overlap_x,
        overlap_p=overlap_p,
        arriving_x=x,
        arriving_p=p,
        outcome_noise=noise,
    )
    return flight, outcome


@dataclass(frozen=True, kw_only=True)
class ReturnChannel:
    """From the client's output to the server's record; entries broadcast to (inputs, rows).

    Args:
        amplitude: gain of a returned mean in the record.
        weight_x: share of X in the measured quadrature, cos of its angle.
        weight_p: share of P, sin of its angle.
        white_variance: variance of the record without excess noise of the data mode or of launch.
        technical_variance: technical noise of launch in the record of modes other than the data's.
        hit_variance: noise in the record of symbols that a tampering client has picked.
        hit_share: probability that a symbol is one of them; 0 where all are treated alike.
    """

    amplitude: Tensor
    weight_x: Tensor
    weight_p: Tensor
    white_variance: Tensor
    technical_variance: Tensor
    hit_variance: Tensor
    hit_share: float


def return_channel(
    flight: Flight, settings: LinkSettings, behaviour: ReturnBehaviour, quadratures: Tensor
) -> ReturnChannel:
    """Draw the server's phase and oscillator and combine all that acts on the returned light.

    Args:
        flight: the block, measured by the client.
        settings: the link.
        behaviour: what the client does to the returned light.
        quadratures: bool `(inputs, rows)`, or `(1, 1)` on a link that does not drift.
    """
    detector, block = settings.server, flight.block
    phase, oscillator = flight.streams.server.take(block.inputs, block.rows, flight.means.device)
    back = settings.return_transmittance * detector.total_efficiency
    amplitude = oscillator * (back * behaviour.transmittance) ** 0.5
    cos, sin = torch.cos(phase), torch.sin(phase)
    weight_x = torch.where(quadratures, -sin, cos)
    weight_p = torch.where(quadratures, cos, sin)
    tampered = (
        weight_x.square() * behaviour.added_noise_x_snu
        + weight_p.square() * behaviour.added_noise_p_snu
    )
    alike = behaviour.share == 1
    added = oscillator**2 * back * tampered
    white = oscillator**2 + (added if alike else 0) + detector.electronic_noise_snu
    at_client = settings.forward_transmittance * settings.excess_noise_snu
    technical = amplitude.square() * flight.law.other_modes**2 * at_client
    return ReturnChannel(
        amplitude=amplitude,
        weight_x=weight_x,
        weight_p=weight_p,
        white_variance=white,
        technical_variance=technical,
        hit_variance=added,
        hit_share=0.0 if alike else behaviour.share,
    )


def rotation_partner(data: Tensor) -> tuple[Tensor, Tensor]:
    """The mode into which an imperfect U_x^dagger U_x leaks: the data shifted by one bin.

    Args:
        data: unit vectors `(inputs, modes)`.

    Returns:
        Unit vectors orthogonal to `data`, and per input whether there is one (a constant vector
        has none: shifted, it is itself).
    """
    shifted = torch.roll(data, 1, dims=-1)
    along = (data.conj() * shifted).sum(-1, keepdim=True)
    rest = shifted - along * data
    norm = torch.linalg.vector_norm(rest, dim=-1, keepdim=True)
    exists = norm > 1e-4
    return torch.where(exists, rest / norm.clamp_min(1e-12), 0), exists


def _is_complex(means: Tensor, data: Tensor) -> bool:
    return means.is_complex() or data.is_complex()


def _overlap(means: Tensor, data: Tensor) -> tuple[Tensor, Tensor | None]:
    """X and P of (means . conj(data)) per frame, `(inputs, rows)`; P is None for real light."""
    if not _is_complex(means, data):
        return _products(means, data), None
    product = _products(means.to(torch.complex64), data.to(torch.complex64).conj())
    return product.real.contiguous(), product.imag.contiguous()


def _products(means: Tensor, data: Tensor) -> Tensor:
    """(means . data) per frame: `(inputs, rows)`, without conjugation."""
    if means.shape[0] == 1:
        return data @ means[0].T
    return torch.matmul(means, data[:, :, None])[..., 0]
