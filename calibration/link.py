"""Calibration of a whole link with known frames: what the engine has to trust, measured.

Both parties play a public test pattern: the server sends known means, the client loads known data
and opens its outcomes. From that follow the client's signal gain and outcome variance, and the gain
and the variances of the returned light, each with its standard uncertainty. The routine knows the
optics interface alone, so that it runs on a simulated link and on a bench.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from drivers.backend import (
    Block,
    ClientOptics,
    ClientOpticsInfo,
    ReturnSummary,
    ServerOptics,
    ServerOpticsInfo,
)
from drivers.errors import ConfigurationError

__all__ = ["LinkCalibration", "Measured", "calibrate_link"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A value with its standard uncertainty and what the optics claim for it.

    Args:
        value: measured value.
        uncertainty: one standard deviation.
        claimed: what `describe` says; NaN where it makes no claim.
    """

    value: float
    uncertainty: float
    claimed: float = math.nan

    @property
    def score(self) -> float:
        """Deviation from the claim in standard uncertainties."""
        return (self.value - self.claimed) / self.uncertainty


@dataclass(frozen=True, kw_only=True)
class LinkCalibration:
    """What a link was found to do.

    Args:
        signal_gain: mean of the client's outcome per (launched means . data).
        outcome_variance_snu: variance of the client's outcome.
        return_gain: amplitude gain of a launched mean in the server's record.
        return_variance_x_snu: variance of the returned X per mode, around its mean.
        return_variance_p_snu: likewise of P.
        symbols: modes that were sent.
        backend: name of the backend.
        simulated: True if the link was.
    """

    signal_gain: Measured
    outcome_variance_snu: Measured
    return_gain: Measured
    return_variance_x_snu: Measured
    return_variance_p_snu: Measured
    symbols: int
    backend: str
    simulated: bool

    def client_info(self, info: ClientOpticsInfo) -> ClientOpticsInfo:
        """The client's description with the measured values in place of the claimed."""
        return replace(
            info,
            signal_gain=self.signal_gain.value,
            outcome_variance_snu=self.outcome_variance_snu.value,
        )

    def server_info(self, info: ServerOpticsInfo) -> ServerOpticsInfo:
        """The server's description with this calibration's uncertainties added to its own."""
        variance = max(
            self.return_variance_x_snu.uncertainty, self.return_variance_p_snu.uncertainty
        )
        gain = self.return_gain
        relative = gain.uncertainty / abs(gain.value) if gain.value else 0.0
        return replace(
            info,
            gain_uncertainty=math.hypot(info.gain_uncertainty, relative),
            variance_uncertainty=math.hypot(info.variance_uncertainty, variance),
        )


def calibrate_link(
    server: ServerOptics,
    client: ClientOptics,
    *,
    photons_per_symbol: float = 1.0,
    modes: int = 64,
    rows: int = 64,
    inputs: int = 256,
    run: int = 0,
    seed: int = 0,
) -> LinkCalibration:
    """Send a public test pattern and regress what comes out on what went in.

    Args:
        server: the server's light.
        client: the client's light.
        photons_per_symbol: mean photon number of the pattern.
        modes: modes per frame.
        rows: frames per data vector.
        inputs: data vectors.
        run: number of the run on these optics.
        seed: of the pattern, which is public; the measured quadratures alternate.

    Raises:
        ConfigurationError: too few frames for an estimate, or a photon number not above 0.
        OpticsError: the optics refuse.
    """
    if not (math.isfinite(photons_per_symbol) and photons_per_symbol > 0):
        raise ConfigurationError(
            f"photons_per_symbol is {photons_per_symbol}, it must be a finite number above 0"
        )
    if inputs * rows < 16 or modes < 2:
        raise ConfigurationError(
            f"{inputs} x {rows} frames of {modes} modes are too few; give at least 16 frames of 2"
        )
    generator = torch.Generator().manual_seed(seed)
    means = 2 * math.sqrt(photons_per_symbol) * torch.randn(1, rows, modes, generator=generator)
    data = torch.randn(inputs, modes, generator=generator)
    data = data / torch.linalg.vector_norm(data, dim=1, keepdim=True)
    block = Block(
        run=run,
        layer=0,
        tile=0,
        first_input=0,
        inputs=inputs,
        first_row=0,
        rows=rows,
        modes=modes,
    )
    quadratures = (torch.arange(inputs)[:, None] + torch.arange(rows)) % 2 == 1
    client.load(block, data)
    server.send(block, means)
    outcomes = client.measure(block).double().cpu()
    # Gain 0 first: the sums allow any other reference afterwards.
    summary = server.collect_summary(block, quadratures, 0.0)
    gain, variance = _regress(outcomes, (data @ means[0].T).double())
    claims = client.describe()
    info = server.describe()
    return_gain, variances = _returned(summary)
    return LinkCalibration(
        signal_gain=replace(gain, claimed=claims.signal_gain),
        outcome_variance_snu=replace(variance, claimed=claims.outcome_variance_snu),
        return_gain=replace(return_gain, claimed=_claimed_gain(info, claims)),
        return_variance_x_snu=variances[0],
        return_variance_p_snu=variances[1],
        symbols=block.symbols,
        backend=info.backend,
        simulated=info.simulated,
    )


def _regress(values: Tensor, known: Tensor) -> tuple[Measured, Measured]:
    """Slope through the origin and residual variance, with standard uncertainties."""
    energy = float(known.square().sum())
    slope = float((values * known).sum()) / energy
    count = values.numel()
    variance = float((values - slope * known).square().sum()) / (count - 1)
    return (
        Measured(value=slope, uncertainty=math.sqrt(variance / energy)),
        Measured(value=variance, uncertainty=variance * math.sqrt(2 / (count - 1))),
    )


def _returned(summary: ReturnSummary) -> tuple[Measured, tuple[Measured, Measured]]:
    """Gain of the return and variances of both quadratures from sums at reference gain 0."""
    energy = float(summary.mean_energy_snu.sum())
    gain = float(summary.projection_snu.sum()) / energy
    variances = []
    for quadrature in (0, 1):
        symbols = float(summary.frames[quadrature].sum()) * summary.modes
        residual = (
            float(summary.residual_energy_snu[quadrature].sum())
            - 2 * gain * float(summary.projection_snu[quadrature].sum())
            + gain**2 * float(summary.mean_energy_snu[quadrature].sum())
        )
        value = residual / symbols
        variances.append(Measured(value=value, uncertainty=value * math.sqrt(2 / symbols)))
    uncertainty = math.sqrt(variances[0].value / energy)
    return Measured(value=gain, uncertainty=uncertainty), (variances[0], variances[1])


def _claimed_gain(info: ServerOpticsInfo, claims: ClientOpticsInfo) -> float:
    """Amplitude gain of an honest round trip, mean phase error included."""
    power = (
        info.forward_transmittance
        * claims.receiver.returned_transmittance
        * info.return_transmittance
        * info.detection_efficiency
    )
    return math.sqrt(power) * math.exp(-(info.phase_noise_rad**2) / 2)
