"""The API's first version, v3 `relyingparty`, which older client libraries still call."""

from collections.abc import Awaitable
from dataclasses import replace

from emulators.identity.routing import V1, Access, Answer, Call, Operation, Route

_PREFIX = "/www.googleapis.com/identitytoolkit/v3/relyingparty"
_PEOPLE = {
    "createAuthUri": "createAuthUri",
    "deleteAccount": "delete",
    "emailLinkSignin": "signInWithEmailLink",
    "getAccountInfo": "lookup",
    "getOobConfirmationCode": "sendOobCode",
    "resetPassword": "resetPassword",
    "sendVerificationCode": "sendVerificationCode",
    "setAccountInfo": "update",
    "signupNewUser": "signUp",
    "verifyAssertion": "signInWithIdp",
    "verifyCustomToken": "signInWithCustomToken",
    "verifyPassword": "signInWithPassword",
    "verifyPhoneNumber": "signInWithPhoneNumber",
}
_ADMINS = {"downloadAccount": "batchGet", "uploadAccount": "batchCreate"}


def aliases(known: list[Route]) -> list[Route]:
    """The old paths of operations that have new ones among `known`."""
    by_path = {route.path: route.operation for route in known}
    project = f"{V1}/projects/{{project:[^/:]+}}"
    return [
        *(
            Route("POST", f"{_PREFIX}/{old}", by_path[f"{V1}/accounts:{new}"])
            for old, new in _PEOPLE.items()
        ),
        *(
            Route(
                "POST",
                f"{_PREFIX}/{old}",
                _by_body(by_path[f"{project}/accounts:{new}"]),
                Access.OWNER,
            )
            for old, new in _ADMINS.items()
        ),
    ]


def _by_body(operation: Operation) -> Operation:
    """The operation with parameters in the body that the newer form has in the query."""

    def run(call: Call) -> Answer | Awaitable[Answer]:
        return operation(replace(call, query=call.body))

    return run
