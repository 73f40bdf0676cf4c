"""requests: an echo, an upload and a stream; one JSON object a line. Argument: the URL to echo."""

import hashlib
import json
import os
import sys
import time

import requests

URL = sys.argv[1]
BODY = bytes(range(256)) * 4096


def say(way: str, **more: object) -> None:
    print(json.dumps({"way": way, "at": time.monotonic(), **more}), flush=True)


with requests.Session() as session:
    session.headers["Authorization"] = f"Bearer {os.environ['OPENAI_API_KEY']}"
    answer = session.get(f"{URL}/echo", timeout=20)
    say("echo", status=answer.status_code, text=answer.text, seen=answer.headers["x-seen-key"])
    stored = session.post(f"{URL}/upload", data=BODY, timeout=20)
    say("upload", sent=hashlib.sha256(BODY).hexdigest(), stored=stored.json()["sha256"])
    with session.get(f"{URL}/sse?n=8", stream=True, timeout=20) as stream:
        for line in stream.iter_lines(chunk_size=1):
            if line.startswith(b"data:"):
                say("stream", text=line.decode())
