"""What was asked and what came of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Call:
    """One call of a portal: `route` is the name of its handler in portal_api.

    Calls that only prepare one (`account`, `checkout`) have no method: they go elsewhere.
    """

    route: str
    clinic_id: str
    email: str
    method: str = ""
    path: str = ""
    body: Any = None

    @property
    def writes(self) -> bool:
        return self.method not in ("", "GET")


@dataclass(frozen=True)
class Sent:
    """A call and its answer; `status` is None where none came, so that nobody knows what happened.

    `took` is real seconds, `at` the virtual instant before the call, `answer` the JSON (without
    an answer, what went wrong).
    """

    route: str
    status: int | None
    took: float
    request: Call
    answer: Any
    at: datetime

    @property
    def acknowledged(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def unknown(self) -> bool:
        """Whether a write may have happened and may not: no answer, or a server's error."""
        return self.status is None or self.status >= 500
