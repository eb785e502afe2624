"""Firestore's API as far as the mirror uses it: documents with conditions on their writes.

The product's own guard (read, compare versions, write if nobody wrote in between) runs above it.
"""

from types import SimpleNamespace
from typing import Any

from grpc import RpcError, StatusCode


class Refusal(RpcError):
    """How grpc reports a status."""

    def __init__(self, status: StatusCode) -> None:
        super().__init__(status.name)
        self._status = status

    def code(self) -> StatusCode:
        return self._status


class Documents:
    """For the place of `firestore._call`."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}
        self._writes = 0

    def call(self, method: str, _: str, /, **request: Any) -> Any:
        if method == "GetDocument":
            if request["name"] not in self.held:
                raise Refusal(StatusCode.NOT_FOUND)
            return self.held[request["name"]]
        assert method == "Commit", method
        (write,) = request["writes"]
        self._write(write["update"], write["current_document"])
        return None

    def _write(self, document: Any, condition: Any) -> None:
        """https://cloud.google.com/firestore/docs/reference/rpc/google.firestore.v1#precondition"""
        held = self.held.get(document["name"])
        if "exists" in condition and held is not None:
            raise Refusal(StatusCode.ALREADY_EXISTS)
        if "update_time" in condition and (
            held is None or held.update_time != condition["update_time"]
        ):
            raise Refusal(StatusCode.FAILED_PRECONDITION)
        self._writes += 1
        fields = {
            name: SimpleNamespace(**{"integer_value": 0, "string_value": ""} | value)
            for name, value in document["fields"].items()
        }
        self.held[document["name"]] = SimpleNamespace(fields=fields, update_time=self._writes)
