"""Electro-optic modulators: the Mach-Zehnder that makes signed amplitudes, and the IQ modulator."""

import math
from dataclasses import dataclass, field

import numpy as np

from sim_backend.scene._checks import check_between, check_positive
from sim_backend.scene.light import FloatArray, Light, Window
from sim_backend.scene.slow import OrnsteinUhlenbeck
from sim_backend.scene.streaming import OnePole

__all__ = ["IqModulator", "IqModulatorSettings", "MachZehnder", "MachZehnderSettings"]


@dataclass(frozen=True, kw_only=True)
class MachZehnderSettings:
    """A Mach-Zehnder intensity modulator in push-pull.

    Args:
        half_wave_v: V_pi of the radio-frequency port.
        bias_half_wave_v: V_pi of the bias port.
        extinction_db: power ratio of most to least light.
        insertion_loss_db: loss at most light.
        null_v: bias voltage of least light when the modulator is fresh.
        bias_drift_v: root-mean-square drift of the null.
        bias_drift_time_s: correlation time of that drift.
        bandwidth_hz: half-power bandwidth of the radio-frequency port, first order.
    """

    half_wave_v: float = 3.5
    bias_half_wave_v: float = 5.0
    extinction_db: float = 40.0
    insertion_loss_db: float = 4.0
    null_v: float = 0.8
    bias_drift_v: float = 0.05
    bias_drift_time_s: float = 1800.0
    bandwidth_hz: float = 10e9

    def __post_init__(self) -> None:
        check_positive(self, "half_wave_v", "bias_half_wave_v", "bias_drift_time_s", "bandwidth_hz")
        check_between(self, "extinction_db", 3.0, 120.0, unit="dB")
        check_between(self, "insertion_loss_db", 0.0, 60.0, unit="dB")
        check_between(self, "null_v", -50.0, 50.0, unit="V")
        check_between(self, "bias_drift_v", 0.0, 50.0, unit="V")


class MachZehnder:
    """Field transfer of a Mach-Zehnder with unequal arms.

    E_out/E_in = sqrt(L) [ sin(phi/2) - i gamma cos(phi/2) ],
    phi = pi V/V_pi + pi (V_bias - V_null)/V_pi,bias, gamma = 10^(-extinction_db/20).

    It is (1+gamma)/2 exp(i phi/2) - (1-gamma)/2 exp(-i phi/2) times -i: the light of two arms
    of amplitudes (1 +- gamma)/2. At V_bias = V_null a drive of 0 V gives least light, a positive
    drive a positive amplitude, and what leaks is in quadrature to what is meant. Power is
    (1-gamma^2) sin^2(phi/2) + gamma^2 (Koyama and Iga, J. Lightwave Technol. 6, 87 (1988)).

    Attributes:
        bias_v: voltage on the bias port, set by the bias controller.

    Args:
        settings: the data sheet.
        rng: source of the drift.
    """

    def __init__(self, settings: MachZehnderSettings, *, rng: np.random.Generator) -> None:
        self.settings = settings
        self.bias_v = 0.0
        self._drift = OrnsteinUhlenbeck(settings.bias_drift_v, settings.bias_drift_time_s, rng)
        self._low_pass = OnePole(settings.bandwidth_hz)
        self._loss = 10.0 ** (-settings.insertion_loss_db / 20)
        self._leak = 10.0 ** (-settings.extinction_db / 20)

    def null_v(self) -> float:
        """Bias voltage of least light now, drift included."""
        return self.settings.null_v + self._drift.value

    def age(self, duration_s: float) -> None:
        """Let the null drift."""
        self._drift.age(duration_s)

    def begin(self, window: Window, *, idle_v: float = 0.0) -> None:
        """Start a shot with the drive resting at `idle_v`."""
        self._low_pass.begin(window.rate_hz, idle_v)

    def transfer(self, volts: float) -> complex:
        """Amplitude transfer at a constant drive, as the class describes."""
        half = self._half_phase(np.array([volts], dtype=np.float32))
        return complex(
            self._loss * float(np.sin(half)[0]), -self._loss * self._leak * float(np.cos(half)[0])
        )

    def transmission(self, volts: float) -> float:
        """Power transmission at a constant drive."""
        return abs(self.transfer(volts)) ** 2

    def block(self, light: Light, volts: FloatArray) -> Light:
        """Modulate a block.

        Args:
            light: what enters.
            volts: drive at the same samples, shape (samples,).
        """
        half = self._half_phase(self._low_pass.block(volts))
        transfer = np.empty(half.size, dtype=np.complex64)
        np.multiply(np.sin(half), np.float32(self._loss), out=transfer.real)
        np.multiply(np.cos(half), np.float32(-self._loss * self._leak), out=transfer.imag)
        transfer *= light.field
        return light.with_field(transfer)

    def _half_phase(self, volts: FloatArray) -> FloatArray:
        half = volts * np.float32(math.pi / 2 / self.settings.half_wave_v)
        error_v = self.bias_v - self.null_v()
        half += np.float32(math.pi / 2 * error_v / self.settings.bias_half_wave_v)
        return half


@dataclass(frozen=True, kw_only=True)
class IqModulatorSettings:
    """Two Mach-Zehnders in quadrature.

    Args:
        child: either of the two inner modulators.
        amplitude_imbalance: (in-phase - quadrature)/(sum) of the arm amplitudes.
        quadrature_error_rad: error of the 90 degrees between the arms at the outer bias' null.
        outer_half_wave_v: V_pi of the outer bias.
        skew_s: delay of the quadrature drive after the in-phase one; below one sample it is
            applied by first-order interpolation.
    """

    child: MachZehnderSettings = field(default_factory=MachZehnderSettings)
    amplitude_imbalance: float = 0.02
    quadrature_error_rad: float = 0.02
    outer_half_wave_v: float = 5.0
    skew_s: float = 0.0

    def __post_init__(self) -> None:
        check_between(self, "amplitude_imbalance", -0.9, 0.9)
        check_between(self, "quadrature_error_rad", -math.pi, math.pi, unit="rad")
        check_positive(self, "outer_half_wave_v")
        check_between(self, "skew_s", 0.0, 1e-6, unit="s")


class IqModulator:
    """Field transfer [(1+g) M_I(V_I) + i exp(i e) (1-g) M_Q(V_Q)]/2 with M of `MachZehnder`.

    g is the amplitude imbalance and e the quadrature error plus pi V_outer/V_pi,outer; the 1/2
    is the split and the recombination of the two arms.

    Attributes:
        in_phase: inner modulator of the in-phase arm, with its `bias_v`.
        quadrature: inner modulator of the quadrature arm, with its `bias_v`.
        outer_bias_v: voltage on the outer bias.

    Args:
        settings: the data sheet.
        rng: source of the drifts.
    """

    def __init__(self, settings: IqModulatorSettings, *, rng: np.random.Generator) -> None:
        self.settings = settings
        self.in_phase = MachZehnder(settings.child, rng=rng)
        self.quadrature = MachZehnder(settings.child, rng=rng)
        self.outer_bias_v = 0.0
        self._skew_samples = 0.0
        self._last: FloatArray = np.zeros(1, dtype=np.float32)

    def age(self, duration_s: float) -> None:
        """Let the nulls drift."""
        self.in_phase.age(duration_s)
        self.quadrature.age(duration_s)

    def begin(self, window: Window, *, idle_v: tuple[float, float] = (0.0, 0.0)) -> None:
        """Start a shot with the two drives resting at `idle_v`."""
        self.in_phase.begin(window, idle_v=idle_v[0])
        self.quadrature.begin(window, idle_v=idle_v[1])
        self._skew_samples = self.settings.skew_s * window.rate_hz
        reach = math.ceil(self._skew_samples) + 1
        self._last = np.full(reach, idle_v[1], dtype=np.float32)

    def block(self, light: Light, in_phase_v: FloatArray, quadrature_v: FloatArray) -> Light:
        """Modulate a block with two drives of shape (samples,)."""
        imbalance = self.settings.amplitude_imbalance
        error = self.settings.quadrature_error_rad
        error += math.pi * self.outer_bias_v / self.settings.outer_half_wave_v
        turned = 0.5 * (1 - imbalance) * complex(-math.sin(error), math.cos(error))
        real = self.in_phase.block(light, in_phase_v).field * np.complex64(0.5 * (1 + imbalance))
        real += self.quadrature.block(light, self._delayed(quadrature_v)).field * np.complex64(
            turned
        )
        return light.with_field(real)

    def _delayed(self, volts: FloatArray) -> FloatArray:
        if self._skew_samples == 0:
            return volts
        joined = np.concatenate((self._last, volts))
        self._last = joined[joined.size - self._last.size :].copy()
        whole, fraction = divmod(self._skew_samples, 1.0)
        first = self._last.size - int(whole)
        late = joined[first - 1 : first - 1 + volts.size]
        early = joined[first : first + volts.size]
        return np.float32(1 - fraction) * early + np.float32(fraction) * late
