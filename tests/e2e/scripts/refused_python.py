"""What a person sees of a refusal in Python. Arguments: the client (httpx, requests or aiohttp) and the URL."""

import asyncio
import sys


def by_httpx(url: str) -> str:
    import httpx

    return httpx.get(url).text


def by_requests(url: str) -> str:
    import requests

    return requests.get(url, timeout=20).text


def by_aiohttp(url: str) -> str:
    import aiohttp

    async def ask() -> str:
        async with aiohttp.ClientSession(trust_env=True) as session, session.get(url) as answer:
            return await answer.text()

    return asyncio.run(ask())


client, address = sys.argv[1:]
try:
    print({"httpx": by_httpx, "requests": by_requests, "aiohttp": by_aiohttp}[client](address))
except Exception as error:
    print(f"{type(error).__name__}: {error}")
