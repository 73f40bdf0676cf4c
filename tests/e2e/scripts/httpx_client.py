"""httpx over HTTP/1.1 and HTTP/2: one echo and one stream each; one JSON object a line. Argument: the URL to echo."""

import json
import os
import sys
import time

import httpx

URL = sys.argv[1]
KEY = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}


def say(way: str, **more: object) -> None:
    print(json.dumps({"way": way, "at": time.monotonic(), **more}), flush=True)


def ask(way: str, client: httpx.Client) -> None:
    answer = client.get(f"{URL}/echo", headers=KEY)
    say(
        way, version=answer.http_version, status=answer.status_code, text=answer.text, seen=answer.headers["x-seen-key"]
    )
    with client.stream("GET", f"{URL}/sse?n=8", headers=KEY) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:"):
                say(f"{way} stream", text=line)


with httpx.Client() as plain:
    ask("h1", plain)
with httpx.Client(http2=True) as both:
    ask("h2", both)
