import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyswap.exchange import Fields
from keyswap.rewrite.headers import only_one, strip
from rewrite.samples import value_of


def stripped(
    *fields: tuple[bytes, bytes],
    version: str = "HTTP/1.1",
    restricted: bool = False,
    identity: bool = False,
    keep: tuple[str, ...] = (),
) -> Fields:
    return strip(
        fields, version=version, method_restricted=restricted, identity_encoding=identity, keep=frozenset(keep)
    )


def test_ordinary_headers_keep_their_order_case_and_bytes() -> None:
    fields = ((b"hOST", b"a"), (b"X-B", b" 1 "), (b"x-a", b"\xff"), (b"X-B", b"2"), (b"Accept-Encoding", b"gzip"))
    assert stripped(*fields) == fields
    assert stripped() == ()


@pytest.mark.parametrize(
    "name",
    [
        b"Connection", b"keep-alive", b"Proxy-Authorization", b"PROXY-connection", b"Proxy-Anything", b"TE", b"Trailer",
        b"Upgrade", b"HTTP2-Settings", b"X-Keyswap-Session", b"x-keyswap-", b"Proxy_Authorization", b"Keep_Alive",
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2.0"])
def test_S15_hop_by_hop_proxy_and_own_headers_never_leave(name: bytes, version: str) -> None:
    assert stripped((b"a", b"1"), (name, b"x"), (b"b", b"2"), version=version) == ((b"a", b"1"), (b"b", b"2"))


def test_S15_headers_named_by_connection_never_leave() -> None:
    fields = ((b"X-One", b"1"), (b"Connection", b"close, x-one ,,X-TWO"), (b"x-two", b"2"), (b"connection", b"X-Three"))
    assert stripped(*fields, (b"X-Three", b"3"), (b"x-four", b"4")) == ((b"x-four", b"4"),)


def test_S15_connection_removes_neither_a_credential_nor_what_frames_the_message() -> None:
    kept = ((b"X-Api-Key", b"k"), (b"Host", b"a"), (b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked"))
    named = (b"Connection", b"x-api-key, host, content-length, transfer-encoding")
    assert stripped(*kept, named, keep=("x-api-key",)) == kept
    assert stripped(*kept, named) == kept[1:]


def test_S15_te_trailers_stays_in_http_2_only() -> None:
    assert stripped((b"te", b"trailers"), version="HTTP/2.0") == ((b"te", b"trailers"),)
    assert stripped((b"te", b"gzip, Trailers"), version="HTTP/2.0") == ((b"te", b"trailers"),)
    assert stripped((b"te", b"gzip"), version="HTTP/2.0") == ()
    assert stripped((b"te", b"trailers"), version="HTTP/1.1") == ()


@pytest.mark.parametrize("name", [b"X-HTTP-Method", b"x-http-method-override", b"X-Method-Override", b"X_HTTP_METHOD"])
def test_S14_override_headers_go_where_methods_are_restricted(name: bytes) -> None:
    assert stripped((name, b"DELETE"), restricted=True) == ()
    assert stripped((name, b"DELETE")) == ((name, b"DELETE"),)


@pytest.mark.parametrize(
    "sent", [(), ((b"Accept-Encoding", b"gzip"),), ((b"accept-encoding", b"br"), (b"Accept-Encoding", b"gzip"))]
)
def test_S28_there_is_exactly_one_accept_encoding_identity(sent: Fields) -> None:
    left = stripped((b"a", b"1"), *sent, (b"b", b"2"), identity=True)
    assert value_of(left, b"accept-encoding") == [b"identity"]
    assert [field for field in left if field[0] in (b"a", b"b")] == [(b"a", b"1"), (b"b", b"2")]


def test_the_replaced_accept_encoding_keeps_its_place_and_case() -> None:
    left = stripped((b"Accept-Encoding", b"gzip"), (b"b", b"2"), identity=True)
    assert left == ((b"Accept-Encoding", b"identity"), (b"b", b"2"))


def test_only_the_first_header_of_a_name_is_left() -> None:
    fields = ((b"A", b"1"), (b"b", b"2"), (b"a", b"3"))
    assert only_one(fields, b"a") == ((b"A", b"1"), (b"b", b"2"))
    assert only_one(fields, b"c") == fields


NAMES = st.sampled_from(
    [
        b"Connection",
        b"TE",
        b"te",
        b"X-One",
        b"x-two",
        b"Host",
        b"Accept-Encoding",
        b"Proxy-X",
        b"X-HTTP-Method",
        b"Upgrade",
    ]
)
VALUES = st.sampled_from([b"", b"x-one", b"close, X-Two", b"trailers", b"accept-encoding, te", b"gzip", b","])


@given(
    st.lists(st.tuples(NAMES, VALUES)).map(tuple),
    st.sampled_from(["HTTP/1.1", "HTTP/2.0"]),
    st.booleans(),
    st.booleans(),
)
def test_stripping_twice_is_stripping_once(fields: Fields, version: str, restricted: bool, identity: bool) -> None:
    once = stripped(*fields, version=version, restricted=restricted, identity=identity)
    assert stripped(*once, version=version, restricted=restricted, identity=identity) == once


def test_S38_ten_thousand_names_in_connection_are_no_work() -> None:
    many = tuple((b"x-%d" % number, b"1") for number in range(10_000))
    named = (b"Connection", b",".join(name for name, _ in many))
    assert stripped(*many, named, (b"a", b"1")) == ((b"a", b"1"),)
