"""The engine's options that keyswap does not live with (S36), asked of the options themselves."""

from typing import Any

import pytest
from mitmproxy.addonmanager import Loader
from mitmproxy.addons import default_addons
from mitmproxy.addons.dumper import Dumper
from mitmproxy.addons.readfile import ReadFileStdin
from mitmproxy.exceptions import OptionsError
from mitmproxy.master import Master
from mitmproxy.options import Options

from addons.shared import shared_house
from keyswap.addons.options import OPENERS, RECORDERS, refuse_unsafe
from keyswap.errors import SettingsError
from support.house import House

house = shared_house()

in_the_house = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
async def options() -> Options:
    """What mitmdump knows."""
    made = Options()
    master = Master(made)
    master._legacy_log_events.uninstall()
    for addon in [*default_addons(), Dumper(), ReadFileStdin()]:
        if hasattr(addon, "load"):
            addon.load(Loader(master))
    return made


def test_what_mitmdump_starts_with_is_fine(options: Options) -> None:
    refuse_unsafe(options)


@pytest.mark.parametrize("name", sorted({**RECORDERS, **OPENERS}))
def test_S36_each_option_is_known_to_mitmdump_and_refused(options: Options, name: str) -> None:
    kind = options._options[name].typespec
    value: Any = ["x"] if "Sequence" in str(kind) else True if kind is bool else "x"
    options._options[name].value = value
    with pytest.raises(SettingsError, match=f"{name} is set: "):
        refuse_unsafe(options)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("flow_detail", 2, "flow_detail"),
        ("flow_detail", 3, "flow_detail"),
        ("validate_inbound_headers", False, "validate_inbound_headers"),
        ("mode", ["socks5"], "mode is not regular"),
        ("mode", ["transparent"], "mode is not regular"),
        ("mode", ["regular", "reverse:https://api.example.com"], "mode is not regular"),
        ("mode", ["upstream:http://proxy.example.com"], "mode is not regular"),
    ],
)
def test_S36_values_that_are_refused(options: Options, name: str, value: Any, words: str) -> None:
    options._options[name].value = value
    with pytest.raises(SettingsError, match=words):
        refuse_unsafe(options)


@pytest.mark.parametrize(("name", "value"), [("flow_detail", 1), ("flow_detail", 0), ("mode", ["regular@8081"])])
def test_values_that_are_fine(options: Options, name: str, value: Any) -> None:
    options._options[name].value = value
    refuse_unsafe(options)


def test_all_problems_are_told_at_once(options: Options) -> None:
    options._options["save_stream_file"].value = "flows"
    options._options["ssl_insecure"].value = True
    with pytest.raises(SettingsError) as raised:
        refuse_unsafe(options)
    assert "save_stream_file" in raised.value.what
    assert "ssl_insecure" in raised.value.what


@in_the_house
async def test_S36_an_option_set_while_it_runs_is_rolled_back(house: House) -> None:
    """mitmproxy can change options at any time; whoever sets a dangerous one hears of it, and it is not set."""
    options = house.running.master.options
    with pytest.raises(OptionsError):
        options.update(ssl_insecure=True)
    assert options.ssl_insecure is False


@in_the_house
async def test_the_options_in_force_are_the_safe_ones(house: House) -> None:
    options = house.running.master.options
    assert options.connection_strategy == "lazy"
    assert options.rawtcp is False
    assert options.http3 is False
    assert options.websocket is False
    assert options.validate_inbound_headers is True
    assert options.ssl_insecure is False
    assert options.confdir == str(house.certs_dir)
    assert options.tcp_timeout == 3600
