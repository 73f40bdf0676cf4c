"""aiohttp with trust_env: an echo and a stream; one JSON object a line. Argument: the URL to echo."""

import asyncio
import json
import os
import sys
import time

import aiohttp

URL = sys.argv[1]


def say(way: str, **more: object) -> None:
    print(json.dumps({"way": way, "at": time.monotonic(), **more}), flush=True)


async def main() -> None:
    key = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    async with aiohttp.ClientSession(trust_env=True, headers=key) as session:
        async with session.get(f"{URL}/echo") as answer:
            say("echo", status=answer.status, text=await answer.text(), seen=answer.headers["x-seen-key"])
        async with session.get(f"{URL}/sse?n=8") as stream:
            async for line in stream.content:
                if line.startswith(b"data:"):
                    say("stream", text=line.decode())


asyncio.run(main())
