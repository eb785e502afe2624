"""The wire form: raw protobuf classes of google.firestore.v1, instants, and refusals.

Instants are whole microseconds since the epoch (UTC), the precision that Firestore keeps.
"""

from typing import Any, TypeAlias

import grpc
from google.cloud.firestore_v1 import types
from google.protobuf.timestamp_pb2 import Timestamp

from emulators.api.refusals import Refused

Message: TypeAlias = Any
"""A raw protobuf message; the parameter's name says which."""

Document: Any = types.Document.pb()
Value: Any = types.Value.pb()
WriteResult: Any = types.WriteResult.pb()
Write: Any = types.Write.pb()
Cursor: Any = types.Cursor.pb()
StructuredQuery: Any = types.StructuredQuery.pb()
ListenResponse: Any = types.ListenResponse.pb()


def aborted(message: str) -> Refused:
    return Refused(grpc.StatusCode.ABORTED, message)


def timestamp(instant: int) -> Timestamp:
    seconds, rest = divmod(instant, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def instant_of(stamp: Timestamp) -> int:
    """Microseconds; finer digits are cut off."""
    return stamp.seconds * 1_000_000 + stamp.nanos // 1000
