import pytest

from keyswap.exchange import Code, Fields, Head
from keyswap.rewrite.read import Unreadable, check_connect_target, check_head, declared_length, shown

HOST = (b"Host", b"api.demo.example")


def checked(
    *fields: tuple[bytes, bytes], version: str = "HTTP/1.1", method: bytes = b"GET", path: bytes = b"/"
) -> None:
    check_head(Head(version, method, "https", b"", path, fields), max_fields=200, max_bytes=65536)


def refused(*fields: tuple[bytes, bytes], version: str = "HTTP/1.1", method: bytes = b"GET", path: bytes = b"/") -> str:
    with pytest.raises(Unreadable) as caught:
        checked(*fields, version=version, method=method, path=path)
    assert caught.value.code is Code.AMBIGUOUS
    assert caught.value.todo
    return caught.value.what


CLIENTS: dict[str, tuple[str, bytes, bytes, Fields]] = {
    "curl": (
        "HTTP/1.1", b"PUT", b"/upload?name=a%20b&x[]={1}|2",
        (HOST, (b"User-Agent", b"curl/7.88.1"), (b"Accept", b"*/*"), (b"Content-Length", b"8388608"),
         (b"Expect", b"100-continue"), (b"Range", b"bytes=0-99"), (b"Proxy-Connection", b"Keep-Alive")),
    ),
    "git": (
        "HTTP/1.1", b"POST", b"/acme/app.git/git-receive-pack",
        (HOST, (b"User-Agent", b"git/2.39.5"), (b"Accept-Encoding", b"deflate, gzip"),
         (b"Content-Type", b"application/x-git-receive-pack-request"), (b"Transfer-Encoding", b"chunked")),
    ),
    "undici": (
        "HTTP/1.1", b"POST", b"/v1/responses",
        ((b"host", b"api.demo.example"), (b"connection", b"keep-alive"), (b"sec-fetch-mode", b"cors"),
         (b"accept-language", b"*"), (b"content-length", b"0")),
    ),
    "go": (
        "HTTP/1.1", b"GET", b"/",
        (HOST, (b"User-Agent", b"Go-http-client/1.1"), (b"Accept-Encoding", b"gzip")),
    ),
    "aiohttp with a file": (
        "HTTP/1.1", b"POST", b"/files",
        (HOST, (b"Content-Disposition", b'form-data; filename="\xc3\xa9t\xc3\xa9.txt"\t'), (b"X-Empty", b"")),
    ),
    "gRPC": (
        "HTTP/2.0", b"POST", b"/demo.Service/Call",
        ((b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"grpc-timeout", b"10S")),
    ),
    "options": ("HTTP/1.1", b"OPTIONS", b"*", (HOST,)),
    "old": ("HTTP/1.0", b"GET", b"/", ()),
    "connect": ("HTTP/1.1", b"CONNECT", b"", (HOST,)),
}  # fmt: skip


@pytest.mark.parametrize("client", CLIENTS)
def test_S12_what_real_clients_send_is_read(client: str) -> None:
    version, method, path, fields = CLIENTS[client]
    checked(*fields, version=version, method=method, path=path)


@pytest.mark.parametrize(
    ("fields", "version", "what"),
    [
        ([(b"Content-Length", b"1"), (b"Content-Length", b"1")], "HTTP/1.1", "content-length stands more than once"),
        ([(b"Content-Length", b"1"), (b"content-length", b"2")], "HTTP/2.0", "content-length stands more than once"),
        ([(b"Content-Length", b"+1")], "HTTP/1.1", "not a plain number"),
        ([(b"Content-Length", b"01")], "HTTP/1.1", "not a plain number"),
        ([(b"Content-Length", b"1, 1")], "HTTP/1.1", "not a plain number"),
        ([(b"Content-Length", b"")], "HTTP/1.1", "not a plain number"),
        ([(b"Content-Length", b"1" * 30)], "HTTP/1.1", "not a plain number"),
        ([(b"Content-Length", b"1"), (b"TRANSFER-ENCODING", b"chunked")], "HTTP/1.1", "stand together"),
        ([(b"Transfer-Encoding", b"chunked")] * 2, "HTTP/1.1", "transfer-encoding stands more than once"),
        ([(b"Transfer-Encoding", b"gzip, chunked")], "HTTP/1.1", "not exactly chunked"),
        ([(b"Transfer-Encoding", b"xchunked")], "HTTP/1.1", "not exactly chunked"),
        ([(b"Transfer-Encoding", b"")], "HTTP/1.1", "not exactly chunked"),
        ([(b"Transfer-Encoding", b"chunked")], "HTTP/1.0", "no meaning in HTTP/1.0"),
        ([(b"transfer-encoding", b"chunked")], "HTTP/2.0", "no meaning in HTTP/2.0"),
        ([(b"Content_Length", b"1")], "HTTP/1.1", "content_length may be read as a framing header"),
        ([(b"X-Folded", b"a\r\n b")], "HTTP/1.1", "the value of x-folded holds a control byte"),
        ([(b"X-Nul", b"a\0b")], "HTTP/1.1", "the value of x-nul holds a control byte"),
        ([(b"X-Del", b"a\x7fb")], "HTTP/1.1", "the value of x-del holds a control byte"),
        ([(b"X Space", b"a")], "HTTP/1.1", "a header's name is not a token"),
        ([(b"X-Space ", b"a")], "HTTP/1.1", "a header's name is not a token"),
        ([(b"X\nHost", b"a")], "HTTP/1.1", "a header's name is not a token"),
        ([(b"", b"a")], "HTTP/1.1", "a header's name is not a token"),
        ([(b"Expect", b"200-ok")], "HTTP/1.1", "expect asks for something unknown"),
        ([(b"HOST", b"evil.example.com")], "HTTP/1.1", "host stands more than once"),
    ],
)
def test_S12_a_head_with_two_readings_is_refused(fields: Fields, version: str, what: str) -> None:
    assert what in refused(HOST, *fields, version=version)


def test_S12_http_1_1_without_host_is_refused_and_http_2_is_not() -> None:
    assert "host is missing" in refused()
    checked(version="HTTP/2.0")


def test_S12_chunked_is_read_in_any_case() -> None:
    checked(HOST, (b"Transfer-Encoding", b"Chunked"), method=b"POST")


@pytest.mark.parametrize("version", ["HTTP/0.9", "HTTP/1.2", "HTTP/3", ""])
def test_S12_other_versions_are_refused(version: str) -> None:
    assert "version" in refused(HOST, version=version)


@pytest.mark.parametrize("method", [b"", b"GE T", b"GET\r\n", b"G\xc3\x89T", b"GET /"])
def test_S12_a_method_is_a_token(method: bytes) -> None:
    assert "method" in refused(HOST, method=method)


@pytest.mark.parametrize("path", [b"", b"x", b"http://evil.example.com/", b"*", b"?q", b"//../x"[1:0]])
def test_S9_S13_a_path_starts_with_a_slash(path: bytes) -> None:
    assert "does not start with /" in refused(HOST, path=path)
    assert "does not start with /" in refused(path=path, version="HTTP/2.0")


@pytest.mark.parametrize("byte", [b" ", b"\t", b"\r", b"\n", b"\0", b"\x7f", b"\x80", b"\xff", b"#"])
def test_S13_a_path_holds_no_space_control_byte_fragment_or_raw_unicode(byte: bytes) -> None:
    assert "percent" not in refused(HOST, path=b"/a" + byte + b"b")


def test_S12_options_star_is_for_options_only() -> None:
    assert "does not start with /" in refused(HOST, path=b"*", method=b"POST")


def test_S16_too_many_headers_name_the_limit() -> None:
    fields = (HOST, *[(b"a", b"b")] * 4)
    check_head(Head("HTTP/1.1", b"GET", "https", b"", b"/", fields), max_fields=5, max_bytes=999)
    with pytest.raises(Unreadable, match=r"limits\.headers \(4\)") as caught:
        check_head(Head("HTTP/1.1", b"GET", "https", b"", b"/", fields), max_fields=4, max_bytes=999)
    assert caught.value.code is Code.HEAD_TOO_LARGE


def test_S16_too_large_a_head_names_the_limit() -> None:
    head = Head("HTTP/1.1", b"GET", "https", b"abc", b"/" * 10, ((b"host", b"a" * 10),))
    size = 3 + 3 + 10 + 14 + 4
    check_head(head, max_fields=1, max_bytes=size)
    with pytest.raises(Unreadable, match=rf"limits\.head \({size - 1} bytes\)") as caught:
        check_head(head, max_fields=1, max_bytes=size - 1)
    assert caught.value.code is Code.HEAD_TOO_LARGE


def test_S42_a_message_never_quotes_what_was_sent() -> None:
    secret = b"sk-ant-api03-secret"
    for fields in ([(b"X-Api-Key", secret + b"\0")], [(secret + b" ", b"a")], [(b"Expect", secret)]):
        assert secret.decode() not in refused(HOST, *fields)
    assert secret.decode() not in refused(HOST, path=secret)


def test_a_header_name_in_a_message_is_a_token_and_bounded() -> None:
    assert shown(b"X-Api-Key") == "x-api-key"
    assert shown(b"x" * 500) == "x" * 64
    assert shown(b"a\r\nb") == shown(b"") == "a header"


def test_the_declared_length_is_the_one_of_content_length() -> None:
    assert declared_length(Head("HTTP/1.1", b"PUT", "https", b"", b"/", (HOST, (b"CONTENT-length", b"42")))) == 42
    assert declared_length(Head("HTTP/2.0", b"PUT", "https", b"", b"/", (HOST,))) is None


@pytest.mark.parametrize(
    "target", [b"api.demo.example:443", b"[2001:db8::1]:443", b"a_b.example.com:65535", b"1.2.3.4:1"]
)
def test_S7_a_connect_target_is_host_and_port(target: bytes) -> None:
    assert check_connect_target(target) == target.decode()


@pytest.mark.parametrize(
    "target",
    [
        b"", b"host", b"host:", b":443", b"host:0", b"host:0443", b"host:65536", b"host:443\n", b"user@host:443",
        b"host:443/", b"http://host:443", b"h st:443", b"h%6fst:443", b"h\xc3\xb6st:443", b"host#:443", b"::1:443",
        b"[::1]", b"host:443 HTTP/1.1", b"a" * 300 + b":443", "host:\u0664\u0664\u0663".encode(),
    ],
)  # fmt: skip
def test_S7_any_other_connect_target_is_refused(target: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        check_connect_target(target)
    assert caught.value.code is Code.AMBIGUOUS
