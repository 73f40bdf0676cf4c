"""What is known of the providers people use: hosts, headers, variables, the shape of a key, and how clients are told.

A credential with `preset: NAME` takes all of this, and may say any of it otherwise. A preset opens nothing: `egress`
does. The shapes are those the providers' own clients accept without complaint; none is a promise of the provider.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from keyswap.exchange import PlaceholderShape

HEX = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Preset:
    """One provider."""

    hosts: tuple[str, ...]
    headers: tuple[str, ...]
    """In lower case, in the order of preference."""
    env: tuple[str, ...]
    """Where its clients look for a key."""
    shape: PlaceholderShape
    client: str
    """How a client is told its key, in one sentence for the person who sets up a sandbox."""
    dialect: Literal["", "anthropic", "openai", "gemini"] = ""
    """Whose error bodies its clients understand."""


_BEARER = ("authorization",)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "anthropic": Preset(
            hosts=("api.anthropic.com",),
            # SDKs from 2.0 (Python) and 1.0 (JS) send Bearer; Claude Code, older ones and curl send x-api-key.
            headers=("x-api-key", "authorization"),
            env=("ANTHROPIC_API_KEY",),
            shape=PlaceholderShape("sk-ant-api03-", 108),
            client="The SDKs and Claude Code read ANTHROPIC_API_KEY; `claude -p` asks for no approval of it.",
            dialect="anthropic",
        ),
        "openai": Preset(
            hosts=("api.openai.com",),
            headers=_BEARER,
            env=("OPENAI_API_KEY",),
            shape=PlaceholderShape("sk-proj-", 164),
            client="The SDKs read OPENAI_API_KEY; Codex reads CODEX_API_KEY, so add it to `env` where Codex runs.",
            dialect="openai",
        ),
        "gemini": Preset(
            hosts=("generativelanguage.googleapis.com",),
            headers=("x-goog-api-key", "authorization"),
            env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
            shape=PlaceholderShape("AIza", 39),
            client="The SDKs read GEMINI_API_KEY or GOOGLE_API_KEY; a key in the query (?key=) is not swapped.",
            dialect="gemini",
        ),
        "openrouter": Preset(
            hosts=("openrouter.ai",),
            headers=_BEARER,
            env=("OPENROUTER_API_KEY",),
            shape=PlaceholderShape("sk-or-v1-", 73, alphabet=HEX),
            client="Clients read OPENROUTER_API_KEY; OpenAI SDKs take it as api_key beside the base URL.",
            dialect="openai",
        ),
        "deepseek": Preset(
            hosts=("api.deepseek.com",),
            headers=_BEARER,
            env=("DEEPSEEK_API_KEY",),
            # A real one is `sk-` and 32 hexadecimal digits: too few of them for 128 random bits and a check.
            shape=PlaceholderShape("sk-", 35),
            client="Clients read DEEPSEEK_API_KEY; OpenAI SDKs take it as api_key beside the base URL.",
            dialect="openai",
        ),
        "mistral": Preset(
            hosts=("api.mistral.ai",),
            headers=_BEARER,
            env=("MISTRAL_API_KEY",),
            shape=PlaceholderShape("", 32),
            client="The SDKs read MISTRAL_API_KEY.",
            dialect="openai",
        ),
        "groq": Preset(
            hosts=("api.groq.com",),
            headers=_BEARER,
            env=("GROQ_API_KEY",),
            shape=PlaceholderShape("gsk_", 56),
            client="The SDKs read GROQ_API_KEY.",
            dialect="openai",
        ),
        "xai": Preset(
            hosts=("api.x.ai",),
            headers=_BEARER,
            env=("XAI_API_KEY",),
            shape=PlaceholderShape("xai-", 84),
            client="The SDKs read XAI_API_KEY; OpenAI SDKs take it as api_key beside the base URL.",
            dialect="openai",
        ),
        "github": Preset(
            hosts=("api.github.com", "github.com", "uploads.github.com"),
            headers=_BEARER,
            env=("GH_TOKEN", "GITHUB_TOKEN"),
            shape=PlaceholderShape("ghp_", 40),
            client="gh and the SDKs read GH_TOKEN or GITHUB_TOKEN; git over https takes it as user name or password.",
        ),
        "gitlab": Preset(
            hosts=("gitlab.com",),
            headers=("private-token", "authorization"),
            env=("GITLAB_TOKEN",),
            # A real one is 26 characters long; the 20 behind its prefix cannot hold 128 random bits. No client counts.
            shape=PlaceholderShape("glpat-", 36),
            client="glab and the SDKs read GITLAB_TOKEN; git over https takes it as the password of any user.",
        ),
        "slack": Preset(
            hosts=("slack.com",),
            headers=_BEARER,
            env=("SLACK_BOT_TOKEN",),
            shape=PlaceholderShape("xoxb-", 57),
            client="The SDKs read SLACK_BOT_TOKEN where the program passes it; a token in a form body is not swapped.",
        ),
        "stripe": Preset(
            hosts=("api.stripe.com",),
            headers=_BEARER,
            env=("STRIPE_API_KEY",),
            # Clients tell live from test by the prefix; a test key's credential overrides the placeholder.
            shape=PlaceholderShape("sk_live_", 107),
            client="The CLI reads STRIPE_API_KEY; the SDKs take it from the program; curl -u sends it as user name.",
        ),
        "huggingface": Preset(
            hosts=("huggingface.co",),
            headers=_BEARER,
            env=("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
            shape=PlaceholderShape("hf_", 37),
            client="huggingface_hub and its command read HF_TOKEN; downloads go on to other hosts without the token.",
        ),
    }
)
