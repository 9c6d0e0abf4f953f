"""Where settings come from and what they may be."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from threadd import config, setting_texts
from threadd.config import SettingError
from threadd.setting_texts import Endpoint


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def load(**given: Any) -> config.Settings:
    sources = SimpleNamespace(flags={}, environment={}, config_file=None)
    vars(sources).update(given)
    return config.load(sources.flags, sources.environment, sources.config_file)


def test_defaults(tmp_path: Path) -> None:
    settings = load()
    assert settings.repo.name == "threadd"
    assert settings.repo == config.default_repo()
    assert settings.hub_api == Endpoint("127.0.0.1", 3006)
    assert settings.hub_web == Endpoint("127.0.0.1", 3007)
    assert settings.threads_api == Endpoint("127.0.0.1", 6006)
    assert settings.threads_web == Endpoint("127.0.0.1", 6007)
    assert settings.gateway == Endpoint("127.0.0.1", 8006)
    assert settings.host_addr.text == "/ip4/0.0.0.0/tcp/4006"
    assert settings.threads_per_owner == 100
    assert (settings.log_level, settings.log_format, settings.threads_open) == ("info", "auto", False)


def test_each_source_beats_the_next(tmp_path: Path) -> None:
    file = tmp_path / "threadd.toml"
    file.write_text(
        'hub-api = "127.0.0.1:1"\nhub_web = "127.0.0.1:1"\ngateway = "127.0.0.1:1"\nthreads-per-owner = 7\n'
    )
    settings = load(
        flags={"hub_api": "127.0.0.1:3", "hub_web": None},
        environment={"THREADD_HUB_API": "127.0.0.1:2", "THREADD_HUB_WEB": "127.0.0.1:2", "THREADD_GATEWAY": ""},
        config_file=file,
    )
    assert [door and door.port for door in (settings.hub_api, settings.hub_web, settings.gateway)] == [3, 2, 1]
    assert settings.threads_api == Endpoint("127.0.0.1", 6006)
    assert settings.threads_per_owner == 7


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.toml"
    file.write_text('gateway = "off"')
    assert load(environment={"THREADD_CONFIG": str(file)}).gateway is None


def test_the_file_in_the_users_folder_is_read_if_it_is_there() -> None:
    config.default_config_file().parent.mkdir(parents=True)
    config.default_config_file().write_text('gateway = "off"')
    assert load().gateway is None


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("off", None),
        ("OFF", None),
        ("localhost:0", Endpoint("localhost", 0)),
        ("[::1]:3006", Endpoint("::1", 3006)),
        ("0.0.0.0:65535", Endpoint("0.0.0.0", 65535)),
        ("hub.example.org:80", Endpoint("hub.example.org", 80)),
    ],
)
def test_endpoints(text: str, endpoint: Endpoint | None) -> None:
    assert setting_texts.parse_endpoint(text) == endpoint
    if endpoint:
        assert str(endpoint) == text


@pytest.mark.parametrize("text", ["", "3006", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", "h:-1"])
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(
        SettingError, match=r"--hub-api: '.*' is not HOST:PORT or off; write for example 127.0.0.1:3006"
    ):
        load(flags={"hub_api": text})


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (":3006", "write 0.0.0.0:3006"),
        ("::1:3006", "without brackets"),
        ("[127.0.0.1]:3006", "no IPv6 address"),
        ("a b:3006", "neither an IP address nor a host name"),
        ("http://127.0.0.1:3006", "is not HOST:PORT"),
    ],
)
def test_hints_for_endpoints(text: str, hint: str) -> None:
    with pytest.raises(SettingError, match=hint):
        load(environment={"THREADD_HUB_API": text})


@pytest.mark.parametrize(
    "text", ["127.0.0.1:4006", "/ip4/300.0.0.1/tcp/4006", "/ip4/0.0.0.0", "/tcp/4006", "/ip4/0.0.0.0/udp/1", ""]
)
def test_what_is_no_host_address(text: str) -> None:
    with pytest.raises(SettingError, match=r"write for example /ip4/0\.0\.0\.0/tcp/4006"):
        load(flags={"host_addr": text})


@pytest.mark.parametrize(
    ("flags", "place"),
    [
        ({"log_level": "loud"}, "--log-level: 'loud' is not one of debug, info, warning, error"),
        ({"log_format": "xml"}, "--log-format: 'xml' is not one of auto, human, json"),
        ({"threads_open": "perhaps"}, "--threads-open: 'perhaps' is neither true nor false"),
        ({"threads_per_owner": "-1"}, "--threads-per-owner: '-1' is not a whole number"),
        *(
            ({name: "0"}, f"--{name.replace('_', '-')}: '0' is not a whole number of one or more")
            for name in (
                *("max_message", "max_instances", "max_schema", "max_streams"),
                *("max_query_depth", "max_query_time", "max_transaction_time"),
            )
        ),
        ({"max_query_depth": "91"}, "--max-query-depth: '91' is more than 90"),
    ],
)
def test_words_and_numbers(flags: dict[str, str], place: str) -> None:
    with pytest.raises(SettingError, match=place):
        load(flags=flags)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("hub-apu = 1", "unknown key 'hub-apu'; did you mean hub-api?"),
        ("xyzzy = 1", "unknown key 'xyzzy'; known are repo, hub-api"),
        ('hub-api = "off"\nhub_api = "off"', "gives hub-api twice"),
        ("hub-api = []", "hub-api in .* is not a string, an integer, true or false; .* one string with commas"),
        ("gateway = 8006", "gateway in .*: '8006' is not HOST:PORT"),
        ("hub-api = ", "is not TOML"),
    ],
)
def test_a_wrong_file(tmp_path: Path, text: str, hint: str) -> None:
    file = tmp_path / "threadd.toml"
    file.write_text(text)
    with pytest.raises(SettingError, match=hint):
        load(config_file=file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"cannot read .*nowhere\.toml: No such file"):
        load(config_file=tmp_path / "nowhere.toml")


@pytest.mark.parametrize("door", ["threads_api", "threads_web"])
@pytest.mark.parametrize("address", ["0.0.0.0:6006", "[::]:6006", "192.168.1.5:6006", "example.org:6006"])
def test_a_door_without_keys_stays_at_home_unless_asked(door: str, address: str) -> None:
    with pytest.raises(SettingError, match=r"asks for no key.*--threads-open"):
        load(flags={door: address})
    assert getattr(load(flags={door: address, "threads_open": "true"}), door) == setting_texts.parse_endpoint(address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1", "off"])
def test_a_door_without_keys_on_loopback(address: str) -> None:
    load(flags={"threads_api": address, "threads_web": address})


def test_the_hub_may_listen_anywhere() -> None:
    assert load(flags={"hub_api": "0.0.0.0:3006"}).hub_api == Endpoint("0.0.0.0", 3006)


def test_the_repository_is_an_absolute_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(flags={"repo": "here"}).repo == tmp_path / "here"
    assert load(environment={"THREADD_REPO": "~/there"}).repo == tmp_path / "home" / "there"


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ({}, "ask"),
        ({"hub_api": "0.0.0.0:3006"}, "ask"),
        ({"confirm": "auto"}, "auto"),
        ({"confirm": "AUTO-SIGNIN"}, "auto-signin"),
    ],
)
def test_who_has_to_confirm(flags: dict[str, str], word: str) -> None:
    assert load(flags=flags).confirm == word


@pytest.mark.parametrize("word", ["loopback", "LOOPBACK"])
def test_no_network_position_confirms(word: str) -> None:
    with pytest.raises(SettingError, match=f"--confirm: '{word}' is no longer a choice: .* write auto to confirm"):
        load(flags={"confirm": word})


@pytest.mark.parametrize(
    ("domain", "flags"),
    [
        ("example.org", {"console": "example.org:8007"}),
        ("example.org", {"console": "Console.Example.org:8007"}),
        ("example.org", {"console_host": "other.example,console.example.org"}),
        ("localhost", {"console_host": "console.localhost"}),
        ("sites.example.org", {"console_host": "example.org"}),
        ("a.b.example.org", {"console": "B.example.org:8007"}),
    ],
)
def test_strangers_websites_share_no_name_with_the_console(domain: str, flags: dict[str, str]) -> None:
    with pytest.raises(SettingError, match=r"--gateway-domain: .* would share cookies with the console"):
        load(flags=flags | {"gateway_domain": domain})
    assert load(flags=flags).gateway_domain == ""
    assert load(flags={"gateway_domain": domain}).gateway_domain == domain


def test_a_console_beside_the_websites_or_with_a_name_without_a_dot_shares_none() -> None:
    flags = {"gateway_domain": "sites.example.org", "console": "localhost:8007", "console_host": "a.example.org,org"}
    assert load(flags=flags).gateway_domain == "sites.example.org"


@pytest.mark.parametrize("name", ["operator_token", "confirm_secret", "smtp"])
def test_a_secret_that_is_mistyped_is_not_repeated(name: str, tmp_path: Path) -> None:
    secret = "smtp://me:hunter 2@host:port"
    file = tmp_path / "threadd.toml"
    file.write_text(f'{name} = "{secret}"')
    for sources in (
        {"flags": {name: secret}},
        {"environment": {f"THREADD_{name.upper()}": secret}},
        {"config_file": file},
    ):
        with pytest.raises(SettingError, match="the value is no") as caught:
            load(**sources)
        assert "hunter" not in caught.value.text


def test_names_of_the_console() -> None:
    assert load().console == Endpoint("127.0.0.1", 8007)
    assert load().console_names == {"127.0.0.1"}
    settings = load(flags={"console": "OPS:1", "console_host": "A.example, b"})
    assert settings.console_names == {"a.example", "b", "ops"}
    assert load(flags={"console": "off"}).console_names == frozenset()
    with pytest.raises(SettingError, match="--console-host: 'http://a' is not a host name"):
        load(flags={"console_host": "http://a"})


@pytest.mark.parametrize(
    ("flags", "url"),
    [
        ({}, "http://127.0.0.1:8006"),
        ({"gateway": "off"}, ""),
        ({"gateway": "0.0.0.0:80"}, "http://127.0.0.1:80"),
        ({"gateway": "[::1]:80"}, "http://[::1]:80"),
        ({"gateway": "[::]:80"}, "http://[::1]:80"),
        ({"gateway": "[0:0::0]:80"}, "http://[::1]:80"),
        ({"gateway": "gateway.example:80"}, "http://gateway.example:80"),
    ],
)
def test_where_links_begin(flags: dict[str, str], url: str) -> None:
    assert load(flags=flags).gateway_url == url


def test_a_server_of_email() -> None:
    assert load().smtp is None
    server = load(flags={"smtp": "smtp://us%40er:pass%2Fword@mail.example.org?from=hub@example.org"}).smtp
    assert server == setting_texts.SmtpServer(
        "mail.example.org", 587, "hub@example.org", encrypted=False, username="us@er", password="pass/word"
    )
    assert "pass/word" not in repr(server)
    server = load(environment={"THREADD_SMTP": "smtps://mail.example.org:1465?from=a@b"}).smtp
    assert server == setting_texts.SmtpServer("mail.example.org", 1465, "a@b", encrypted=True)


@pytest.mark.parametrize(
    "text", ["mail.example.org", "smtp://", "smtp://h", "http://h?from=a@b", "smtp://h:x?from=a@b", "smtp://[?from=a"]
)
def test_what_is_no_server_of_email(text: str) -> None:
    with pytest.raises(SettingError, match="is not a mail server; write for example smtp://"):
        load(flags={"smtp": text})


def test_a_secret_for_test_suites() -> None:
    assert load().confirm_secret == ""
    assert load(flags={"confirm_secret": "hubsession"}).confirm_secret == "hubsession"
    assert "hubsession" not in repr(load(flags={"confirm_secret": "hubsession"}))
    with pytest.raises(SettingError, match="--confirm-secret"):
        load(flags={"confirm_secret": "a/b"})


def test_a_host_that_is_off_and_what_peers_are_told() -> None:
    settings = load(flags={"host_addr": "off", "announce": "/dns4/home.example/tcp/4006, /ip4/192.0.2.1/tcp/1"})
    assert settings.host_addr is None
    assert [address.text for address in settings.announce] == ["/dns4/home.example/tcp/4006", "/ip4/192.0.2.1/tcp/1"]
    assert load().announce == ()


@pytest.mark.parametrize("text", ["home.example:4006", "/ip4/192.0.2.1/udp/1", "/ip4/192.0.2.1/tcp/1,off"])
def test_what_is_no_address_to_announce(text: str) -> None:
    with pytest.raises(SettingError, match="announce"):
        load(flags={"announce": text})


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("off", []),
        ("https://app.example", ["https://app.example"]),
        ("HTTPS://App.Example:443/, http://a.localhost:80", ["https://app.example", "http://a.localhost"]),
        ("null,file://, capacitor://localhost", ["null", "file://", "capacitor://localhost"]),
        ("https://[FD00::1]:8443", ["https://[fd00::1]:8443"]),
        ("*", ["*"]),
    ],
)
def test_origins_are_kept_as_browsers_write_them(text: str, origins: list[str]) -> None:
    assert load(flags={"web_origin": text}).web_origin == frozenset(origins)


@pytest.mark.parametrize(
    "text",
    ["app.example", "https://", "https://*.example", "https://a.example/path", "https://u@a.example", "https://é"],
)
def test_what_is_no_origin(text: str) -> None:
    with pytest.raises(
        SettingError, match=r"--web-origin: .* is not the origin of a page; write what its browser sends"
    ):
        load(flags={"web_origin": text})


def test_host_names_of_the_threads_web_door() -> None:
    assert load().web_host == frozenset()
    named = load(flags={"web_host": "Threads.example.org, 10.0.0.2,[FD00:0::1]"}).web_host
    assert named == {"threads.example.org", "10.0.0.2", "fd00::1"}
    for text in ("https://a.example", "a.example:6007", "*", "[a.example]"):
        with pytest.raises(SettingError, match="--web-host: "):
            load(flags={"web_host": text})


def test_proxies_that_are_trusted() -> None:
    assert load().trusted_proxy == ()
    trusted = load(flags={"trusted_proxy": "127.0.0.1, 10.0.0.0/8,fd00::/8"}).trusted_proxy
    assert [str(network) for network in trusted] == ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]
    for text in ("proxy.example.org", "10.0.0.1/8", "10.0.0.0/33", "*", "::ffff:10.0.0.2", "::ffff:a00:0/104"):
        with pytest.raises(SettingError, match=r"--trusted-proxy: .* is not a list of addresses and networks"):
            load(flags={"trusted_proxy": text})
