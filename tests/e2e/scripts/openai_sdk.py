"""The openai SDK: Responses and Chat Completions, whole and streamed, in both colours; one JSON object a line."""

import asyncio
import json
import time

import openai

MODEL = "test-model"
PROMPT = "echo the key"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}


def say(way: str, text: str) -> None:
    print(json.dumps({"way": way, "at": time.monotonic(), "text": text}), flush=True)


def sync() -> None:
    with openai.OpenAI(max_retries=0) as client:
        say("chat whole", client.chat.completions.create(**CHAT).choices[0].message.content)
        for chunk in client.chat.completions.create(**CHAT, stream=True):
            say("chat stream", chunk.choices[0].delta.content or "")
        say("responses whole", client.responses.create(model=MODEL, input=PROMPT).output_text)
        for event in client.responses.create(model=MODEL, input=PROMPT, stream=True):
            if event.type == "response.output_text.delta":
                say("responses stream", event.delta)


async def asynchronous() -> None:
    async with openai.AsyncOpenAI(max_retries=0) as client:
        completion = await client.chat.completions.create(**CHAT)
        say("async chat whole", completion.choices[0].message.content)
        async for chunk in await client.chat.completions.create(**CHAT, stream=True):
            say("async chat stream", chunk.choices[0].delta.content or "")
        say("async responses whole", (await client.responses.create(model=MODEL, input=PROMPT)).output_text)
        async for event in await client.responses.create(model=MODEL, input=PROMPT, stream=True):
            if event.type == "response.output_text.delta":
                say("async responses stream", event.delta)


sync()
asyncio.run(asynchronous())
