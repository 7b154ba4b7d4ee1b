"""What the server expects of honestly returned light, from its own calibration alone.

Nothing that the client reports enters.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from drivers.backend import ServerOpticsInfo
from drivers.receivers import Receiver

__all__ = ["ReturnExpectation", "expected_return", "largest_alignment"]

_KRYLOV_STEPS = 8


@dataclass(frozen=True, kw_only=True)
class ReturnExpectation:
    """Law of an honest return, as recorded, in shot-noise units.

    Args:
        gain: amplitude gain of a launched mean in the record, mean phase error included.
        white_variance: variance of every mode but the data's.
        data_mode_excess_x: further variance of X of the data mode.
        data_mode_excess_p: further variance of P of the data mode.
        launch_excess: part of the white variance that is technical noise of the launched light.
        gain_variance: variance of the gain from frame to frame (phase error).
        cross_gain_variance: mean square of the gain from X to P (phase error).
        memory_frames: correlation length of that error.
        inputs_per_phase: data vectors that share one such error with all their frames; 0 where
            frames err by themselves, as `memory_frames` says.
        cross_gain_uncertainty: standard uncertainty of `cross_gain_variance`.
        rotation_energy: share of a frame's mean energy that an imperfect U_x^dagger U_x moves,
            times modes.
        alignment: largest share of the launched energy that any data vector can have in its mode:
            the noise of the data mode then enters the gain by that much.
        gain_uncertainty: relative standard uncertainty of the gain.
        variance_uncertainty: relative standard uncertainty of the unit of variance in one block.
        dither_snu: mean square of known displacements of P where they are launched; 0 without.
        lost_p: amplitude share of P of the data mode that an honest receiver does not give back.
    """

    gain: float
    white_variance: float
    data_mode_excess_x: float
    data_mode_excess_p: float
    launch_excess: float
    gain_variance: float
    cross_gain_variance: float
    memory_frames: float
    rotation_energy: float
    alignment: float
    gain_uncertainty: float
    variance_uncertainty: float
    inputs_per_phase: float = 0.0
    cross_gain_uncertainty: float = 0.0
    dither_snu: float = 0.0
    lost_p: float = 0.0

    def gain_p(self, modes: int) -> float:
        """Gain of known displacements of P in frames of so many modes, g (1 - c/N).

        A receiver that dims P of the data mode returns p - c (p . x) x of displacements p. Over all
        directions that p may have the regression on p is 1 - c/N; what is left is part of
        `data_mode_excess_p`.
        """
        return self.gain * (1 - self.lost_p / modes)

    def frames_per_phase(self, frames: ArrayLike, rows: int) -> NDArray[np.float64]:
        """How many frames share one phase error, at least 1.

        An error of correlation length m, in frames, is worth one in 1 + 2 m of them.

        Args:
            frames: measured in all, any shape.
            rows: that each data vector has among them.
        """
        alike = self.inputs_per_phase * rows or 1 + 2 * self.memory_frames
        return np.maximum(1.0, np.minimum(np.asarray(frames, dtype=np.float64), alike))

    @property
    def verifiable(self) -> bool:
        """False where an honest client returns no light: then there is nothing to test."""
        return self.gain > 0


def expected_return(
    info: ServerOpticsInfo,
    receiver: Receiver,
    *,
    inputs: int = 1,
    alignment: float = 0.0,
    dither_snu: float = 0.0,
) -> ReturnExpectation:
    """The honest return of `receiver` on calibrated optics.

    A Gaussian phase error of variance s^2 has <cos> = exp(-s^2/2), var(cos) = (1 - exp(-s^2))^2 / 2
    and <sin^2> = (1 - exp(-2 s^2)) / 2.

    Args:
        info: the server's calibration.
        receiver: the agreed receiver.
        inputs: data vectors per block, over which the oscillator's drift averages.
        alignment: see `largest_alignment`.
        dither_snu: mean square d of independent Gaussian displacements of P, fresh for every
            symbol. What a receiver keeps of P of the data mode, c (p . x), then is noise of the
            variance c^2 d about the mean that was sent.
    """
    back = info.return_transmittance * info.detection_efficiency
    returned = receiver.returned_transmittance
    steady = math.sqrt(info.forward_transmittance * returned * back)
    spread = info.phase_noise_rad**2
    launch = info.forward_transmittance * returned * back * info.excess_noise_snu
    independent = min(1.0, (1 + 2 * info.oscillator_memory_inputs) / inputs)
    drift = 2 * info.oscillator_drift * math.sqrt(independent)
    rotation = info.unitary_error_rad if receiver.acts_on_data_mode else 0.0
    return ReturnExpectation(
        gain=steady * math.exp(-spread / 2),
        white_variance=1
        + info.electronic_noise_snu
        + launch
        + info.converter_step_snu**2 / 12
        + info.oscillator_drift**2,
        data_mode_excess_x=back * info.data_mode_excess_x_snu,
        data_mode_excess_p=back * info.data_mode_excess_p_snu
        + (steady * receiver.lost_p) ** 2 * dither_snu,
        launch_excess=launch,
        gain_variance=steady**2 * (1 - math.exp(-spread)) ** 2 / 2,
        cross_gain_variance=steady**2 * (1 - math.exp(-2 * spread)) / 2,
        memory_frames=info.phase_memory_frames if spread else 0.0,
        inputs_per_phase=float(info.phase_error_per_input),
        # The derivative of the mean square sine by the phase's variance.
        cross_gain_uncertainty=steady**2
        * math.exp(-2 * spread)
        * info.phase_variance_uncertainty_rad2,
        alignment=alignment,
        rotation_energy=2 * steady**2 * rotation**2,
        gain_uncertainty=math.hypot(info.gain_uncertainty, drift / 2),
        variance_uncertainty=math.hypot(info.variance_uncertainty, drift),
        dither_snu=dither_snu,
        lost_p=receiver.lost_p,
    )


def largest_alignment(means_snu: Tensor) -> float:
    """Largest share of a block's launched energy that lies in one mode, over all unit vectors.

    The largest eigenvalue of M^dagger M over its trace, as seen from a Krylov space (Lanczos, J.
    Res. Natl. Bur. Stand. 45, 255 (1950)), 10 % added for what lies outside it.

    Args:
        means_snu: `(rows, modes)`, real or complex.
    """
    energy = float(torch.linalg.vector_norm(means_snu)) ** 2
    if energy == 0:
        return 0.0
    # A random start has a share of every eigenvector, whatever the means.
    start = torch.randn(
        means_snu.shape[1], generator=torch.Generator().manual_seed(0), dtype=means_snu.dtype
    )
    image = means_snu @ start.to(means_snu.device)
    basis, images = means_snu.new_empty((0, means_snu.shape[1])), []
    for _ in range(_KRYLOV_STEPS):
        vector = (image.conj() @ means_snu).conj()
        before = float(torch.linalg.vector_norm(vector))
        for _ in range(2):  # once leaves rounding errors behind
            vector = vector - (basis.conj() @ vector) @ basis
        length = float(torch.linalg.vector_norm(vector))
        if length <= 1e-5 * before:  # the space is complete
            break
        basis = torch.cat([basis, vector[None] / length])
        image = means_snu @ basis[-1]
        images.append(image)
    seen = torch.stack(images)
    value = float(torch.linalg.eigvalsh(seen @ seen.conj().T)[-1])
    return min(1.0, 1.1 * value / energy)
