"""A published message, with the forms in which it leaves."""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from emulators.clock import from_micros, micros
from emulators.pubsub.wire import Proto, PublishRequest, PubsubMessage


def timestamp_text(instant: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, as in the body of a push."""
    return instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z"


class Message:
    """A message as the topic took it. Its number orders the messages of all topics."""

    def __init__(self, topic: str, proto: Proto) -> None:
        self.topic = topic
        self.proto = proto
        self.number = int(proto.message_id)
        self.id: str = proto.message_id
        self.data: bytes = proto.data
        self.attributes: dict[str, str] = dict(proto.attributes)
        self.ordering_key: str = proto.ordering_key
        self.published: datetime = proto.publish_time.ToDatetime(UTC)
        self.size: int = proto.ByteSize()
        self.holders = 0

    @classmethod
    def stamp(cls, topic: str, proto: Proto, number: int, published: datetime) -> "Message":
        """The message as accepted: id and publish time (to the millisecond) set by the server."""
        accepted = PubsubMessage()
        accepted.CopyFrom(proto)
        accepted.message_id = str(number)
        whole = micros(published) // 1000 * 1000
        accepted.publish_time.FromDatetime(from_micros(whole))
        return cls(topic, accepted)

    @property
    def key(self) -> str:
        """Its key in the journal; sorts as messages were published."""
        return f"message/{self.number:020d}"

    def record(self) -> bytes:
        record: bytes = PublishRequest(topic=self.topic, messages=[self.proto]).SerializeToString()
        return record

    @classmethod
    def from_record(cls, record: bytes) -> "Message":
        request = PublishRequest.FromString(record)
        return cls(request.topic, request.messages[0])

    @cached_property
    def body(self) -> bytes:
        """The JSON of `message` in a wrapped push; snake_case doubles are part of the contract."""
        published = timestamp_text(self.published)
        fields: dict[str, Any] = {}
        if self.attributes:
            fields["attributes"] = self.attributes
        if self.data:
            fields["data"] = b64encode(self.data).decode()
        fields |= {"messageId": self.id, "message_id": self.id}
        if self.ordering_key:
            fields["orderingKey"] = self.ordering_key
        fields |= {"publishTime": published, "publish_time": published}
        return json.dumps(fields, separators=(",", ":")).encode()

    def expired(self, now: datetime, kept: timedelta) -> bool:
        return self.published + kept <= now
