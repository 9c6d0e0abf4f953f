"""What developers and organisations may be called, and what is an address of mail.

Both kinds of names live in one name space, in which case does not count (reference: hub-protocol, section 3).
"""

import re
from email.errors import MessageError, NonASCIILocalPartDefect
from email.policy import default

from slugify import slugify

from threadd.hub.errors import EmailError, OrganisationNameError, UsernameError

MAX_SLUG = 32
MAX_TITLE = 1_000
"""How long the title of an organisation may be, in characters: to make a slug takes time for each."""

# What a key of the store holds.
_MAX_NAME_BYTES = 255

# With what the parser of the standard library answers some texts.
_PARSER_TRIPS = (AttributeError, IndexError, TypeError, ValueError, RecursionError, MessageError)

_USERNAME = re.compile(r"[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)?", re.ASCII)
_SLUG_REFUSES = r"[^-a-zA-Z0-9_]+"
_SLUG_WORDS = (("&", "and"), ("@", "at"), ('"', ""), ("'", ""), ("\N{RIGHT SINGLE QUOTATION MARK}", ""))


def check_username(name: str) -> None:
    """Refuse what cannot be the name of a developer.

    Args:
        name: ASCII letters and digits, with at most one hyphen between them.

    Raises:
        UsernameError: It is another text, or too long.
    """
    # Everybody may ask, with as much as a message holds.
    if len(name) > _MAX_NAME_BYTES:
        raise UsernameError(f"username may have at most {_MAX_NAME_BYTES} characters")
    if not _USERNAME.fullmatch(name):
        raise UsernameError


def check_email(text: str) -> None:
    """Refuse what is not one address of mail, with or without the name of its owner.

    Args:
        text: Such as ``jane@doe.com`` or ``Jane Doe <jane@doe.com>``.

    Raises:
        EmailError: It is another text, or too long.
    """
    # The operator reads it in a terminal, where what is not printable may hide or rewrite what stands beside it.
    if not fits(text) or not text.isprintable():
        raise EmailError
    try:
        header = default.header_factory("to", text)
        defects = [defect for defect in header.defects if not isinstance(defect, NonASCIILocalPartDefect)]
        addresses = header.addresses
    except _PARSER_TRIPS as error:
        raise EmailError from error
    if defects or len(addresses) != 1 or not addresses[0].username or not addresses[0].domain:
        raise EmailError


def is_same_email(one: str, other: str) -> bool:
    """Whether what belongs to one address of mail belongs to another.

    The case of ASCII letters does not count. All else does: `straße.example` and `strasse.example` are the same to
    `str.casefold` and two domains to the Internet (RFC 5891), whose owners are two as well.

    Args:
        one: An address.
        other: Another.
    """
    return one.encode("utf-8", "replace").lower() == other.encode("utf-8", "replace").lower()


def fits(name: str) -> bool:
    """Tell whether a text can be looked up as a name or an address: no other can belong to anybody.

    Args:
        name: Any text.
    """
    # Each character makes one byte at least.
    return len(name) <= _MAX_NAME_BYTES and len(name.casefold().encode("utf-8", "replace")) <= _MAX_NAME_BYTES


def slug(name: str) -> str:
    """Make the name of an organisation out of its title: transliterated, case kept, at most `MAX_SLUG` characters.

    Args:
        name: Any text, such as ``My awesome org!``.

    Returns:
        Such as ``My-awesome-org``. Whole words are left out at the end where they do not fit.

    Raises:
        OrganisationNameError: Nothing is left, or it is too long.
    """
    if len(name) > MAX_TITLE:
        raise OrganisationNameError(f"the name of an organisation may have at most {MAX_TITLE} characters")
    text = slugify(
        name.strip(),
        entities=False,
        decimal=False,
        hexadecimal=False,
        lowercase=False,
        regex_pattern=_SLUG_REFUSES,
        replacements=_SLUG_WORDS,
        replacement_stage="pre",
    ).strip("-_")
    if len(text) > MAX_SLUG:
        cut = text.rfind("-", 0, MAX_SLUG + 1)
        text = text[: cut if cut > 0 else MAX_SLUG].strip("-_")
    if not text:
        raise OrganisationNameError(f"name '{name}' is not available")
    return text
