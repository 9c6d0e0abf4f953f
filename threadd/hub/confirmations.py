"""Confirmations: the step of sign-up, sign-in and invitations that the hosted Hub does by e-mail.

Here the operator confirms: with the link that the log shows, with `threadd confirm`, or with the link of a real e-mail
where a mail server is set (reference: hub-protocol, section 3). What is confirmed without asking is the operator's
choice alone; where a call comes from grants nothing.
"""

import asyncio
import enum
import hmac
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from threadd.hub.api_keys import random_token
from threadd.hub.errors import NotConfirmedError, TooManyWaitingError
from threadd.hub.sessions import TOKEN_BYTES

WAIT_SECONDS = 30 * 60.0
"""How long a sign-up or sign-in waits for its confirmation."""

MAX_WAITING = 1_000
"""How many sign-ups and sign-ins may wait at once: anybody who can reach the Hub can begin one."""

MAX_WAITING_PER_ADDRESS = 20
"""How many of them the programs of one address may have, and its pages as well."""


class Purpose(enum.StrEnum):
    """What waits to be confirmed."""

    SIGN_UP = "sign-up"
    SIGN_IN = "sign-in"
    INVITATION = "invitation"


UNASKED: Final[Mapping[str, frozenset[Purpose]]] = {
    "ask": frozenset(),
    "auto": frozenset({Purpose.SIGN_UP, Purpose.INVITATION}),
    "auto-signin": frozenset(Purpose),
}
"""What is confirmed without asking, by the words of the setting `--confirm`."""

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
        unasked: What is confirmed at once; the operator confirms all else.
        secret: What all confirmations share, for test suites; empty for a secret each.
        gateway: Where links begin, such as ``http://127.0.0.1:8006``; empty for no links.
        mailer: Sends the links; None to show them in the log.
        wait_seconds: How long to wait for somebody.
    """

    unasked: frozenset[Purpose] = frozenset()
    secret: str = ""
    gateway: str = ""
    mailer: Mailer | None = None
    wait_seconds: float = WAIT_SECONDS


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks for a sign-up or a sign-in.

    It decides whose share of the places to wait is taken, and that a page is never confirmed without asking; it grants
    nothing.

    Args:
        peer: Where the call comes from, as gRPC writes it; shown to the operator.
        address: The part of it whose share is taken.
        page: The origin of the page that calls, as its browser writes it; empty for a program. Any page may reach an
            endpoint on loopback, and all pages that a browser shows have its address.
    """

    peer: str = ""
    address: bytes = b""
    page: str = ""

    @property
    def share(self) -> tuple[bytes, bool]:
        """Whose places to wait it takes: pages leave those of the programs at their address alone."""
        return self.address, bool(self.page)


UNKNOWN_REQUESTER: Final = Requester()


@dataclass(frozen=True, slots=True, eq=False)
class Confirmation:
    """Somebody waits for this.

    Args:
        secret: What confirms it.
        purpose: A sign-up or a sign-in.
        name: The name of the developer.
        email: The developer's address of mail; may be empty.
        requester: Who asked for it.
        created: Nanoseconds since 1970.
        done: True once it is confirmed, False once it has to make room.
    """

    secret: str
    purpose: Purpose
    name: str
    email: str
    requester: Requester
    created: int
    done: asyncio.Future[bool]


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

    def asks_for(self, purpose: Purpose) -> bool:
        """Whether the operator confirms it."""
        return purpose not in self.options.unasked

    async def wait(self, purpose: Purpose, name: str, email: str, requester: Requester = UNKNOWN_REQUESTER) -> None:
        """Wait until the operator confirms.

        Args:
            purpose: A sign-up or a sign-in.
            name: The name of the developer.
            email: The developer's address of mail; may be empty.
            requester: Who asks for it.

        Raises:
            NotConfirmedError: It was not confirmed in time.
            TooManyWaitingError: Too many wait, of this share or in all.
            MailError: The link could not be sent.
        """
        self._make_room(requester.share)
        secret = self.options.secret or random_token(self._randomness, TOKEN_BYTES)
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiting = Confirmation(secret, purpose, name, email, requester, self._clock(), done)
        self._waiting.append(waiting)
        try:
            what = f"confirm the {purpose} of {name}"
            await self.tell(what, self.link("confirm", secret), secret, email, requester)
            async with asyncio.timeout(self.options.wait_seconds):
                is_confirmed = await done
        except TimeoutError as error:
            raise NotConfirmedError from error
        finally:
            self._waiting.remove(waiting)
        if not is_confirmed:
            raise TooManyWaitingError

    def _make_room(self, share: tuple[bytes, bool]) -> None:
        """See that one more of a share may wait; where all places are taken, the largest share gives one up.

        A share without any place always gets one: an attacker with many addresses keeps no newcomer out.

        Raises:
            TooManyWaitingError: It may not.
        """
        waiting = [one for one in self._waiting if not one.done.done()]
        sizes = Counter(one.requester.share for one in waiting)
        if sizes[share] >= MAX_WAITING_PER_ADDRESS:
            raise TooManyWaitingError
        if len(waiting) < MAX_WAITING:
            return
        # Among equals it is the one that waits longest: a counter keeps the order in which it met them.
        largest, size = sizes.most_common(1)[0]
        if sizes[share] and size <= sizes[share] + 1:
            raise TooManyWaitingError
        oldest = next(one for one in waiting if one.requester.share == largest)
        oldest.done.set_result(False)

    async def tell(
        self, what: str, link: str, secret: str, email: str, requester: Requester = UNKNOWN_REQUESTER
    ) -> None:
        """Send a link to whoever is to follow it: by e-mail where there is a mail server, else through the log.

        Args:
            what: What following the link does.
            link: The link; may be empty.
            secret: What the link ends in.
            email: To whom; may be empty.
            requester: Who asks for it.

        Raises:
            MailError: It was not taken.
        """
        command = f"threadd confirm {secret}"
        if self.options.mailer is not None and email:
            await self.options.mailer.send(email, f"threadd: {what}", f"To {what}:\n\n{link or command}\n")
            return
        # The link is meant to be read here: whoever reads the log owns the machine.
        # The operator set the secret that all share, and it must not stand in a log.
        how = {} if secret == self.options.secret else {"command": command, "link": link}
        given = {"email": email, "peer": requester.peer, "page": requester.page} | how
        log.info(what, **{name: value for name, value in given.items() if value})

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

    def confirm(self, secret: str) -> list[Confirmation]:
        """Confirm all that waits for a secret.

        Args:
            secret: As it was sent.

        Returns:
            What waited for it.
        """
        given = secret.encode("utf-8", "replace")
        waiting = [one for one in self._waiting if not one.done.done()]
        found = [one for one in waiting if hmac.compare_digest(one.secret.encode(), given)]
        for one in found:
            one.done.set_result(True)
        return found
