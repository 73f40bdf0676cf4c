"""The anthropic SDK in its four ways of asking; one JSON object a line, with the monotonic time of each arrival."""

import asyncio
import json
import time

import anthropic

ASKED = {"model": "test-model", "max_tokens": 64, "messages": [{"role": "user", "content": "echo the key"}]}


def say(way: str, text: str) -> None:
    print(json.dumps({"way": way, "at": time.monotonic(), "text": text}), flush=True)


def sync() -> None:
    with anthropic.Anthropic(max_retries=0) as client:
        say("whole", client.messages.create(**ASKED).content[0].text)
        with client.messages.stream(**ASKED) as stream:
            for text in stream.text_stream:
                say("stream", text)


async def asynchronous() -> None:
    async with anthropic.AsyncAnthropic(max_retries=0) as client:
        say("async whole", (await client.messages.create(**ASKED)).content[0].text)
        async with client.messages.stream(**ASKED) as stream:
            async for text in stream.text_stream:
                say("async stream", text)


sync()
asyncio.run(asynchronous())
