"""Confirmations: the step of sign-up, sign-in and invitations that the hosted Hub does by e-mail.

Here whoever owns the machine confirms: with the link that the log shows, with `threadd confirm`, or with the link of a
real e-mail where a mail server is set. A daemon may also confirm at once (reference: hub-protocol, section 3).
"""

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from threadd.hub.api_keys import random_token
from threadd.hub.errors import NotConfirmedError, TooManyWaitingError
from threadd.hub.sessions import TOKEN_BYTES

WAIT_SECONDS = 30 * 60.0
"""How long a sign-up or sign-in waits for its confirmation."""

MAX_WAITING = 1_000
"""How many sign-ups and sign-ins may wait at once: whoever can reach the Hub can begin one."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Mailer(Protocol):
    """Sends e-mail; see `threadd.hub.smtp`."""

    async def send(self, to: str, subject: str, text: str) -> None:
        """Send one.

        Raises:
            MailError: It was not taken.
        """


@dataclass(frozen=True, slots=True)
class ConfirmationOptions:
    """How confirmations are done.

    Args:
        ask: Whether somebody has to confirm; otherwise it is done at once.
        secret: What all confirmations share, for test suites; empty for a secret each.
        gateway: Where links begin, such as ``http://127.0.0.1:8006``; empty for no links.
        mailer: Sends the links; None to show them in the log.
        wait_seconds: How long to wait for somebody.
    """

    ask: bool = False
    secret: str = ""
    gateway: str = ""
    mailer: Mailer | None = None
    wait_seconds: float = WAIT_SECONDS


@dataclass(frozen=True, slots=True, eq=False)
class Confirmation:
    """Somebody waits for this.

    Args:
        secret: What confirms it.
        purpose: ``sign-up`` or ``sign-in``.
        name: The name of the developer.
        email: The developer's address of mail; may be empty.
        created: Nanoseconds since 1970.
    """

    secret: str
    purpose: str
    name: str
    email: str
    created: int
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Confirmations:
    """What waits to be confirmed.

    Args:
        options: How it is done.
        randomness: Gives so many unpredictable bytes.
        clock: Nanoseconds since 1970.
    """

    def __init__(
        self, options: ConfirmationOptions, randomness: Callable[[int], bytes], clock: Callable[[], int]
    ) -> None:
        self.options = options
        self._randomness = randomness
        self._clock = clock
        self._waiting: list[Confirmation] = []

    async def wait(self, purpose: str, name: str, email: str, *, ask: bool = False) -> None:
        """Wait until somebody confirms.

        Args:
            purpose: ``sign-up`` or ``sign-in``.
            name: The name of the developer.
            email: The developer's address of mail; may be empty.
            ask: Whether somebody has to confirm even where it is otherwise done at once.

        Raises:
            NotConfirmedError: Nobody did in time.
            TooManyWaitingError: `MAX_WAITING` wait already.
            MailError: The link could not be sent.
        """
        if not (self.options.ask or ask):
            return
        if len(self._waiting) >= MAX_WAITING:
            raise TooManyWaitingError
        secret = self.options.secret or random_token(self._randomness, TOKEN_BYTES)
        waiting = Confirmation(secret, purpose, name, email, self._clock())
        self._waiting.append(waiting)
        try:
            await self.tell(f"confirm the {purpose} of {name}", self.link("confirm", secret), secret, email)
            async with asyncio.timeout(self.options.wait_seconds):
                await waiting.done.wait()
        except TimeoutError as error:
            raise NotConfirmedError from error
        finally:
            self._waiting.remove(waiting)

    async def tell(self, what: str, link: str, secret: str, email: str) -> None:
        """Send a link to whoever is to follow it: by e-mail where there is a mail server, else through the log.

        Args:
            what: What following the link does.
            link: The link; may be empty.
            secret: What the link ends in.
            email: To whom; may be empty.

        Raises:
            MailError: It was not taken.
        """
        command = f"threadd confirm {secret}"
        if self.options.mailer is not None and email:
            await self.options.mailer.send(email, f"threadd: {what}", f"To {what}:\n\n{link or command}\n")
            return
        # The link is meant to be read here: whoever reads the log owns the machine.
        log.info(what, email=email, command=command, **({"link": link} if link else {}))

    def link(self, verb: str, secret: str) -> str:
        """Write the link that does something.

        Args:
            verb: ``confirm`` or ``consent``.
            secret: What it is done to.

        Returns:
            The link; empty where there is no gateway.
        """
        return f"{self.options.gateway}/{verb}/{secret}" if self.options.gateway else ""

    def pending(self) -> list[Confirmation]:
        """List what waits, the oldest first."""
        return list(self._waiting)

    def confirm(self, secret: str) -> int:
        """Confirm all that waits for a secret.

        Args:
            secret: As it was sent.

        Returns:
            How many waited for it.
        """
        given = secret.encode("utf-8", "replace")
        found = [one for one in self._waiting if hmac.compare_digest(one.secret.encode(), given)]
        for one in found:
            one.done.set()
        return len(found)
