"""A portal that does what a good client does when its call dies: it asks, then repeats."""

from collections.abc import Callable
from typing import Any

import httpx

from emulators.demo.portal import Person, Portal, PortalError

_TRIES = 10

_MADE: dict[str, Callable[[dict[str, Any], Any], bool]] = {
    "pause": lambda contract, _: contract["status"] == "paused",
    "resume": lambda contract, _: contract["status"] == "active",
    "plan": lambda contract, body: body["plan"] in (contract["plan"], contract["next_plan"]),
    "cancellation": lambda contract, _: (
        contract["cancels_at_term"] or contract["status"] == "cancelled"
    ),
}
"""How a contract shows that what was asked of it happened."""


class PatientPortal(Portal):
    """Every call has its outcome, however often the connection breaks."""

    def call(self, person: Person, method: str, path: str, body: Any = None) -> Any:
        """Call the API. When no answer came it may have happened: repeated only if it did not.

        Raises `PortalError` for a refusal, unless what was asked turns out to have happened: a
        call that was given up may still commit a moment after it was asked about.
        """
        refused = None
        for attempt in range(_TRIES):
            if attempt and (made := self._made(person, method, path, body)) is not None:
                return made
            try:
                return super().call(person, method, path, body)
            except httpx.TransportError:
                continue
            except PortalError as error:
                if attempt == 0 or refused is not None:
                    raise
                refused = error
        raise refused or TimeoutError(f"{method} {path}: no answer in {_TRIES} calls")

    def _made(self, person: Person, method: str, path: str, body: Any) -> Any:
        """What a call that was not answered made; None if nothing, or if repeating is harmless."""
        if method != "POST":
            return None
        if path == "/customers":
            try:
                return self.call(person, "GET", "/customers/me")
            except PortalError as error:
                if error.status != 404:
                    raise
                return None
        if path == "/contracts":
            held = self.call(person, "GET", "/contracts")["items"]
            same = (one for one in held if one["subscription_id"] == body["subscription_id"])
            return next(same, None)
        contract, _, what = path.rpartition("/")
        found = self.call(person, "GET", contract)
        return found if _MADE[what](found, body) else None
