"""E-mail with links to confirm, for a Hub that others use over a network."""

from dataclasses import dataclass, field
from email.message import EmailMessage

import aiosmtplib
import structlog

from threadd.hub.errors import MailError

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

SECONDS = 10.0
"""How long the server may take for one e-mail."""


@dataclass(frozen=True, slots=True)
class SmtpMailer:
    """Gives e-mail to a server.

    Args:
        host: The server's name or address.
        port: Its port.
        sender: The address that mail comes from.
        encrypted: Whether to speak TLS from the first byte; otherwise it is begun where the server offers it.
        username: Empty for none.
        password: Empty for none.
    """

    host: str
    port: int
    sender: str
    encrypted: bool
    username: str = ""
    password: str = field(default="", repr=False)

    async def send(self, to: str, subject: str, text: str) -> None:
        """Send one.

        Args:
            to: An address of mail.
            subject: One line.
            text: The body.

        Raises:
            MailError: The server was not reached, or did not take it.
        """
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self.sender, to, subject
        message.set_content(text)
        try:
            await aiosmtplib.send(
                message,
                hostname=self.host,
                port=self.port,
                username=self.username or None,
                password=self.password or None,
                use_tls=self.encrypted,
                timeout=SECONDS,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise MailError(f"the e-mail could not be sent: {error}") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            # It may name the server and the account there, which are not for everybody who can ask for a sign-up.
            log.warning("an e-mail could not be sent", reason=str(error))
            raise MailError("the e-mail could not be sent; the log of the daemon says why") from error
