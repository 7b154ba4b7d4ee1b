"""The instrument kinds that a bench is made of: abstract classes in SI units.

A vendor's driver or a simulated instrument derives from its kind; everything above knows the kind
only. The rules that all of them keep are in `drivers.instruments.base`.
"""

from drivers.instruments.attenuator import Attenuator, AttenuatorLimits
from drivers.instruments.base import Instrument
from drivers.instruments.bias_controller import BiasController, BiasLimits, BiasPoint
from drivers.instruments.clock import Clock, FastClock, SystemClock
from drivers.instruments.digitiser import Digitiser, DigitiserLimits, DigitiserSettings
from drivers.instruments.identity import Identity
from drivers.instruments.laser import Laser, LaserLimits
from drivers.instruments.limits import Range
from drivers.instruments.optical_amplifier import AmplifierLimits, OpticalAmplifier
from drivers.instruments.phase_driver import PhaseDriver, PhaseDriverLimits
from drivers.instruments.polarisation_controller import PolarisationController, PolarisationLimits
from drivers.instruments.power_meter import PowerMeter, PowerMeterLimits
from drivers.instruments.switch import Switch, SwitchLimits
from drivers.instruments.trace import Recording, Trace
from drivers.instruments.trigger import Trigger
from drivers.instruments.waveform_generator import GeneratorLimits, WaveformGenerator

__all__ = [
    "AmplifierLimits",
    "Attenuator",
    "AttenuatorLimits",
    "BiasController",
    "BiasLimits",
    "BiasPoint",
    "Clock",
    "Digitiser",
    "DigitiserLimits",
    "DigitiserSettings",
    "FastClock",
    "GeneratorLimits",
    "Identity",
    "Instrument",
    "Laser",
    "LaserLimits",
    "OpticalAmplifier",
    "PhaseDriver",
    "PhaseDriverLimits",
    "PolarisationController",
    "PolarisationLimits",
    "PowerMeter",
    "PowerMeterLimits",
    "Range",
    "Recording",
    "Switch",
    "SwitchLimits",
    "SystemClock",
    "Trace",
    "Trigger",
    "WaveformGenerator",
]
