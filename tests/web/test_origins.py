"""Which pages and host names a web endpoint without keys answers, as one table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import StatusCode
from threadd.web.origins import ANY, OriginError, OriginRule

GATEWAY = 8006
RULE = OriginRule(foreign_ports=frozenset({GATEWAY, 8007}))
HOST = ("host", "127.0.0.1:6007")


def refused(rule: OriginRule, *headers: tuple[str, str]) -> str:
    """The text of the refusal; empty for an answer."""
    try:
        rule.check([(name.encode(), value.encode("utf-8")) for name, value in headers])
    except OriginError as error:
        return error.text
    return ""


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("sec-fetch-site", "none"),),
        (("sec-fetch-site", "same-origin"),),
        (("sec-fetch-mode", "cors"),),  # the fetch of Node
        (("sec-fetch-mode", "websocket"), ("sec-fetch-dest", "websocket")),
        (("origin", "http://localhost"),),
        (("origin", "http://localhost:3000"), ("sec-fetch-site", "cross-site")),
        (("origin", "https://localhost:3000"), ("sec-fetch-site", "same-site")),
        (("origin", "http://127.0.0.1:8080"),),
        (("origin", "https://127.0.0.1"),),
        (("origin", "http://[::1]:5173"),),
        (("origin", "http://127.0.0.1:6007"),),  # React Native names the endpoint itself
    ],
)
def test_programs_and_pages_of_this_machine_are_answered(headers: tuple[tuple[str, str], ...]) -> None:
    assert refused(RULE, HOST, *headers) == ""


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "file://",
        "capacitor://localhost",
        "ionic://localhost",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "moz-extension://0f0f0f0f-0000-4000-8000-000000000000",
        "ws://localhost:3000",
        "ftp://localhost",
        "https://app.example",
        f"http://127.0.0.1:{GATEWAY}",
        f"http://localhost:{GATEWAY}",
        f"https://[::1]:{GATEWAY}",
        "http://localhost:8007",
        "http://bafybucket.localhost:8006",
        "http://bafybucket.localhost",
        "http://app.localhost:3000",
        "http://bafybucket.buckets.example.org",
        "http://localhost.evil",
        "http://localhost.evil:3000",
        "http://evil.localhost:3000",
        "http://evillocalhost:3000",
        "http://localhost.:3000",
        "http://127.0.0.1.:3000",
        "http://127.0.0.1.nip.io",
        "http://127.0.0.1.nip.io:3000",
        "http://127.1",
        "http://127.1:3000",
        "http://2130706433:3000",
        "http://0x7f000001:3000",
        "http://0177.0.0.1:3000",
        "http://127.0.0.2:3000",
        "http://0.0.0.0:3000",
        "http://0:3000",
        "http://[::]:3000",
        "http://[0:0:0:0:0:0:0:1]:3000",
        "http://[::ffff:127.0.0.1]:3000",
        "http://::1:3000",
        "http://[::1",
        "http://localhost@evil.example",
        "http://localhost:80@evil.example",
        "http://evil.example@localhost:3000",
        "http://user:secret@127.0.0.1:3000",
        "http://evil.example#localhost",
        "http://evil.example/localhost",
        "http://evil.example?http://localhost:3000",
        "http://localhost:3000/",
        "http://localhost:3000/path",
        "http://localhost:3000 ",
        " http://localhost:3000",
        "http://localhost:3000\n",
        "http://localhost:",
        "http://localhost:0",
        "http://localhost:03000",
        "http://localhost:+3000",
        "http://localhost:300000",
        "HTTP://localhost:3000",
        "http://LOCALHOST:3000",
        "http://localhost:\uff13000",
        "http://\u217cocalhost:3000",
        "http://127\u30020\u30020\u30021:3000",
        "http://localhost:3000, https://app.example",
        "http://localhost:3000 https://app.example",
        "localhost:3000",
        "//localhost:3000",
        "http:localhost:3000",
        "http:/localhost:3000",
        "http:\\\\localhost:3000",
    ],
)
def test_all_other_pages_are_told_the_flag(origin: str) -> None:
    text = refused(RULE, HOST, ("origin", origin))
    assert "--web-origin" in text
    assert refused(RULE, HOST, ("origin", origin), ("sec-fetch-site", "same-origin")) == text


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "SAME-ORIGIN", "same-origin, none", "new-word"])
def test_what_a_browser_marks_as_of_another_site_is_refused_without_an_origin(site: str) -> None:
    assert "--web-origin" in refused(RULE, HOST, ("sec-fetch-site", site))
    assert "--web-origin" in refused(RULE, HOST, ("sec-fetch-site", "none"), ("sec-fetch-site", site))


def test_the_code_of_a_refusal() -> None:
    assert OriginError.code == StatusCode.PERMISSION_DENIED


def test_headers_that_are_there_twice_are_refused() -> None:
    page = ("origin", "http://localhost:3000")
    assert "several Origin headers" in refused(RULE, HOST, page, page)
    assert "several Origin headers" in refused(RULE, HOST, page, ("origin", "https://evil.example"))
    assert "Host header" in refused(RULE, HOST, HOST)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:6007", "127.0.0.1", "127.0.0.1:1", "127.8.9.10:6007", "[::1]", "[0:0:0:0:0:0:0:1]:6007"],
)
def test_names_of_this_machine_are_answered(host: str) -> None:
    assert refused(RULE, ("host", host)) == ""


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:6007",
        "localhost.evil",
        "localhost.",
        "app.localhost:6007",
        "127.0.0.1.nip.io:6007",
        "127.1",
        "2130706433",
        "0.0.0.0:6007",
        "192.168.1.5:6007",
        "[fe80::1]:6007",
        "[::]",
    ],
)
def test_foreign_names_are_told_the_flag(host: str) -> None:
    assert "--web-host" in refused(RULE, ("host", host))
    assert "--web-host" in refused(RULE, ("host", host), ("origin", f"http://{host}"))


@pytest.mark.parametrize(
    "host",
    [
        "",
        "::1",
        "user@localhost",
        "localhost:port",
        "localhost:1:2",
        "localhost/x",
        "[::1",
        "[127.0.0.1]",
        "lo calhost",
        "é",
    ],
)
def test_a_host_that_is_none_is_refused(host: str) -> None:
    assert "Host header" in refused(RULE, ("host", host))


def test_no_host_is_refused() -> None:
    assert "Host header" in refused(RULE)
    assert "Host header" in refused(RULE, ("origin", "http://localhost:3000"))


def test_settings_let_more_in() -> None:
    named = ["null", "file://", "capacitor://localhost", "https://app.example", "http://app.localhost:3000"]
    rule = OriginRule(frozenset(named), frozenset({"threads.example.org"}), frozenset({GATEWAY}))
    for origin in named:
        assert refused(rule, HOST, ("origin", origin)) == ""
        assert refused(rule, ("host", "Threads.example.org:443"), ("origin", origin)) == ""
        for other in (f"{origin}.evil", f"{origin}:1", origin.upper()):
            assert "--web-origin" in refused(rule, HOST, ("origin", other))
    assert "--web-host" in refused(rule, ("host", "x.threads.example.org"))
    # It was asked for by name: whoever serves his own app from a bucket may.
    own = OriginRule(frozenset({f"http://127.0.0.1:{GATEWAY}"}), frozenset(), frozenset({GATEWAY}))
    assert refused(own, HOST, ("origin", f"http://127.0.0.1:{GATEWAY}")) == ""
    everybody = OriginRule(frozenset({ANY}))
    assert refused(everybody, HOST, ("origin", "https://app.example")) == ""
    assert "--web-host" in refused(everybody, ("host", "evil.example"), ("origin", "https://app.example"))


def test_the_port_of_a_scheme_is_a_port() -> None:
    rule = OriginRule(foreign_ports=frozenset({80}))
    assert "--web-origin" in refused(rule, HOST, ("origin", "http://localhost"))
    assert refused(rule, HOST, ("origin", "https://localhost")) == ""


def test_an_endpoint_that_is_open_answers_under_every_address_and_its_own_name() -> None:
    rule = OriginRule(hosts=frozenset({"threads.lan"}), is_open=True)
    for host in ("192.168.1.5:6007", "[fd00::5]:6007", "threads.lan", "localhost"):
        assert refused(rule, ("host", host)) == ""
        assert "--web-origin" in refused(rule, ("host", host), ("origin", "http://192.168.1.5:3000"))
    assert "--web-host" in refused(rule, ("host", "evil.example"))


def test_a_refusal_repeats_little() -> None:
    assert len(refused(RULE, HOST, ("origin", "x" * 60_000))) < 500
    assert len(refused(RULE, ("host", "x" * 60_000))) < 500


@given(st.text(alphabet="htps:/localhost127.0[]@.#?% \\1é,", max_size=40))
def test_only_three_hosts_are_pages_of_this_machine(text: str) -> None:
    if not refused(RULE, HOST, ("origin", text)):
        scheme, _, rest = text.partition("://")
        assert scheme in ("http", "https")
        assert any(rest == host or rest.startswith(f"{host}:") for host in ("localhost", "127.0.0.1", "[::1]"))
