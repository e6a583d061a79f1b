"""What looks like a secret: such a value must come by ``envFromSecret``, never in a spec.

A spec is a file that people share, and its values are kept in the database.
"""

from __future__ import annotations

import re
from itertools import pairwise

ADVICE = "put it into a Secret and name that in job.envFromSecret"

_TOKEN = re.compile(
    r"""
      (?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])      # AWS access keys
    | \bgh[pousr]_[A-Za-z0-9]{30,}                            # GitHub
    | \bgithub_pat_[A-Za-z0-9_]{30,}
    | \bglpat-[A-Za-z0-9_-]{20,}                              # GitLab
    | \bxox[abeoprs]-[A-Za-z0-9-]{10,}                        # Slack
    | \bsk-[A-Za-z0-9_-]{20,}                                 # OpenAI, Anthropic
    | \bhf_[A-Za-z0-9]{30,}                                   # Hugging Face
    | \bAIza[A-Za-z0-9_-]{35}                                 # Google
    | \bnpm_[A-Za-z0-9]{36} | \bpypi-AgEI[A-Za-z0-9_-]{20,}
    | \beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.          # JWT
    | -----BEGIN\ [A-Z ]{0,30}PRIVATE\ KEY
    | [a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,100}:[^\s/@]{1,200}@  # a password in a URL
    """,
    re.VERBOSE,
)
_MARKS = (
    *("AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "sk-"),
    *("hf_", "AIza", "npm_", "pypi-", "eyJ", "-----BEGIN", "://"),
)
"""One of these is in every token; looking for them first makes the usual value twenty times cheaper."""
_WORDS = frozenset(
    {"password", "passwd", "passphrase", "secret", "token", "apikey", "credential", "credentials"}
)
_PAIRS = frozenset(
    {("api", "key"), ("access", "key"), ("secret", "key"), ("private", "key"), ("auth", "key")}
)
_POINTERS = frozenset({"file", "path", "dir", "name", "id", "url", "count", "limit", "length", "type"})
"""A name that ends so tells where a secret is, or something about it."""
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_HARMLESS = re.compile(r"(?:/[^\s]*|[0-9.]{0,12}|true|false|yes|no|none|null|~)", re.IGNORECASE)


def token_in(value: str) -> bool:
    """Whether the value contains a well-known kind of token, key or password."""
    for mark in _MARKS:
        if mark in value:
            return _TOKEN.search(value) is not None
    return False


def names_secret(name: str) -> bool:
    """Whether a variable of this name is meant to hold a secret: ``DB_PASSWORD``, ``apiKey``."""
    parts = [part.lower() for part in _PARTS.findall(name)]
    if not parts or parts[-1] in _POINTERS:
        return False
    return not _WORDS.isdisjoint(parts) or not _PAIRS.isdisjoint(pairwise(parts))


def holds_secret(name: str, value: str) -> bool:
    """Whether this pair looks like a secret; paths, small numbers and yes/no are none by name alone."""
    return token_in(value) or (names_secret(name) and not _HARMLESS.fullmatch(value))
