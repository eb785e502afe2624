"""What administrators do to many accounts: `projects/{project}/accounts:batchGet` and the like."""

from itertools import islice
from typing import Any

from emulators.identity.accounts.people import active
from emulators.identity.directory import Directory
from emulators.identity.routing import Call, Route, for_admins
from emulators.identity.wire import Refused

_LARGEST_PAGE = 1000
_LARGEST_DELETE = 1000
_LARGEST_QUERY = 500


def routes(directory: Directory) -> list[Route]:
    """`accounts:batchGet`, `:batchDelete`, `:query`, per project and per tenant."""
    admin = Admin(directory)
    return [
        *for_admins("/accounts:batchGet", admin.batch_get, "GET"),
        *for_admins("/accounts:batchDelete", admin.batch_delete),
        *for_admins("/accounts:query", admin.query),
        *for_admins(":queryAccounts", admin.query),
    ]


class Admin:
    """Each method takes a call and answers the response's body."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def batch_delete(self, call: Call) -> dict[str, Any]:
        """Delete many; one that is not disabled only with `force`, unknown ids are passed over."""
        active(call)
        ids = call.body.texts("localIds")
        if not 0 < len(ids) <= _LARGEST_DELETE:
            raise Refused("LOCAL_ID_LIST_EXCEEDS_LIMIT")
        errors = []
        for index, local_id in enumerate(ids):
            account = call.silo.accounts.by_id(local_id)
            if account is None:
                continue
            if not account.disabled and not call.body.flag("force"):
                message = "NOT_DISABLED : Disable the account before batch deletion."
                errors.append({"index": index, "localId": local_id, "message": message})
                continue
            self._directory.remove(call.silo, account)
        return {"errors": errors} if errors else {}

    def batch_get(self, call: Call) -> dict[str, Any]:
        """A page of accounts in the order of their ids; the page token is the last id shown.

        A full page has one even if nothing follows, as the API's pages do.
        """
        active(call)
        size = min(max(call.query.whole("maxResults", 20), 1), _LARGEST_PAGE)
        after = call.query.text("nextPageToken")
        rest = (account for account in call.silo.accounts if account.local_id > after)
        page = list(islice(rest, size))
        answer: dict[str, Any] = {"kind": "identitytoolkit#DownloadAccountResponse"}
        if page:
            answer["users"] = [account.exported(call.silo.tenant) for account in page]
        if len(page) == size:
            answer["nextPageToken"] = page[-1].local_id
        return answer

    def query(self, call: Call) -> dict[str, Any]:
        """Accounts that match all expressions (by `email`, `userId` or `phoneNumber`)."""
        active(call)
        body = call.body
        matching = list(call.silo.accounts)
        for expression in body.objects("expression"):
            for name, field in _QUERIED.items():
                if wanted := expression.text(name):
                    matching = [a for a in matching if getattr(a, field) == wanted]
        if body.has("returnUserInfo") and not body.flag("returnUserInfo"):
            return {"recordsCount": str(len(matching))}
        if by := _SORTED.get(body.text("sortBy")):
            matching.sort(key=lambda account: getattr(account, by))
        if body.text("order") == "DESC":
            matching.reverse()
        start, limit = body.whole("offset"), body.whole("limit") or _LARGEST_QUERY
        if start < 0 or not 0 < limit <= _LARGEST_QUERY:
            raise Refused("Invalid offset or limit.", status="INVALID_ARGUMENT")
        page = matching[start : start + limit]
        return {
            "recordsCount": str(len(page)),
            "userInfo": [account.exported(call.silo.tenant) for account in page],
        }


_QUERIED = {"email": "email", "userId": "local_id", "phoneNumber": "phone_number"}
_SORTED = {
    "USER_ID": "local_id",
    "NAME": "display_name",
    "CREATED_AT": "created_at",
    "LAST_LOGIN_AT": "last_login_at",
    "USER_EMAIL": "email",
}
