"""The server's verifier as a detector: its alarms through its limits on the sums of a block."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from drivers.backend import ServerOpticsInfo
from protocol.verification.acceptance import AcceptanceLimits, acceptance_limits
from protocol.verification.exact_tails import two_group_tails
from protocol.verification.expected import expected_return
from protocol.verification.power import gain_power, variance_power
from protocol.verification.verifier import TESTS, Verifier
from sim_backend.adversaries.adversary import Statistic
from sim_backend.adversaries.block_statistics import BlockShape, draw_blocks
from sim_backend.adversaries.light import ReturnedLight
from veilight.attacks.cases import MODES, Case
from veilight.attacks.detector import Flags

__all__ = ["VerifierDetector", "block_shape", "verifier_limits"]


def block_shape(case: Case, number: int) -> BlockShape:
    """A block of about `number` symbols per quadrature: rows of 784 modes, a shorter one below."""
    frames = max(1, round(number / MODES))
    return BlockShape(
        frames=frames,
        modes=max(2, round(number / frames)),
        photons_per_symbol=case.photons_per_symbol,
    )


def verifier_limits(case: Case, shape: BlockShape, alpha: float) -> AcceptanceLimits:
    """The limits of the server's verifier where each of its tests has the rate `alpha`."""
    receiver = case.scene.receiver
    info = ServerOpticsInfo(
        backend="symbol",
        simulated=True,
        seed=None,
        modes_per_frame=shape.modes,
        symbol_rate_hz=1e9,
        data_mode_excess_x_snu=receiver.excess_noise_x_snu,
        data_mode_excess_p_snu=receiver.excess_noise_p_snu,
    )
    # The data mode holds the share 1/N of the launched energy: see the draws.
    verifier = Verifier(
        expected_return(info, receiver, alignment=1 / shape.modes),
        false_alarm=alpha * len(TESTS),
        blocks=1,
    )
    return acceptance_limits(
        verifier,
        rows=shape.rows,
        frames=shape.frames,
        modes=shape.modes,
        row_energy_snu=shape.row_energy_snu,
    )


@dataclass(frozen=True, kw_only=True)
class VerifierDetector:
    """One test of the verifier; the alarms of the others come along."""

    statistic: Statistic

    def alarms(
        self,
        case: Case,
        number: int,
        trials: int,
        random: np.random.Generator,
        alpha: float,
        *,
        honest: bool = False,
    ) -> Mapping[str, Flags]:
        """See `Detector`."""
        shape = block_shape(case, number)
        limits = verifier_limits(case, shape, alpha)
        sums = draw_blocks(case.returned(honest=honest), shape, trials, random)
        return limits.alarms(sums.projection_snu, sums.residual_x_snu, sums.residual_p_snu)

    def power(self, case: Case, number: float, alpha: float) -> float:
        """See `Detector`; light and limits of the named test alone."""
        light, tampered = case.returned(honest=True), case.returned()
        mu, modes = case.photons_per_symbol, min(MODES, max(2, round(number)))
        if self.statistic == "gain":
            variance = _mean_variance(tampered, modes, 0.0)[0]
            return gain_power(number, tampered.gain, mu, alpha, variance_snu=variance)
        column = 0 if self.statistic == "X variance" else 1
        share = tampered.hit.share if tampered.hit else 0.0
        ratio = (
            _mean_variance(tampered, modes, mu)[column] / _mean_variance(light, modes, mu)[column]
        )
        if not share or column or tampered.hit is None:
            return variance_power(number, ratio, alpha)
        return _mixture_power(number, share, tampered.hit.added_x_snu, alpha)

    def honest_rate(self, case: Case, number: int, alpha: float) -> float:
        """See `Detector`; the verifier's limits under the exact law of the sum."""
        shape = block_shape(case, number)
        limits = verifier_limits(case, shape, alpha)
        light = case.returned(honest=True)
        if self.statistic == "gain":
            energy = shape.row_energy_snu
            excess = light.data_mode_excess_x_snu / shape.modes
            deviation = math.sqrt(energy * (1 + excess))
            low, high = limits.projection_snu
            return float(ndtr((low - energy) / deviation) + ndtr((energy - high) / deviation))
        on_x = self.statistic == "X variance"
        low, high = limits.residual_x_snu if on_x else limits.residual_p_snu
        excess = light.data_mode_excess_x_snu if on_x else light.data_mode_excess_p_snu
        degrees = (shape.frames * (shape.modes - 1), shape.frames)
        return sum(two_group_tails(low, high, (1.0, 1 + excess), degrees))


def _mean_variance(light: ReturnedLight, modes: int, photons: float) -> tuple[float, float]:
    """Mean squared deviation per mode of X and P."""
    moved = (light.gain - 1) ** 2 * 4 * photons
    hit_x = hit_p = 0.0
    if light.hit is not None:
        share = light.hit.share or light.hit.modes_per_frame / modes
        hit_x, hit_p = share * light.hit.added_x_snu, share * light.hit.added_p_snu
    return (
        light.variance_x_snu + light.data_mode_excess_x_snu / modes + hit_x + moved,
        light.variance_p_snu + light.data_mode_excess_p_snu / modes + hit_p,
    )


def _mixture_power(number: float, share: float, noise_snu: float, alpha: float) -> float:
    """Chi-square test of a mixture: the mean of its sum, and the variance that the mixing adds."""
    mean = 1 + share * noise_snu
    fourth = 3 * (1 + share * noise_snu * (2 + noise_snu))
    spread = math.sqrt((fourth - mean**2) / number)
    # Cube-root scale of Wilson and Hilferty, on which sums of squares are nearly normal.
    limit = (1 - 2 / (9 * number) - ndtri(alpha / 2) * math.sqrt(2 / (9 * number))) ** 3
    relative = spread / mean
    centre = 1 - relative**2 / 9
    return float(ndtr((centre - np.cbrt(limit / mean)) / (relative / 3)))
