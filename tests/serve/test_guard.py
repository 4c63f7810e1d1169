import pytest

from edgedl.errors import ConfigError
from edgedl.serve.daemon import ServeOptions
from edgedl.serve.guard import is_loopback, is_own_host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_loopback_needs_no_consent(host: str) -> None:
    assert is_loopback(host)
    ServeOptions(host=host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "camera.local", ""])
def test_open_addresses_need_consent(host: str) -> None:
    with pytest.raises(ConfigError, match="insecure-no-auth") as caught:
        ServeOptions(host=host)
    assert (caught.value.code, caught.value.exit_code) == ("E213", 2)
    ServeOptions(host=host, insecure_no_auth=True)


@pytest.mark.parametrize("port", [-1, 65536, 70000])
def test_ports_out_of_range(port: int) -> None:
    with pytest.raises(ConfigError) as caught:
        ServeOptions(port=port)
    assert caught.value.code == "E212"


@pytest.mark.parametrize(
    "header",
    ["127.0.0.1", "127.0.0.1:8080", "localhost:1", "LocalHost.", "[::1]:8080", "192.168.1.5:80"],
)
def test_own_names(header: str) -> None:
    assert is_own_host(header)


@pytest.mark.parametrize(
    "header",
    ["", "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example"],
)
def test_rebound_names(header: str) -> None:
    assert not is_own_host(header)
