"""A receiver of OTLP over HTTP that keeps what comes; a GET answers how many spans that was.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp-request. Nothing is read until somebody
asks, so that the receiver takes little of the machine while others are measured.
"""

import json
import os
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bench.servers import started

_PATIENCE = 30
_OF_REQUESTS = (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER)
"""What the span of a request is: a push's consumes."""


def telemetry_wanted() -> bool:
    """Whether ours is measured with telemetry on: unless OpenTelemetry's own switch is off."""
    return os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true"


@dataclass(frozen=True)
class Receiver:
    """A started receiver."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """What lets a function export here; a batch that is not full leaves after a second."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "1000"}

    def counts(self) -> dict[str, int]:
        """How many `spans` came until now, and how many of `requests`."""
        with urllib.request.urlopen(self.url, timeout=30) as answer:
            found: dict[str, int] = json.load(answer)
        return found

    def forget(self) -> None:
        """Begin to count anew."""
        urllib.request.urlopen(f"{self.url}/forget", timeout=30).close()

    def awaited(self, requests: int) -> dict[str, int]:
        """What came once the spans of that many requests did. Raises `TimeoutError`."""
        deadline = time.monotonic() + _PATIENCE
        while (found := self.counts())["requests"] < requests:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{found} of {requests} requests came")
            time.sleep(0.1)
        return found


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver in a process of its own, until the block ends."""
    with started(__name__) as address:
        yield Receiver(address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    kept: list[bytes] = []
    counted = {"spans": 0, "requests": 0}

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            self.kept.append(body)
        self._answer(b"", "application/x-protobuf")

    def do_GET(self) -> None:
        while self.kept:
            message = ExportTraceServiceRequest.FromString(self.kept.pop())
            for part in message.resource_spans:
                for scope in part.scope_spans:
                    self.counted["spans"] += len(scope.spans)
                    begun = (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER)
                    servers = [span for span in scope.spans if span.kind in begun]
                    self.counted["requests"] += len(servers)
        if self.path == "/forget":
            self.counted.update(spans=0, requests=0)
        self._answer(json.dumps(self.counted).encode(), "application/json")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
