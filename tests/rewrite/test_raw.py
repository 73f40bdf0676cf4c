import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyswap.exchange import Code
from keyswap.rewrite.raw import check_raw_head
from keyswap.rewrite.read import Unreadable

GOOD = b"GET /a?b=c HTTP/1.1\r\nHost: api.demo.example\r\nX-Empty:\r\nX-Tab:\ta\tb \r\nX-Name: \xc3\xa9\r\n\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        GOOD,
        b"GET / HTTP/1.0\r\n\r\n",
        b"CONNECT api.demo.example:443 HTTP/1.1\r\nHost: api.demo.example:443\r\n\r\n",
        b"GET http://apt.demo.example/dists HTTP/1.1\r\nhost: apt.demo.example\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_S12_the_strict_form_is_read(raw: bytes) -> None:
    check_raw_head(raw)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "does not end in a blank line"),
        (GOOD[:-2], "does not end in a blank line"),
        (GOOD.replace(b"\r\nX-Empty", b"\nX-Empty"), "bare LF"),
        (b"GET / HTTP/1.1\nHost: a\n\n", "bare LF"),
        (GOOD.replace(b"c HTTP", b"c\rHTTP"), "bare CR"),
        (GOOD.replace(b"a\tb", b"a\rb"), "bare CR"),
        (GOOD.replace(b"a\tb", b"a\r\n b"), "folded"),
        (GOOD.replace(b"a\tb", b"a\r\n\tb"), "folded"),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "folded"),
        (GOOD.replace(b"Host:", b"Host :"), "a space stands before the colon"),
        (GOOD.replace(b"Host:", b"Host\t:"), "a space stands before the colon"),
        (GOOD.replace(b"Host: ", b"Host"), "no colon"),
        (GOOD.replace(b"Host:", b":"), "not a token"),
        (GOOD.replace(b"Host:", b"Ho\0st:"), "not a token"),
        (GOOD.replace(b"Host:", b"Ho st:"), "not a token"),
        (GOOD.replace(b"a\tb", b"a\0b"), "the value of x-tab holds a control byte"),
        (GOOD.replace(b"a\tb", b"a\x0bb"), "the value of x-tab holds a control byte"),
        (GOOD.replace(b"GET ", b"GET  "), "request line"),
        (GOOD.replace(b"GET ", b"GET\t"), "request line"),
        (GOOD.replace(b"GET ", b" GET "), "request line"),
        (GOOD.replace(b"b=c", b"b c"), "request line"),
        (GOOD.replace(b"b=c", b"b=\x0cc"), "request line"),
        (GOOD.replace(b"HTTP/1.1", b"HTTP/1.1 "), "request line"),
        (GOOD.replace(b"HTTP/1.1", b"http/1.1"), "request line"),
        (GOOD.replace(b"HTTP/1.1", b"HTTP/2.0"), "request line"),
        (GOOD.replace(b" HTTP/1.1", b""), "request line"),
        (b"\r\n" + GOOD, "request line"),
        (GOOD + b"\r\n", "more than one blank line"),
        (GOOD + GOOD, "more than one blank line"),
    ],
)
def test_S12_any_other_form_is_refused_with_its_reason(raw: bytes, what: str) -> None:
    with pytest.raises(Unreadable) as caught:
        check_raw_head(raw)
    assert what in caught.value.what
    assert caught.value.code is Code.AMBIGUOUS


@given(at=st.integers(0, len(GOOD)), inserted=st.sampled_from([b"\r", b"\n", b"\0", b"\x0b", b"\x7f"]))
def test_S12_no_control_byte_gets_through_anywhere(at: int, inserted: bytes) -> None:
    with pytest.raises(Unreadable):
        check_raw_head(GOOD[:at] + inserted + GOOD[at:])


@given(st.binary(max_size=200))
def test_S12_arbitrary_bytes_are_refused_with_words(raw: bytes) -> None:
    with pytest.raises(Unreadable, match=r"the (head|request line)"):
        check_raw_head(raw + b"\0\r\n\r\n")
