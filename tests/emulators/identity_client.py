"""A person's client of the identity engine, and an administrator's, by REST."""

from typing import Any

import httpx
import jwt
from cryptography.x509 import load_pem_x509_certificate

from emulators.identity.factors import totp
from tests.emulators.conftest import Loop

PROJECT = "clinicloop-local"
TOOLKIT = "/identitytoolkit.googleapis.com"
PASSWORD = "correct horse"
EMAIL = "jane@example.org"
OTHER_EMAIL = "ann@example.org"
OWNER = {"Authorization": "Bearer owner"}
NUMBER = "+15555550100"
OTHER = "+15555550101"


class IdentityClient:
    """Calls as a browser's or a server's client makes them."""

    def __init__(self, port: int) -> None:
        # not as a parameter: httpx would drop the query of addresses for it
        key = {"X-Goog-Api-Key": "any"}
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=key)

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
            headers=OWNER,
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

    def sign_up(self, email: str = EMAIL, **fields: Any) -> dict[str, Any]:
        answer = self.call("signUp", email=email, password=PASSWORD, **fields)
        assert answer.status_code == 200, answer.text
        signed: dict[str, Any] = answer.json()
        return signed

    def person(self, email: str = EMAIL, **fields: Any) -> dict[str, Any]:
        """A person with a verified address, signed in by password."""
        signed = self.sign_up(email, **fields)
        self.admin("accounts:update", localId=signed["localId"], emailVerified=True)
        return signed

    def sign_in(self, email: str = EMAIL, **fields: Any) -> dict[str, Any]:
        answer = self.call("signInWithPassword", email=email, password=PASSWORD, **fields)
        assert answer.status_code == 200, answer.text
        signed: dict[str, Any] = answer.json()
        return signed

    def code_for(self, request_type: str, **body: Any) -> str:
        """The code of a link that an administrator gets in place of an e-mail."""
        told = self.admin(
            "accounts:sendOobCode", requestType=request_type, returnOobLink=True, **body
        )
        return str(told["oobCode"])

    def protect_addresses(self, on: bool) -> None:
        """Turn the project's e-mail enumeration protection on or off."""
        change = {"emailPrivacyConfig": {"enableImprovedEmailPrivacy": on}}
        path = f"/emulator/v1/projects/{PROJECT}/config"
        self.http.patch(path, json=change).raise_for_status()

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


class FactorClient(IdentityClient):
    """A person's client that answers challenges, on the engine's virtual clock."""

    def __init__(self, port: int, loop: Loop) -> None:
        super().__init__(port)
        self.loop = loop

    def app_code(self, secret: str, late: int = 0) -> str:
        """What the authenticator app shows now, or `late` periods ago."""
        return totp.code_at(secret, int(self.loop.ground.clock.time()) // 30 - late)

    def next_code(self, secret: str) -> str:
        """What the app shows when the present code is over."""
        self.loop.advance(seconds=30)
        return self.app_code(secret)

    def enrol_phone(self, token: str, number: str = NUMBER, **fields: Any) -> dict[str, Any]:
        start = self.factor(
            "mfaEnrollment:start", idToken=token, phoneEnrollmentInfo={"phoneNumber": number}
        )
        session = start.json()["phoneSessionInfo"]["sessionInfo"]
        info = {"sessionInfo": session, "code": self.code(session)}
        return self.answered(
            self.factor(
                "mfaEnrollment:finalize", idToken=token, phoneVerificationInfo=info, **fields
            )
        )

    def start_app(self, token: str) -> dict[str, Any]:
        start = self.factor("mfaEnrollment:start", idToken=token, totpEnrollmentInfo={})
        session: dict[str, Any] = self.answered(start)["totpSessionInfo"]
        return session

    def finish_app(
        self, token: str, session: dict[str, Any], code: str, **fields: Any
    ) -> httpx.Response:
        info = {"sessionInfo": session["sessionInfo"], "verificationCode": code}
        return self.factor(
            "mfaEnrollment:finalize", idToken=token, totpVerificationInfo=info, **fields
        )

    def enrol_app(self, token: str, **fields: Any) -> tuple[str, dict[str, Any]]:
        """The secret and the answer."""
        session = self.start_app(token)
        secret = str(session["sharedSecretKey"])
        done = self.finish_app(token, session, self.app_code(secret), **fields)
        return secret, self.answered(done)

    def answer_app(self, pending: dict[str, Any], code: str, factor: int = 0) -> httpx.Response:
        return self.factor(
            "mfaSignIn:finalize",
            mfaPendingCredential=pending["mfaPendingCredential"],
            mfaEnrollmentId=pending["mfaInfo"][factor]["mfaEnrollmentId"],
            totpVerificationInfo={"verificationCode": code},
        )

    def text_of(self, pending: dict[str, Any], factor: int = 0) -> dict[str, str]:
        """Ask for a text to the chosen phone: `sessionInfo` and `code`."""
        start = self.factor(
            "mfaSignIn:start",
            mfaPendingCredential=pending["mfaPendingCredential"],
            mfaEnrollmentId=pending["mfaInfo"][factor]["mfaEnrollmentId"],
            phoneSignInInfo={"recaptchaToken": "t"},
        )
        session = self.answered(start)["phoneResponseInfo"]["sessionInfo"]
        return {"sessionInfo": session, "code": self.code(session)}

    def answer_phone(self, pending: dict[str, Any], text: dict[str, str]) -> httpx.Response:
        return self.factor(
            "mfaSignIn:finalize",
            mfaPendingCredential=pending["mfaPendingCredential"],
            phoneVerificationInfo=text,
        )

    def configure(self, **mfa: Any) -> None:
        self.admin("config?updateMask=mfa", "PATCH", mfa=mfa)

    @staticmethod
    def answered(response: httpx.Response) -> dict[str, Any]:
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body


def claims_in(token: str) -> dict[str, Any]:
    """What a token says, whoever signed it, or nobody."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def refusal(response: httpx.Response) -> str:
    """The API's code of a refusal, whose documented shape is checked."""
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["code"] == 400
    assert error["errors"][0]["message"] == error["message"]
    return str(error["message"])
