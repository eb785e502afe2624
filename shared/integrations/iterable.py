"""Iterable by its JSON API (https://api.iterable.com/api/docs). People are ids, never addresses.

An event sent again under its `id` replaces the first. Triggering a workflow by
`workflows/triggerWorkflow` has no such id and would start it twice; so a workflow is started by the
custom event that it waits for (its entry trigger in Iterable), which has one.
"""

import httpx

from shared.integrations.vendor_call import HOOKS, TIMEOUT, by_status, calling
from shared.platform.settings import Settings, load

VENDOR = "iterable"


class IterableSettings(Settings):
    iterable_url: str = "https://api.iterable.com"
    iterable_api_key: str


class Iterable:
    """The marketing platform."""

    def __init__(self) -> None:
        settings = load(IterableSettings)
        headers = {"Api-Key": settings.iterable_api_key}
        self._http = httpx.Client(
            base_url=f"{settings.iterable_url}/api",
            headers=headers,
            timeout=TIMEOUT,
            event_hooks=HOOKS,
        )

    def close(self) -> None:
        self._http.close()

    def track(self, user_id: str, event: str, key: str, data: dict[str, str | int]) -> None:
        """Record a custom event of a person; the same `key` again changes nothing."""
        body = {"userId": user_id, "eventName": event, "id": key, "dataFields": data}
        with calling(VENDOR):
            answer = self._http.post("/events/track", json=body)
            if error := by_status(VENDOR, answer.status_code):
                raise error

    def start_workflow(self, user_id: str, workflow: str, key: str) -> None:
        """Record the event `<workflow>_started`, on which the workflow of that name begins."""
        self.track(user_id, f"{workflow}_started", key, {"workflow": workflow})
