"""Configuration of a run: a TOML file with units in the keys, defaults for the rest.

Owns the keys, their defaults, units and explanations, the reading of a file and its errors, and
the way from a configuration to the settings of the link, the receiver and the training.
"""

from veilight.config._file import default_configuration, load_configuration, override
from veilight.config._sections import (
    ClientDetectorSection,
    Configuration,
    LeakageSection,
    LedgerSection,
    LinkSection,
    ProtocolSection,
    ReportSection,
    ServerDetectorSection,
    TrainingSection,
)
from veilight.config._show import configuration_to_toml

__all__ = [
    "ClientDetectorSection",
    "Configuration",
    "LeakageSection",
    "LedgerSection",
    "LinkSection",
    "ProtocolSection",
    "ReportSection",
    "ServerDetectorSection",
    "TrainingSection",
    "configuration_to_toml",
    "default_configuration",
    "load_configuration",
    "override",
]
