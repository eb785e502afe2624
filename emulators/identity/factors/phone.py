"""Codes by SMS, and signing in with them: `accounts:sendVerificationCode` and what follows.

The texts are not sent: they lie in the engine's in-box and, while they are good, under
`/emulator/v1/projects/{project}/verificationCodes`.
"""

import hmac
import re
import secrets
from dataclasses import replace
from typing import Any

from emulators.identity.accounts.account import Account, checked_phone
from emulators.identity.directory import Directory
from emulators.identity.factors.factor import is_phone
from emulators.identity.factors.tickets import Ticket, Tickets
from emulators.identity.routing import EMULATOR, V1, V2, Access, Call, Route, for_people
from emulators.identity.silo import Silo
from emulators.identity.tokens.sessions import FirstFactor
from emulators.identity.wire import Body, Refused

LIFE = 600  # seconds a code is good; Google documents no figure
_CODE = re.compile(r"[0-9]{6}")
PROOF_LIFE = 3600  # seconds, the `temporaryProofExpiresIn` of the API's answers
WITH_FACTORS = (
    "UNSUPPORTED_FIRST_FACTOR : A phone number cannot be set as a first factor on an SMS based "
    "MFA user."
)


class Texts:
    """The codes sent by SMS. A test phone number of the configuration has its own code, no SMS."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._tickets = Tickets(
            directory.ground,
            directory.journal,
            "sms",
            LIFE,
            unknown="INVALID_SESSION_INFO",
            over="SESSION_EXPIRED",
        )

    def send(self, silo: Silo, number: str, wording: str) -> str:
        """Send a new code in `wording` (which names it `{code}`); answers the session's info."""
        known = silo.settings.test_phone_numbers.get(number)
        code = known or f"{self._directory.ground.random.randrange(1_000_000):06}"
        ticket = self._tickets.issue(silo=silo.key, phoneNumber=number, code=code)
        if known is None:
            message = {"kind": "sms", "to": number, "text": wording.format(code=code), "code": code}
            self._directory.send(silo, message)
        self._directory.ground.agenda.touch()
        return ticket.token

    def verified(self, silo: Silo, info: Body) -> Ticket:
        """The text whose code `info` repeats; to be spent once the operation is sure to succeed.

        Raises `Refused`: MISSING_SESSION_INFO, MISSING_CODE, INVALID_SESSION_INFO,
        SESSION_EXPIRED (also when used before), INVALID_CODE.
        """
        session = info.required("sessionInfo", "MISSING_SESSION_INFO")
        code = info.required("code", "MISSING_CODE")
        ticket = self._tickets.valid(session)
        if ticket.fields["silo"] != silo.key:
            raise Refused("INVALID_SESSION_INFO")
        if not hmac.compare_digest(str(ticket.fields["code"]).encode(), code.encode()):
            raise Refused("INVALID_CODE")
        return ticket

    def spend(self, ticket: Ticket) -> None:
        self._tickets.spend(ticket)

    def pending(self, call: Call) -> dict[str, Any]:
        """The codes that have not been used, oldest first."""
        codes = [
            {
                "phoneNumber": ticket.fields["phoneNumber"],
                "sessionInfo": ticket.token,
                "code": ticket.fields["code"],
            }
            for ticket in self._tickets.pending()
            if ticket.fields["silo"] == call.silo.key
        ]
        return {"verificationCodes": codes}


class PhoneSignIn:
    """The phone number as first factor. Tenants do not have it."""

    def __init__(self, directory: Directory, texts: Texts) -> None:
        self._directory = directory
        self._texts = texts
        self._proofs = Tickets(
            directory.ground,
            directory.journal,
            "proof",
            PROOF_LIFE,
            unknown="INVALID_TEMPORARY_PROOF",
            over="INVALID_TEMPORARY_PROOF",
        )

    def send_code(self, call: Call) -> dict[str, Any]:
        _need_project(call.silo)
        number = checked_phone(call.body.text("phoneNumber"))
        owner = call.silo.accounts.by_phone(number)
        if owner is not None and owner.mfa:
            raise Refused(WITH_FACTORS)
        wording = "{code} is your verification code."
        return {"sessionInfo": self._texts.send(call.silo, number, wording)}

    def sign_in(self, call: Call) -> dict[str, Any]:
        """Sign in, sign up, or link the number to the account of `idToken`.

        When the number is another account's, the answer is a temporary proof of it instead, with
        which the person may sign in to that account without a further code.
        """
        _need_project(call.silo)
        number, text = self._proven(call)
        owner = call.silo.accounts.by_phone(number)
        account = owner
        if call.body.text("idToken"):
            account, _ = self._directory.account_of(call.silo, call.body.text("idToken"))
            if owner is not None and owner.local_id != account.local_id:
                return self._taken(number, text)
        elif owner is None and call.body.text("operation") == "REAUTH":
            raise Refused("USER_NOT_FOUND")
        if account is not None and account.disabled:
            raise Refused("USER_DISABLED")
        if account is not None and account.mfa:
            raise Refused(WITH_FACTORS)
        return self._signed_in(call.silo, account, number, text)

    def _signed_in(
        self, silo: Silo, account: Account | None, number: str, text: Ticket | None
    ) -> dict[str, Any]:
        known = account or self._directory.new_account(secrets.token_urlsafe(21))
        with self._directory.journal.batch():
            if text is not None:
                self._texts.spend(text)
            signed_in = self._directory.sign_in(
                silo, replace(known, phone_number=number), FirstFactor("phone")
            )
        return {"isNewUser": account is None, "phoneNumber": number, **signed_in}

    def _proven(self, call: Call) -> tuple[str, Ticket | None]:
        """The number that a code or a temporary proof shows to be the caller's."""
        if not (proof := call.body.text("temporaryProof")):
            text = self._texts.verified(call.silo, call.body)
            return str(text.fields["phoneNumber"]), text
        number = call.body.required("phoneNumber", "MISSING_PHONE_NUMBER")
        if self._proofs.valid(proof).fields != {"silo": call.silo.key, "phoneNumber": number}:
            raise Refused("INVALID_TEMPORARY_PROOF")
        return number, None

    def _taken(self, number: str, text: Ticket | None) -> dict[str, Any]:
        if text is None:
            raise Refused("PHONE_NUMBER_EXISTS")
        with self._directory.journal.batch():
            self._texts.spend(text)
            proof = self._proofs.issue(silo=text.fields["silo"], phoneNumber=number)
        return {
            "phoneNumber": number,
            "temporaryProof": proof.token,
            "temporaryProofExpiresIn": str(PROOF_LIFE),
        }


def routes(directory: Directory, texts: Texts) -> list[Route]:
    phone = PhoneSignIn(directory, texts)
    codes = f"{EMULATOR}/projects/{{project}}"
    return [
        for_people("sendVerificationCode", phone.send_code),
        for_people("signInWithPhoneNumber", phone.sign_in),
        Route("GET", f"{V1}/recaptchaParams", _recaptcha_parameters),
        Route("GET", f"{V2}/recaptchaConfig", _recaptcha_configuration),
        *(
            Route("GET", f"{place}/verificationCodes", texts.pending, Access.OPEN)
            for place in (codes, codes + "/tenants/{tenant}")
        ),
    ]


def check_test_numbers(numbers: dict[str, Any]) -> None:
    """Raises `Refused` unless it maps phone numbers to codes of six digits."""
    for number, code in numbers.items():
        if not is_phone(number) or not isinstance(code, str) or not _CODE.fullmatch(code):
            raise Refused("INVALID_TESTING_PHONE_NUMBER", status="INVALID_ARGUMENT")


def _need_project(silo: Silo) -> None:
    if silo.settings.disabled:
        raise Refused("PROJECT_DISABLED")
    if silo.tenant:
        raise Refused("UNSUPPORTED_TENANT_OPERATION")
    if not silo.settings.phone:
        raise Refused("OPERATION_NOT_ALLOWED")


def _recaptcha_parameters(_: Call) -> dict[str, Any]:
    """Nobody has to prove to be human here; clients ask all the same."""
    return {
        "kind": "identitytoolkit#GetRecaptchaParamResponse",
        "recaptchaStoken": "not-asked-for-locally",
        "recaptchaSiteKey": "not-asked-for-locally",
    }


def _recaptcha_configuration(call: Call) -> dict[str, Any]:
    key = f"projects/{call.silo.project}/keys/not-asked-for-locally"
    return {"recaptchaKey": key, "recaptchaEnforcementState": []}
