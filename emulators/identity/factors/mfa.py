"""Second factors: enrolling, withdrawing and signing in with them, by SMS or authenticator app.

Source: Identity Toolkit v2, `accounts.mfaEnrollment` and `accounts.mfaSignIn`;
https://cloud.google.com/identity-platform/docs/admin/enabling-totp-mfa
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from emulators.clock import micros
from emulators.identity.accounts.account import Account, checked_phone, timestamp
from emulators.identity.directory import Directory
from emulators.identity.factors import phone, totp
from emulators.identity.factors.factor import Factor, added, new_id
from emulators.identity.factors.phone import Texts
from emulators.identity.factors.rules import Rules
from emulators.identity.factors.tickets import Ticket, Tickets
from emulators.identity.routing import V2, Call, Route
from emulators.identity.silo import Silo
from emulators.identity.tokens.sessions import FirstFactor
from emulators.identity.wire import Body, Refused

LIFE = 600  # seconds for the next step of an enrolment or a sign-in; Google documents no figure
_RECENT = 300  # seconds since the sign-in within which factors may be changed
_INELIGIBLE = frozenset({"anonymous", "phone", "custom", "gc.apple.com"})
_NO_FACTOR_NAMED = "MISSING_MFA_ENROLLMENT_ID : No second factor identifier is provided."


class SecondFactors:
    """Each method takes a call and answers the response's body."""

    def __init__(self, directory: Directory, texts: Texts) -> None:
        self._directory = directory
        self._texts = texts
        invalid = "INVALID_MFA_PENDING_CREDENTIAL"
        self._pending = self._tickets("pending", invalid, invalid)
        self._secrets = self._tickets("totp", "INVALID_SESSION_INFO", "SESSION_EXPIRED")
        directory.challenges.append(self.challenge)

    def challenge(self, silo: Silo, account: Account, first: FirstFactor) -> dict[str, Any] | None:
        """What is sent instead of tokens to a person with second factors, None without any."""
        if not account.mfa or first.provider in _INELIGIBLE:
            return None
        if not Rules.of(silo.settings.mfa).asked:
            return None
        ticket = self._pending.issue(silo=silo.key, localId=account.local_id, first=asdict(first))
        return {
            "mfaPendingCredential": ticket.token,
            "mfaInfo": [factor.hinted() for factor in account.mfa],
        }

    def start_enrollment(self, call: Call) -> dict[str, Any]:
        kind = "totp" if call.body.has("totpEnrollmentInfo") else "phone"
        _need(call.silo, kind)
        account, _ = self._enrolling(call)
        if kind == "totp":
            return {"totpSessionInfo": self._new_secret(call.silo, account)}
        if not call.body.has("phoneEnrollmentInfo"):
            raise Refused("INVALID_ARGUMENT : ((Missing phoneEnrollmentInfo.))")
        number = checked_phone(call.body.child("phoneEnrollmentInfo").text("phoneNumber"))
        added(account.mfa, Factor("", "", phone=number))
        wording = "{code} is your code to add this phone to your account."
        return {"phoneSessionInfo": {"sessionInfo": self._texts.send(call.silo, number, wording)}}

    def finalize_enrollment(self, call: Call) -> dict[str, Any]:
        """Enrol the factor. Earlier sign-ins of the account are revoked."""
        kind = "totp" if call.body.has("totpVerificationInfo") else "phone"
        _need(call.silo, kind)
        account, claims = self._enrolling(call)
        if kind == "totp":
            factor, spend = self._app(call, account)
        else:
            factor, spend = self._phone(call)
        account = replace(
            account,
            mfa=added(account.mfa, factor),
            valid_since=int(self._directory.ground.clock.time()),
        )
        with self._directory.journal.batch():
            spend()
            tokens = self._tokens(call.silo, account, _first(claims), factor)
            self._notify(call.silo, account, factor, "added to")
        return tokens | {"totpAuthInfo" if kind == "totp" else "phoneAuthInfo": {}}

    def withdraw(self, call: Call) -> dict[str, Any]:
        """Remove a factor. Sign-ins are not revoked; the new token names the factor no more."""
        if call.silo.settings.disabled:
            raise Refused("PROJECT_DISABLED")
        account, claims = self._signed_in(call)
        wanted = call.body.required("mfaEnrollmentId", _NO_FACTOR_NAMED)
        factor = _found(account, wanted)
        self._need_recent(claims)
        kept = [other for other in account.mfa or () if other != factor]
        used = claims["firebase"].get("second_factor_identifier")
        still = next((other for other in kept if other.enrollment_id == used), None)
        account = replace(account, mfa=kept)
        with self._directory.journal.batch():
            tokens = self._tokens(call.silo, account, _first(claims), still)
            self._notify(call.silo, account, factor, "removed from")
        return tokens

    def start_sign_in(self, call: Call) -> dict[str, Any]:
        """Send a code to the phone that the person chose of those in `mfaInfo`."""
        _need(call.silo, "phone")
        credential = call.body.required(
            "mfaPendingCredential",
            "MISSING_MFA_PENDING_CREDENTIAL : Request does not have MFA pending credential.",
        )
        wanted = call.body.required("mfaEnrollmentId", _NO_FACTOR_NAMED)
        account, _ = self._half_signed_in(call.silo, credential)
        factor = _found(account, wanted)
        if not factor.phone:
            raise Refused("INVALID_ARGUMENT : MFA provider not supported!")
        wording = "{code} is your code to sign in."
        session = self._texts.send(call.silo, factor.phone, wording)
        return {"phoneResponseInfo": {"sessionInfo": session}}

    def finalize_sign_in(self, call: Call) -> dict[str, Any]:
        """Sign in. The pending credential counts once; after a wrong code it is still good."""
        kind = "totp" if call.body.has("totpVerificationInfo") else "phone"
        _need(call.silo, kind)
        credential = call.body.required(
            "mfaPendingCredential", "MISSING_CREDENTIAL : Please set MFA Pending Credential."
        )
        account, ticket = self._half_signed_in(call.silo, credential)
        if kind == "totp":
            factor, spend = self._code_of_app(call, account)
        else:
            factor, spend = self._code_of_phone(call, account)
        others = [
            factor if other.enrollment_id == factor.enrollment_id else other
            for other in account.mfa or ()
        ]
        with self._directory.journal.batch():
            spend()
            self._pending.spend(ticket)
            first = FirstFactor(**ticket.fields["first"])
            return self._tokens(call.silo, replace(account, mfa=others), first, factor)

    def _tickets(self, kind: str, unknown: str, over: str) -> Tickets:
        directory = self._directory
        return Tickets(directory.ground, directory.journal, kind, LIFE, unknown, over)

    def _signed_in(self, call: Call) -> tuple[Account, dict[str, Any]]:
        token = call.body.required("idToken", "MISSING_ID_TOKEN")
        return self._directory.account_of(call.silo, token)

    def _enrolling(self, call: Call) -> tuple[Account, dict[str, Any]]:
        """Who may enrol: a person of verified e-mail, after a recent sign-in fit for a second."""
        account, claims = self._signed_in(call)
        if claims["firebase"]["sign_in_provider"] in _INELIGIBLE:
            raise Refused(
                "UNSUPPORTED_FIRST_FACTOR : MFA is not available for the given first factor."
            )
        if not account.email_verified:
            raise Refused(
                "UNVERIFIED_EMAIL : Need to verify email first before enrolling second factors."
            )
        self._need_recent(claims)
        return account, claims

    def _need_recent(self, claims: dict[str, Any]) -> None:
        if self._directory.ground.clock.time() - int(claims["auth_time"]) > _RECENT:
            raise Refused("CREDENTIAL_TOO_OLD_LOGIN_AGAIN")

    def _new_secret(self, silo: Silo, account: Account) -> dict[str, Any]:
        added(account.mfa, Factor("", ""))
        secret = totp.new_secret()
        ticket = self._secrets.issue(silo=silo.key, localId=account.local_id, secret=secret)
        return {
            "sharedSecretKey": secret,
            "verificationCodeLength": totp.DIGITS,
            "hashingAlgorithm": totp.ALGORITHM,
            "periodSec": totp.PERIOD,
            "sessionInfo": ticket.token,
            "finalizeEnrollmentTime": timestamp(ticket.expires_at // 1000),
        }

    def _phone(self, call: Call) -> tuple[Factor, Callable[[], None]]:
        if not call.body.has("phoneVerificationInfo"):
            raise Refused("INVALID_ARGUMENT : ((Missing phoneVerificationInfo.))")
        text = self._texts.verified(call.silo, call.body.child("phoneVerificationInfo"))
        factor = Factor(
            new_id(),
            self._now(),
            call.body.text("displayName"),
            phone=str(text.fields["phoneNumber"]),
        )
        return factor, lambda: self._texts.spend(text)

    def _app(self, call: Call, account: Account) -> tuple[Factor, Callable[[], None]]:
        info = call.body.child("totpVerificationInfo")
        ticket = self._secrets.valid(info.required("sessionInfo", "MISSING_SESSION_INFO"))
        owner = {"silo": call.silo.key, "localId": account.local_id}
        if {name: ticket.fields[name] for name in owner} != owner:
            raise Refused("INVALID_SESSION_INFO")
        new = Factor(
            new_id(),
            self._now(),
            call.body.text("displayName"),
            secret=str(ticket.fields["secret"]),
        )
        return self._used(call.silo, new, info), lambda: self._secrets.spend(ticket)

    def _code_of_phone(self, call: Call, account: Account) -> tuple[Factor, Callable[[], None]]:
        if not call.body.has("phoneVerificationInfo"):
            raise Refused("INVALID_ARGUMENT : MFA provider not supported!")
        text = self._texts.verified(call.silo, call.body.child("phoneVerificationInfo"))
        for factor in account.mfa or ():
            if factor.phone and factor.phone == text.fields["phoneNumber"]:
                return factor, lambda: self._texts.spend(text)
        raise Refused("MFA_ENROLLMENT_NOT_FOUND")

    def _code_of_app(self, call: Call, account: Account) -> tuple[Factor, Callable[[], None]]:
        wanted = call.body.required("mfaEnrollmentId", _NO_FACTOR_NAMED)
        factor = _found(account, wanted)
        if not factor.secret:
            raise Refused("INVALID_ARGUMENT : MFA provider not supported!")
        info = call.body.child("totpVerificationInfo")
        return self._used(call.silo, factor, info), lambda: None

    def _used(self, silo: Silo, factor: Factor, info: Body) -> Factor:
        """The factor after its code was accepted; raises `Refused` when it is not."""
        code = info.required("verificationCode", "MISSING_CODE")
        now = self._directory.ground.clock.time()
        adjacent = Rules.of(silo.settings.mfa).adjacent
        step = totp.accepted_step(factor.secret, code, now, adjacent, factor.last_step)
        if step is None:
            raise Refused("INVALID_CODE")
        return replace(factor, last_step=step)

    def _half_signed_in(self, silo: Silo, credential: str) -> tuple[Account, Ticket]:
        """Who passed the first factor; not if the account's sign-ins were revoked meanwhile."""
        ticket = self._pending.valid(credential)
        if ticket.fields["silo"] != silo.key:
            raise Refused("INVALID_PROJECT_ID : Project ID does not match MFA pending credential.")
        account = silo.accounts.by_id(str(ticket.fields["localId"]))
        if account is None:
            raise Refused("USER_NOT_FOUND")
        if account.disabled:
            raise Refused("USER_DISABLED")
        if ticket.issued_at // 1_000_000 < account.valid_since:
            raise Refused("INVALID_MFA_PENDING_CREDENTIAL")
        return account, ticket

    def _tokens(
        self, silo: Silo, account: Account, first: FirstFactor, second: Factor | None
    ) -> dict[str, Any]:
        claims = second.claims() if second is not None else None
        admitted = self._directory.admit(silo, account, first, claims)
        return {name: admitted[name] for name in ("idToken", "refreshToken")}

    def _notify(self, silo: Silo, account: Account, factor: Factor, done: str) -> None:
        """Tell the owner of the address, as the platform does of every change of factors."""
        name = factor.display_name or {"phone": "phone", "totp": "authenticator app"}[factor.kind]
        subject = f"A second factor was {done} your account"
        message = {"kind": "email", "to": account.email, "subject": subject, "text": name}
        self._directory.send(silo, message)

    def _now(self) -> str:
        return timestamp(micros(self._directory.ground.clock.now()) // 1000)


def routes(directory: Directory) -> list[Route]:
    """Those of second factors and of the phone as first factor, which send texts the same way."""
    texts = Texts(directory)
    factors = SecondFactors(directory, texts)
    operations = {
        "mfaEnrollment:start": factors.start_enrollment,
        "mfaEnrollment:finalize": factors.finalize_enrollment,
        "mfaEnrollment:withdraw": factors.withdraw,
        "mfaSignIn:start": factors.start_sign_in,
        "mfaSignIn:finalize": factors.finalize_sign_in,
    }
    return [
        *phone.routes(directory, texts),
        *(Route("POST", f"{V2}/accounts/{verb}", op) for verb, op in operations.items()),
    ]


def _need(silo: Silo, kind: str) -> None:
    if silo.settings.disabled:
        raise Refused("PROJECT_DISABLED")
    if not Rules.of(silo.settings.mfa).allow(kind):
        name = "SMS" if kind == "phone" else "TOTP"
        raise Refused(f"OPERATION_NOT_ALLOWED : {name} based MFA not enabled.")


def _found(account: Account, enrollment_id: str) -> Factor:
    for factor in account.mfa or ():
        if factor.enrollment_id == enrollment_id:
            return factor
    raise Refused("MFA_ENROLLMENT_NOT_FOUND")


def _first(claims: dict[str, Any]) -> FirstFactor:
    """The first factor of the sign-in whose token has these claims."""
    firebase = claims["firebase"]
    attributes = firebase.get("sign_in_attributes") or {}
    return FirstFactor(firebase["sign_in_provider"], attributes=attributes)
