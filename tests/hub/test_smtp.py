"""Links by e-mail, with a server that takes it and with none."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from threadd.hub.confirmations import ConfirmationOptions
from threadd.hub.errors import MailError
from threadd.hub.smtp import SmtpMailer

GREETINGS = {"EHLO": b"250-here\r\n250 8BITMIME\r\n", "DATA": b"354 go on\r\n", "QUIT": b"221 bye\r\n"}


class Server:
    """A server of e-mail that takes everything, or refuses every recipient."""

    def __init__(self) -> None:
        self.port = 0
        self.mails: list[str] = []
        self.refuses = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := (await reader.readline()).decode():
            verb = line.split()[0].upper()
            refused = verb == "RCPT" and self.refuses
            writer.write(b"550 unknown\r\n" if refused else GREETINGS.get(verb, b"250 fine\r\n"))
            if verb == "DATA":
                self.mails.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                writer.write(b"250 taken\r\n")
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield made


@pytest.fixture
def mailer(server: Server) -> SmtpMailer:
    return SmtpMailer("127.0.0.1", server.port, "hub@example.org", encrypted=False)


async def test_the_link_goes_by_mail(hub: Any, server: Server, mailer: SmtpMailer) -> None:
    hub.confirming(ConfirmationOptions(gateway="https://hub.example.org", mailer=mailer))
    signing = asyncio.ensure_future(hub.signing.sign_up("jane", "Jane <jane@example.org>"))
    async with asyncio.timeout(10):
        while not server.mails:  # noqa: ASYNC110  the server is another's
            await asyncio.sleep(0.01)
    (waiting,) = hub.confirmations.pending()
    (mail,) = server.mails
    assert f"https://hub.example.org/confirm/{waiting.secret}" in mail.replace("=\r\n", "")
    assert "To: Jane <jane@example.org>" in mail
    assert "From: hub@example.org" in mail
    assert "Subject: threadd: confirm the sign-up of jane" in mail
    hub.confirmations.confirm(waiting.secret)
    account, _ = await signing
    assert account.email == "Jane <jane@example.org>"


async def test_a_server_that_refuses(hub: Any, server: Server, mailer: SmtpMailer) -> None:
    server.refuses = True
    hub.confirming(ConfirmationOptions(mailer=mailer))
    with pytest.raises(MailError, match=r"the e-mail could not be sent: .*unknown"):
        await hub.signing.sign_up("jane", "jane@example.org")
    assert hub.confirmations.pending() == []


async def test_no_server(hub: Any, unused_tcp_port: int) -> None:
    mailer = SmtpMailer("127.0.0.1", unused_tcp_port, "hub@example.org", encrypted=False)
    hub.confirming(ConfirmationOptions(mailer=mailer))
    with capture_logs() as said, pytest.raises(MailError) as caught:
        await hub.signing.sign_up("jane", "jane@example.org")
    # Where the server is, is for the operator.
    assert "127.0.0.1" not in caught.value.text
    assert any("127.0.0.1" in str(value) for line in said for value in line.values())
    jane, _ = await sign_up_at_once(hub)
    acme = await hub.organisations.create("acme", jane)
    hub.confirming(ConfirmationOptions(mailer=mailer))
    with pytest.raises(MailError):
        await hub.invitations.invite(acme, jane.public_key, "john@example.org")
    assert hub.invitations.pending() == []


async def sign_up_at_once(hub: Any) -> Any:
    hub.confirming()
    return await hub.signing.sign_up("jane", "jane@example.org")


def test_a_password_is_not_shown() -> None:
    assert "hidden" not in repr(SmtpMailer("h", 1, "s", encrypted=True, username="u", password="hidden"))
