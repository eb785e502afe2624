"""A published message, with the forms in which it leaves."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from emulators.clock import from_micros, micros
from emulators.pubsub.wire import Proto, PublishRequest, PubsubMessage


def timestamp_text(instant: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, as in the body of a push."""
    return instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z"


class Message:
    """A message as the topic took it, kept as it goes over the wire.

    Its number orders the messages of all topics.
    """

    __slots__ = (
        "_body",
        "attributes",
        "holders",
        "id",
        "number",
        "ordering_key",
        "published",
        "topic",
        "wire",
    )

    def __init__(self, topic: str, proto: Proto, published: datetime) -> None:
        self.topic = topic
        self.wire: bytes = proto.SerializeToString()
        self.id: str = proto.message_id
        self.number = int(self.id)
        attributes = proto.attributes
        self.attributes: dict[str, str] = dict(attributes) if attributes else {}
        self.ordering_key: str = proto.ordering_key
        self.published = published
        self.holders = 0
        self._body: bytes | None = None

    @classmethod
    def stamp(
        cls, topic: str, protos: Iterable[Proto], number: Callable[[], int], published: datetime
    ) -> list["Message"]:
        """The messages as accepted: ids and publish time (to the millisecond) set in `protos`."""
        published = from_micros(micros(published) // 1000 * 1000)
        time = Timestamp()
        time.FromDatetime(published)
        accepted = []
        for proto in protos:
            proto.message_id = str(number())
            proto.publish_time.CopyFrom(time)
            accepted.append(cls(topic, proto, published))
        return accepted

    @property
    def proto(self) -> Proto:
        """A copy in the form for pullers."""
        return PubsubMessage.FromString(self.wire)

    @property
    def data(self) -> bytes:
        data: bytes = self.proto.data
        return data

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.wire)

    @property
    def key(self) -> str:
        """Its key in the journal; sorts as messages were published."""
        return f"message/{self.number:020d}"

    def record(self) -> bytes:
        request = PublishRequest(topic=self.topic)
        request.messages.add().ParseFromString(self.wire)
        record: bytes = request.SerializeToString()
        return record

    @classmethod
    def from_record(cls, record: bytes) -> "Message":
        request = PublishRequest.FromString(record)
        message = request.messages[0]
        return cls(request.topic, message, message.publish_time.ToDatetime(UTC))

    @property
    def body(self) -> bytes:
        """The JSON of `message` in a wrapped push."""
        if self._body is None:
            self._body = self._encoded()
        return self._body

    def _encoded(self) -> bytes:
        """Snake_case doubles are part of the contract."""
        published = timestamp_text(self.published)
        fields: dict[str, Any] = {}
        if self.attributes:
            fields["attributes"] = self.attributes
        if data := self.data:
            fields["data"] = b64encode(data).decode()
        fields |= {"messageId": self.id, "message_id": self.id}
        if self.ordering_key:
            fields["orderingKey"] = self.ordering_key
        fields |= {"publishTime": published, "publish_time": published}
        return json.dumps(fields, separators=(",", ":")).encode()

    def expired(self, now: datetime, kept: timedelta) -> bool:
        return self.published + kept <= now
