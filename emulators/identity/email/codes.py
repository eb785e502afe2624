"""Out-of-band codes: what the links of the platform's e-mails carry."""

import json
import secrets
from dataclasses import asdict, dataclass
from typing import Any

from emulators.engine import Ground
from emulators.identity.silo import Silo
from emulators.identity.wire import Refused
from emulators.journal import Journal

_HOUR = 3600
LIVES = {
    "PASSWORD_RESET": _HOUR,
    "EMAIL_SIGNIN": 6 * _HOUR,
    "VERIFY_EMAIL": 72 * _HOUR,
    "VERIFY_AND_CHANGE_EMAIL": 72 * _HOUR,
    "RECOVER_EMAIL": 30 * 24 * _HOUR,
}
"""Virtual seconds until a code expires, by the kind of request. Google documents that codes
expire, but no figures; these are what its service is observed to do."""

MODES = {
    "PASSWORD_RESET": "resetPassword",
    "EMAIL_SIGNIN": "signIn",
    "VERIFY_EMAIL": "verifyEmail",
    "VERIFY_AND_CHANGE_EMAIL": "verifyAndChangeEmail",
    "RECOVER_EMAIL": "recoverEmail",
}
"""The `mode` of links, by the kind of request."""


@dataclass(frozen=True)
class OobCode:
    """One code, good once. `expires_at` is in virtual seconds since the epoch."""

    code: str
    request: str
    project: str
    tenant: str
    email: str
    new_email: str
    expires_at: float
    link: str

    def described(self) -> dict[str, Any]:
        """As the official emulator lists codes."""
        new = {"newEmail": self.new_email} if self.new_email else {}
        return {
            "email": self.email,
            "requestType": self.request,
            "oobCode": self.code,
            "oobLink": self.link,
            **new,
        }


class Codes:
    """The codes that have not been used; durable when a method returns."""

    def __init__(self, ground: Ground, journal: Journal) -> None:
        self._ground = ground
        self._journal = journal
        kept = [OobCode(**json.loads(value)) for _, value in journal.items("oob/")]
        kept.sort(key=lambda code: code.expires_at)
        self._codes = {code.code: code for code in kept}

    def issue(self, silo: Silo, request: str, email: str, new_email: str, link: str) -> OobCode:
        """A new code, of which `link` (with `{code}` in it) tells the person."""
        self._sweep()
        text = secrets.token_urlsafe(40)
        code = OobCode(
            code=text,
            request=request,
            project=silo.project,
            tenant=silo.tenant,
            email=email,
            new_email=new_email,
            expires_at=self._ground.clock.time() + LIVES[request],
            link=link.format(code=text),
        )
        self._journal.put(f"oob/{text}", json.dumps(asdict(code)).encode())
        self._codes[text] = code
        return code

    def find(self, text: str, *requests: str) -> OobCode:
        """The code; raises `Refused` when it is unknown or used, expired, or of another kind."""
        code = self._codes.get(text)
        if code is None or (requests and code.request not in requests):
            raise Refused("INVALID_OOB_CODE")
        if code.expires_at <= self._ground.clock.time():
            raise Refused("EXPIRED_OOB_CODE")
        return code

    def spend(self, code: OobCode) -> None:
        self._journal.delete(f"oob/{code.code}")
        self._codes.pop(code.code, None)

    def of(self, silo: Silo) -> list[OobCode]:
        """Those of one silo that are still good, in the order they were made."""
        now = self._ground.clock.time()
        place = (silo.project, silo.tenant)
        codes = self._codes.values()
        return [c for c in codes if (c.project, c.tenant) == place and c.expires_at > now]

    def clear(self, silo: Silo) -> None:
        for code in self.of(silo):
            self.spend(code)

    def _sweep(self) -> None:
        """Forget codes that expired over a day ago."""
        long_ago = self._ground.clock.time() - 24 * _HOUR
        for code in [code for code in self._codes.values() if code.expires_at < long_ago]:
            self.spend(code)
