"""One conversation with a mail server (RFC 5321), command by command: only so is it known how far it came.

before the content is sent       nothing has happened
after, and an answer             the server's word: taken, not now, or never
after, and no answer             unknown
"""

import smtplib
import ssl
import time
from types import TracebackType
from typing import Final, Self

from django.conf import settings

from marketplace.kernel.mailservers import MailServer
from marketplace.mail.letters import Letter, as_mime, envelope_address
from marketplace.mail.outcomes import NotNow, Outcome, Refused, Sent, Unavailable, Unknown, Unwritable

_CLOSING: Final = 421  # the server ends the conversation, whatever was asked


class SmtpServer:
    """A mail server, for as long as this context lasts. Connects for the first letter, once."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._smtp: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hang_up()

    def post(self, letter: Letter) -> Outcome:
        """Hand one letter over."""
        try:  # before anything is said, or the next letter would come into the middle of this one's conversation
            sender, recipient = envelope_address(settings.MAIL_FROM), envelope_address(letter.recipient)
            content = as_mime(letter, now=time.time())
        except ValueError as error:
            return Unwritable(_told(error))
        try:
            smtp = self._connected()
            no = self._ask(smtp, sender, recipient)
        except (smtplib.SMTPException, OSError) as error:
            self._hang_up()
            return Unavailable(_told(error))
        if no is not None:
            return no
        try:
            code, said = smtp.data(content)
        except smtplib.SMTPDataError as error:  # it does not even want to see the content
            return self._no(error.smtp_code, error.smtp_error)
        except (smtplib.SMTPException, OSError) as error:
            self._hang_up()
            return Unknown(_told(error))
        return Sent() if code == 250 else self._no(code, said)

    def _connected(self) -> smtplib.SMTP:
        if self._smtp is not None:
            return self._smtp
        server = self._server
        context = ssl.create_default_context()
        if server.security == "tls":
            self._smtp = smtplib.SMTP_SSL(server.host, server.port, timeout=server.timeout_seconds, context=context)
        else:
            self._smtp = smtplib.SMTP(server.host, server.port, timeout=server.timeout_seconds)
        self._smtp.ehlo_or_helo_if_needed()
        if server.security == "starttls":
            self._smtp.starttls(context=context)
        if server.user:
            self._smtp.login(server.user, server.password)
        return self._smtp

    def _ask(self, smtp: smtplib.SMTP, sender: str, recipient: str) -> Outcome | None:
        """Name sender and recipient; None where the server wants to see the content."""
        code, said = smtp.mail(sender)
        if code != 250:
            # Whatever is wrong with our own address is wrong with every letter, and for us to mend.
            no = self._no(code, said)
            return NotNow(no.why) if isinstance(no, Refused) else no
        code, said = smtp.rcpt(recipient)
        return None if code in (250, 251) else self._no(code, said)

    def _no(self, code: int, said: bytes | str) -> Refused | NotNow | Unavailable:
        why = _answer(code, said)
        if code == _CLOSING:
            self._hang_up()
            return Unavailable(why)
        if self._smtp is not None:
            try:
                self._smtp.rset()
            except (smtplib.SMTPException, OSError):
                self._hang_up()
        return Refused(why) if code >= 500 else NotNow(why)

    def _hang_up(self) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is None:
            return
        try:
            smtp.quit()
        except (smtplib.SMTPException, OSError):
            smtp.close()


def _answer(code: int, said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return f"{code} {' '.join(text.split())}"[:300]


def _told(error: Exception) -> str:
    """Say what went wrong, without anything that was sent: of a refused login, the answer alone."""
    if isinstance(error, smtplib.SMTPResponseException):
        return _answer(error.smtp_code, error.smtp_error)
    return f"{type(error).__name__}: {error}"[:300]
