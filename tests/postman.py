"""A real mail server (aiosmtpd) for tests: it keeps what it took, and can be rude, slow, silent, or away."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from marketplace.embedded.testing import free_port


@dataclass
class Taken:
    """One mail that the server has said yes to."""

    recipient: str
    mail: EmailMessage

    @property
    def message_id(self) -> str:
        return str(self.mail["Message-ID"])

    @property
    def subject(self) -> str:
        return str(self.mail["Subject"])

    @property
    def text(self) -> str:
        part = self.mail.get_body(("plain",))
        assert part is not None
        return str(part.get_content())

    @property
    def html(self) -> str:
        part = self.mail.get_body(("html",))
        assert part is not None
        return str(part.get_content())


class _Counter(SMTP):
    async def push(self, status: Any) -> None:
        line = status.decode() if isinstance(status, bytes) else str(status)
        if line[3:4] != "-":  # one of several lines, but for the last
            self.event_handler.said.append(line)
        await super().push(status)


class _Office(Controller):
    def factory(self) -> SMTP:
        return _Counter(self.handler, **self.SMTP_kwargs)


@dataclass
class Postman:
    """`answers` are given to the next contents, one each: a reply, or what is done before the yes."""

    port: int = field(default_factory=free_port)
    taken: list[Taken] = field(default_factory=list)
    answers: list[str | Callable[[Any], None]] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)  # addresses that are refused for good
    conversations: int = 0
    login: tuple[str, str] | None = None  # who may send, if not everybody
    tls: ssl.SSLContext | None = None  # with it, nothing is taken before STARTTLS
    said: list[str] = field(default_factory=list)  # every answer it gave, the greeting first
    _controller: Controller | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def start(self) -> None:
        rules: dict[str, Any] = {"tls_context": self.tls, "require_starttls": True} if self.tls else {}
        if self.login:
            rules |= {"authenticator": self._knows, "auth_required": True, "auth_require_tls": False}
        self._controller = _Office(self, hostname="127.0.0.1", port=self.port, ready_timeout=60, **rules)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def _knows(self, server: Any, session: Any, envelope: Any, mechanism: str, sent: Any) -> AuthResult:
        known = (sent.login.decode(), sent.password.decode()) == self.login
        return AuthResult(success=known, handled=known)

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, hostname: str, replies: Any) -> Any:  # noqa: N802
        self.conversations += 1
        session.host_name = hostname
        return replies

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address in self.unknown:
            return "550 5.1.1 No such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        answer = self.answers.pop(0) if self.answers else "250 OK"
        if isinstance(answer, str) and not answer.startswith("250"):
            return answer
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self.taken += [Taken(recipient, mail) for recipient in envelope.rcpt_tos]
        if callable(answer):
            answer(server)
        return "250 OK" if callable(answer) else answer


def hang_up(server: Any) -> None:
    """To be put among `answers`: the content is taken, and the line goes dead before the yes."""
    server.transport.abort()
