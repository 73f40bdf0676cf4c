"""The group is the one of RFC 7919, computed here from its definition."""

import base64

from keyswap.certs.dhparam import FFDHE2048


def euler(bits: int) -> int:
    """floor(2**bits * e)"""
    guard = 64
    term = total = 1 << (bits + guard)
    step = 1
    while term:
        term //= step
        total += term
        step += 1
    return total >> guard


def test_the_prime_is_ffdhe2048_and_the_generator_two() -> None:
    prime = 2**2048 - 2**1984 + (euler(1918) + 560316) * 2**64 - 1
    body = b"\x02\x82\x01\x01\x00" + prime.to_bytes(256) + b"\x02\x01\x02"
    lines = FFDHE2048.splitlines()
    assert (lines[0], lines[-1]) == (b"-----BEGIN DH PARAMETERS-----", b"-----END DH PARAMETERS-----")
    assert base64.b64decode(b"".join(lines[1:-1])) == b"\x30\x82" + len(body).to_bytes(2) + body
