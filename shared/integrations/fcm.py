"""Push messages by Firebase Cloud Messaging's HTTP v1 API.

FCM cannot be asked what it took. A message that is sent twice carries the same tag and collapse id
both times, so that the device shows it once: that is what repeating a call relies on.
https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
"""

from datetime import datetime
from functools import cached_property
from typing import Any

import httpx

from shared.domains.notifications.ports import Envelope
from shared.integrations.vendor_call import HOOKS, TIMEOUT, by_status, calling
from shared.platform.settings import Settings, load

VENDOR = "fcm"
_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"


class FcmSettings(Settings):
    """An FCM_URL without TLS is a local one; it takes any token."""

    fcm_url: str = "https://fcm.googleapis.com"
    google_cloud_project: str


class Fcm:
    """The sender of push messages."""

    name = VENDOR

    def __init__(self) -> None:
        self._settings = load(FcmSettings)

    @cached_property
    def _http(self) -> httpx.Client:
        return httpx.Client(base_url=self._settings.fcm_url, timeout=TIMEOUT, event_hooks=HOOKS)

    def close(self) -> None:
        self._http.close()

    def send(self, envelope: Envelope) -> str:
        tag = str(envelope.message_id)
        message = {
            "token": envelope.to.reveal(),
            "notification": {"title": envelope.subject, "body": envelope.text},
            "data": {"message_id": tag},
            "android": {"notification": {"tag": tag}},
            "apns": {"headers": {"apns-collapse-id": tag}},
            "webpush": {"notification": {"tag": tag}},
        }
        path = f"/v1/projects/{self._settings.google_cloud_project}/messages:send"
        with calling(VENDOR):
            headers = {"Authorization": f"Bearer {self._token()}"}
            answer = self._http.post(path, json={"message": message}, headers=headers)
            if error := by_status(VENDOR, answer.status_code):
                raise error
            return str(answer.json()["name"])

    def find(self, envelope: Envelope, called_at: datetime) -> str | None:  # noqa: ARG002
        """Always None: see the module."""
        return None

    def _token(self) -> str:
        if self._settings.fcm_url.startswith("http://"):
            return "local"
        from google.auth.transport.requests import Request

        if not self._credentials.valid:
            self._credentials.refresh(Request())
        return str(self._credentials.token)

    @cached_property
    def _credentials(self) -> Any:
        import google.auth

        return google.auth.default(scopes=[_SCOPE])[0]
