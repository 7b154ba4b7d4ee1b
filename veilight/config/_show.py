"""A configuration as TOML with a unit and an explanation at every setting."""

import json
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from veilight.config._sections import Configuration

__all__ = ["configuration_to_toml"]

_EXAMPLES = {
    "budget_bits_per_weight": "0.1",
    "against_memory": "true",
    "data_budget_bits_per_input": "1.0",
    "inputs_per_block": "16",
    "probe_photons_per_mode": "0.01",
    "epochs": "20",
    "batch_size": "128",
    "learning_rate": "0.005",
    "label_smoothing": "0.1",
}
"""What a setting that is not set could look like; TOML has no word for nothing."""


def configuration_to_toml(configuration: Configuration) -> str:
    """Every setting with its value, unit and explanation; `load_configuration` reads it back.

    A setting that is not set is written as a comment with an example value.
    """
    return "\n".join(_section(configuration, "")).strip() + "\n"


def _section(section: BaseModel, path: str) -> Iterator[str]:
    nested: list[tuple[str, BaseModel]] = []
    if path:
        yield ""
        yield f"[{path}]  # {(type(section).__doc__ or '').strip()}"
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            nested.append((name, value))
        else:
            yield _line(name, field, value)
    for name, value in nested:
        yield from _section(value, f"{path}.{name}" if path else name)


def _line(name: str, field: FieldInfo, value: object) -> str:
    extra = field.json_schema_extra
    unit = extra.get("unit", "") if isinstance(extra, dict) else ""
    comment = f"{field.description} [{unit}]" if unit else field.description
    if value is None:
        return f"# {name} = {_EXAMPLES[name]}  # {comment}"
    return f"{name} = {_value(value)}  # {comment}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A basic TOML string has the escapes of a JSON one, and DEL besides.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple):
        return f"[{', '.join(_value(entry) for entry in value)}]"
    return repr(value)
