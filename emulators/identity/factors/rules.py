"""Which second factors a project or tenant allows: its `MultiFactorAuthConfig`."""

from dataclasses import dataclass
from typing import Any

from emulators.identity.wire import Body, Refused

_STATES = frozenset({"", "STATE_UNSPECIFIED", "DISABLED", "ENABLED", "MANDATORY"})
_ON = frozenset({"ENABLED", "MANDATORY"})
_DEFAULT_ADJACENT, _MOST_ADJACENT = 5, 10


@dataclass(frozen=True)
class Rules:
    """`asked`: whoever has a second factor is asked for one, even if it is of a kind switched off.

    `adjacent`: how many time steps before and after the present one a code may be of.
    """

    asked: bool
    phone: bool
    totp: bool
    adjacent: int

    @classmethod
    def of(cls, config: dict[str, Any]) -> "Rules":
        """SMS is on by the configuration's own state. An app is on by the state of its provider,
        unless everything is explicitly disabled: the documented way to enable it sets no other.

        Raises `Refused` for what is no such configuration.
        Source: https://cloud.google.com/identity-platform/docs/admin/enabling-totp-mfa
        """
        body = Body(config)
        state = body.text("state")
        if state not in _STATES:
            raise Refused(f"Invalid value at 'mfa.state': {state}", status="INVALID_ARGUMENT")
        by_sms = "PHONE_SMS" in body.texts("enabledProviders")
        apps = [_adjacent(each) for each in body.objects("providerConfigs")]
        on = [adjacent for adjacent in apps if adjacent is not None]
        totp = bool(on) and state != "DISABLED"
        return cls(
            asked=totp or state in _ON,
            phone=by_sms and state in _ON,
            totp=totp,
            adjacent=on[-1] if on else 0,
        )

    def allow(self, kind: str) -> bool:
        """Whether factors of this kind (`phone`, `totp`) may be enrolled and used."""
        return self.phone if kind == "phone" else self.totp


def _adjacent(provider: Body) -> int | None:
    """The adjacent intervals of an app's configuration, None where it is not switched on."""
    app = provider.child("totpProviderConfig")
    adjacent = app.whole("adjacentIntervals", _DEFAULT_ADJACENT)
    if not 0 <= adjacent <= _MOST_ADJACENT:
        raise Refused(
            f"INVALID_CONFIG : adjacentIntervals must be from 0 to {_MOST_ADJACENT}.",
            status="INVALID_ARGUMENT",
        )
    on = provider.text("state") in _ON and provider.has("totpProviderConfig")
    return adjacent if on else None
