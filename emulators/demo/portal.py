"""A portal's side of the journey: people sign up, sign in and call the HTTPS API."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

_KEY = {"key": "local-web-key"}
_PASSWORD = "correct horse battery staple"  # noqa: S105 -- of invented people


class PortalError(Exception):
    """The API or Identity Platform refused; the message says what was asked and the answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Person:
    """Somebody with an account; `token` is their ID token, good for an hour of virtual time."""

    email: str
    clinic_id: str
    token: str = ""
    id: str = ""


@dataclass
class Portal:
    """HTTP clients of Identity Platform and of portal_api on the local cloud."""

    environment: dict[str, str]
    host: str
    http: httpx.Client = field(
        default_factory=lambda: httpx.Client(
            timeout=30, limits=httpx.Limits(max_connections=32, max_keepalive_connections=32)
        )
    )

    def _identity(self, path: str, body: dict[str, Any], owner: bool = False) -> Any:
        base = f"http://{self.environment['FIREBASE_AUTH_EMULATOR_HOST']}"
        headers = {"Authorization": "Bearer owner"} if owner else {}
        url = f"{base}/identitytoolkit.googleapis.com/v1/{path}"
        return _answer(self.http.post(url, json=body, params=_KEY, headers=headers))

    def sign_up(self, person: Person) -> None:
        """Make an account and sign in."""
        body = {"email": person.email, "password": _PASSWORD, "returnSecureToken": True}
        person.token = self._identity("accounts:signUp", body)["idToken"]

    def sign_in(self, person: Person) -> None:
        body = {"email": person.email, "password": _PASSWORD, "returnSecureToken": True}
        person.token = self._identity("accounts:signInWithPassword", body)["idToken"]

    def appoint(self, person: Person, role: str) -> None:
        """Make an account with a role in its clinic, as an operator of the project does."""
        project = self.environment["GOOGLE_CLOUD_PROJECT"]
        account = {"email": person.email, "password": _PASSWORD}
        made = self._identity(f"projects/{project}/accounts", account, owner=True)
        claims = json.dumps({"role": role, "clinicId": person.clinic_id})
        change = {"localId": made["localId"], "customAttributes": claims}
        self._identity(f"projects/{project}/accounts:update", change, owner=True)
        self.sign_in(person)

    def send(self, person: Person, method: str, path: str, body: Any = None) -> httpx.Response:
        """Call the API as `person` in their clinic; whatever it answers."""
        url = f"{self.host}/portal_api/v1/clinics/{person.clinic_id}{path}"
        headers = {"Authorization": f"Bearer {person.token}"}
        return self.http.request(method, url, json=body, headers=headers)

    def call(self, person: Person, method: str, path: str, body: Any = None) -> Any:
        """Call the API as `person` in their clinic; answers the JSON. Raises `PortalError`."""
        return _answer(self.send(person, method, path, body))

    def close(self) -> None:
        self.http.close()


def _answer(response: httpx.Response) -> Any:
    if response.is_error:
        asked = f"{response.request.method} {response.request.url.path}"
        message = f"{asked}: {response.status_code} {response.text[:300]}"
        raise PortalError(message, response.status_code)
    return response.json() if response.content else None
