"""Looks for secrets where none may be."""

import base64
import re
import urllib.parse

# What a request or a link is signed with, whoever it belongs to. Links are shown in some places.
SIGNED = re.compile(rb"(?i)X-Amz-Signature=|X-Amz-Security-Token=|Signature=[0-9a-f]{32}|"
                    rb"(Basic|Bearer) [\w.+/=-]{16}")
SHORTEST = 12       # bytes: tests use words like "wrong" for secrets that are none


def forms(secret):
    """The secret as bytes: as it is, percent-encoded, and in base64 at each alignment."""
    raw = secret.encode()
    quoted = urllib.parse.quote(secret, safe="")
    found = {raw, quoted.encode(), re.sub("%..", lambda each: each[0].lower(), quoted).encode()}
    for lead in range(3):
        text = base64.b64encode(b"\0" * lead + raw)
        whole = text[-(-lead * 8 // 6):len(text) - (4 if text.endswith(b"=") else 0)]
        found |= {whole, whole.replace(b"+", b"-").replace(b"/", b"_"),
                  urllib.parse.quote(whole, safe="").encode()}
    return found


def found_in(data, secrets):
    """Those of the secrets that stand in the data in any form."""
    data = data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape")
    return sorted(secret for secret in secrets
                  if len(secret) >= SHORTEST and any(form in data for form in forms(secret)))


def signed_in(data):
    """What looks like a part of a signed request."""
    data = data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape")
    return [match[0] for match in SIGNED.finditer(data)]
