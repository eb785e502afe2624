"""A person's client of the identity engine, and an administrator's, by REST."""

from typing import Any

import httpx
import jwt
from cryptography.x509 import load_pem_x509_certificate

PROJECT = "clinicloop-local"
TOOLKIT = "/identitytoolkit.googleapis.com"
PASSWORD = "correct horse"


class IdentityClient:
    """Calls as a browser's or a server's client makes them."""

    def __init__(self, port: int) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", params={"key": "any"})

    def call(self, verb: str, **body: Any) -> httpx.Response:
        """`accounts:{verb}` of v1."""
        return self.http.post(f"{TOOLKIT}/v1/accounts:{verb}", json=body)

    def factor(self, verb: str, **body: Any) -> httpx.Response:
        """`accounts/{verb}` of v2: `mfaEnrollment:start` and the like."""
        return self.http.post(f"{TOOLKIT}/v2/accounts/{verb}", json=body)

    def admin(self, path: str, method: str = "POST", **body: Any) -> Any:
        """`projects/{project}/{path}`: accounts by v1, all else by v2; answers the body."""
        version = "v1" if "accounts" in path else "v2"
        response = self.http.request(
            method,
            f"{TOOLKIT}/{version}/projects/{PROJECT}/{path}",
            json=body,
            headers={"Authorization": "Bearer owner"},
        )
        assert response.status_code == 200, response.text
        return response.json()

    def codes(self, tenant: str = "") -> list[dict[str, str]]:
        """The texts that wait to be answered, oldest first."""
        place = f"/tenants/{tenant}" if tenant else ""
        answer = self.http.get(f"/emulator/v1/projects/{PROJECT}{place}/verificationCodes")
        codes: list[dict[str, str]] = answer.json()["verificationCodes"]
        return codes

    def code(self, session_info: str, tenant: str = "") -> str:
        """The code of one text."""
        return next(
            text["code"] for text in self.codes(tenant) if text["sessionInfo"] == session_info
        )

    def text(self, number: str) -> dict[str, str]:
        """Ask for a code to sign in with: `sessionInfo` and `code`."""
        session = self.call("sendVerificationCode", phoneNumber=number, recaptchaToken="t").json()
        return {
            "sessionInfo": session["sessionInfo"],
            "code": self.code(session["sessionInfo"]),
        }

    def person(self, email: str = "jane@example.org", **fields: Any) -> dict[str, Any]:
        """A person with a verified address, signed in by password."""
        signed_up = self.call("signUp", email=email, password=PASSWORD, **fields).json()
        self.admin("accounts:update", localId=signed_up["localId"], emailVerified=True)
        signed: dict[str, Any] = signed_up
        return signed

    def sign_in(self, email: str = "jane@example.org", **fields: Any) -> dict[str, Any]:
        answer = self.call("signInWithPassword", email=email, password=PASSWORD, **fields)
        assert answer.status_code == 200, answer.text
        signed: dict[str, Any] = answer.json()
        return signed

    def refresh(self, token: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return self.http.post("/securetoken.googleapis.com/v1/token", data=form)

    def account(self, local_id: str) -> dict[str, Any]:
        users: list[dict[str, Any]] = self.admin("accounts:lookup", localId=[local_id])["users"]
        return users[0]

    def claims(self, token: str) -> dict[str, Any]:
        """The claims, the signature checked against the published certificate."""
        pem = self.http.get("/certs").json()[jwt.get_unverified_header(token)["kid"]]
        key: Any = load_pem_x509_certificate(pem.encode()).public_key()
        options: Any = {"verify_exp": False, "verify_iat": False}
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=["RS256"], audience=PROJECT, options=options
        )
        return claims


def refusal(response: httpx.Response) -> str:
    """The API's code of a refusal, whose documented shape is checked."""
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["code"] == 400
    assert error["errors"][0]["message"] == error["message"]
    return str(error["message"])
