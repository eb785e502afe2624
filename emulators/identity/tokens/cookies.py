"""Session cookies: a longer life for a sign-in, kept by the browser and checked by the server.

Source: https://firebase.google.com/docs/auth/admin/manage-cookies
"""

from datetime import timedelta
from typing import Any

from emulators.identity.directory import Directory
from emulators.identity.routing import Call, Route, for_admins
from emulators.identity.wire import Refused

SHORTEST, LONGEST = 5 * 60, 14 * 24 * 3600  # seconds


def routes(directory: Directory) -> list[Route]:
    """`projects:createSessionCookie`, per project and per tenant."""

    def create(call: Call) -> dict[str, Any]:
        """A cookie with the claims of an ID token, signed anew; RS256 as all our tokens."""
        token = call.body.required("idToken", "MISSING_ID_TOKEN")
        life = call.body.whole("validDuration") or LONGEST
        if not SHORTEST <= life <= LONGEST:
            raise Refused("INVALID_DURATION")
        _, claims = directory.account_of(call.silo, token)
        told = {name: value for name, value in claims.items() if name not in ("iat", "exp")}
        told["iss"] = f"https://session.firebase.google.com/{call.silo.project}"
        cookie = directory.ground.tokens.sign(told, timedelta(seconds=life))
        return {"sessionCookie": cookie}

    return for_admins(":createSessionCookie", create)
