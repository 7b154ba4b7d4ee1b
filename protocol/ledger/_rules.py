"""Whom a ledger charges for: one rule for good, that its file says and every session follows."""

from collections.abc import Mapping
from typing import Any, get_args

from drivers.errors import ConfigurationError, LedgerError
from protocol.ledger._weight_budget import LightCharge
from protocol.ledger.light import ChargeRule

__all__ = ["require_followed", "require_rule", "rule_of_file"]

_BEFORE_RULES: ChargeRule = "copies apart"


def require_rule(value: object) -> ChargeRule:
    """The rule that a caller names.

    Raises:
        ConfigurationError: there is no such rule.
    """
    found = _known(value)
    if found is None:
        raise ConfigurationError(
            f"ledger: charge rule {value!r} is unknown; it must be one of {get_args(ChargeRule)}"
        )
    return found


def rule_of_file(where: str, creation: Mapping[str, Any]) -> ChargeRule:
    """The rule that a ledger was made with; files that name none are older than rules.

    Args:
        where: name of the ledger, for messages.
        creation: body of its first row.

    Raises:
        LedgerError: it names a rule that is not known.
    """
    value = creation.get("rule", _BEFORE_RULES)
    found = _known(value)
    if found is None:
        raise LedgerError(
            f"{where}: it was made with the charge rule {value!r}, this veilight knows "
            f"{get_args(ChargeRule)}; open it with the version of veilight that wrote it"
        )
    return found


def require_followed(where: str, rule: ChargeRule, charge: LightCharge, copies: int | None) -> None:
    """Refuse a debit that does not follow a ledger's rule.

    Args:
        where: name of the ledger, for messages.
        rule: the ledger's.
        charge: of the debit.
        copies: that it names, if any.

    Raises:
        ConfigurationError: another rule, or a memory over all copies and no number of them.
    """
    if charge.rule != rule:
        raise ConfigurationError(
            f"{where}: it charges {rule!r}, the session asks for {charge.rule!r}; a ledger keeps "
            "the rule that it was made with. Take the charge by the ledger's rule"
        )
    if copies is None and rule == "with memory":
        raise ConfigurationError(
            f"{where}: it charges one memory over all copies of a weight, and the debit does not "
            "say how many copies it is for; give their number"
        )


def _known(value: object) -> ChargeRule | None:
    return next((rule for rule in get_args(ChargeRule) if rule == value), None)
