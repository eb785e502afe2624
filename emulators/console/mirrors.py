"""The documents of the status mirrors that changed last, read as any client reads them."""

from typing import Any

import grpc

Row = dict[str, Any]
_MOST = 100


class Mirrors:
    """Reads from the Firestore at `address` whenever its engine describes another state."""

    def __init__(self, address: str, project: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._parent = f"projects/{project}/databases/(default)/documents"
        self._read_for: Row = {}
        self._rows: list[Row] = []

    async def read(self, described: Row) -> list[Row]:
        """The newest documents of each collection by `updated_at`, newest first.

        Answers what it knew while Firestore is away.
        """
        if described != self._read_for:
            kinds = {path.rpartition("/")[2] for path in described.get("collections", {})}
            try:
                rows = [row for kind in sorted(kinds) for row in await self._newest(kind)]
            except grpc.aio.AioRpcError:
                return self._rows
            self._rows = sorted(rows, key=lambda row: str(row["updated_at"]), reverse=True)
            self._read_for = described
        return self._rows

    async def close(self) -> None:
        await self._channel.close()

    async def _newest(self, kind: str) -> list[Row]:
        from google.cloud.firestore_v1.types import (
            RunQueryRequest,
            RunQueryResponse,
            StructuredQuery,
        )

        call = self._channel.unary_stream(
            "/google.firestore.v1.Firestore/RunQuery",
            request_serializer=RunQueryRequest.serialize,
            response_deserializer=RunQueryResponse.deserialize,
        )
        newest = StructuredQuery.Order(
            field=StructuredQuery.FieldReference(field_path="updated_at"),
            direction=StructuredQuery.Direction.DESCENDING,
        )
        query = StructuredQuery(
            from_=[StructuredQuery.CollectionSelector(collection_id=kind, all_descendants=True)],
            order_by=[newest],
            limit=_MOST,
        )
        answers = call(RunQueryRequest(parent=self._parent, structured_query=query), timeout=5)
        return [_row(answer.document) async for answer in answers if answer.document.name]


def _row(document: Any) -> Row:
    return {
        "path": document.name.partition("/documents/")[2],
        "fields": {
            name: _plain(value) for name, value in type(document).pb(document).fields.items()
        },
        "updated_at": document.update_time.rfc3339(),
    }


def _plain(value: Any) -> Any:
    """A field's value as JSON has it; maps and lists are shown by their text."""
    match kind := value.WhichOneof("value_type"):
        case "timestamp_value":
            return value.timestamp_value.ToJsonString()
        case "map_value" | "array_value" | "bytes_value" | "geo_point_value":
            return str(getattr(value, kind))
        case "null_value" | None:
            return None
        case _:
            return getattr(value, kind)
