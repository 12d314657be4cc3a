"""What the stand-ins for the APIs of others have in common, for tests: JSON over HTTP, and answers that get lost."""

import json
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as it came; the names of `headers` are looked up in any case."""

    method: str
    path: str
    query: str
    headers: Message
    body: bytes


class ManyAtOnce(ThreadingHTTPServer):
    """A server that has nobody wait a second because five others have knocked in the same moment."""

    request_queue_size = 128


class StandIn(ABC):
    """A server of its own at `url`, in threads of this process, until it is closed."""

    def __init__(self) -> None:
        self._to_lose, self._of = 0, ""
        self._server = ManyAtOnce(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @abstractmethod
    def reply(self, asked: Asked) -> tuple[int, Any]:
        """Do what is asked for; return the status, and what is said: JSON, bytes as they are, or None for nothing."""

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def lose_answers(self, count: int, *, of: str = "") -> None:
        """Hang up instead of answering the next `count` requests that change something, after doing what they ask.

        `of`: only of those whose path ends so.
        """
        self._to_lose, self._of = count, of

    def _loses(self, asked: Asked) -> bool:
        losing = self._to_lose > 0 and asked.method != "GET" and asked.path.endswith(self._of)
        self._to_lose -= losing
        return losing

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet an answer

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked = Asked(self.command, url.path, url.query, self.headers, body)
                status, said = stand_in.reply(asked)
                if stand_in._loses(asked):
                    self.close_connection = True
                    return
                raw = said if isinstance(said, bytes) else b"" if said is None else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)
                self.wfile.flush()

            do_POST = do_PATCH = do_GET  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
