"""Tries our own MCP servers with `bailiwick mcp try`, as a person does who wants to see what a client sees: what it prints to be opened
is opened here, by somebody who signs in at our pages.

Usage: tried.py BAILIWICK ISSUER FILE-OF-THE-SECRET, of the client `sales`; the people have passwords as tokens.py sets them.
"""

import subprocess
import sys
import urllib.request

from tokens import PASSWORD, Browser

bailiwick, issuer, secret = sys.argv[1:]
client = ["--client-id", "sales", "--client-secret-file", secret, "--issuer", issuer]


def tried(server, *said, person=None):
    """What is printed, and how it ends."""
    command = [bailiwick, "mcp", "try", f"{issuer}/mcp/{server}", *client, *said]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    browser, lines = Browser("http://127.0.0.1:"), []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(f"{issuer}/authorize?"):
            browser.go(line.strip())
            if not browser.url.startswith(browser.callback):
                browser.submit('name="password"', name=f"{person}@example.com", password=PASSWORD)
            assert "close this page" in urllib.request.urlopen(browser.url).read().decode()
    text = "".join(lines)
    assert open(secret).read().strip() not in text, "a secret is printed"
    return process.wait(), text


# A person, who comes back with more scopes when a tool needs them.
question = '{"object": "document:plan", "relation": "viewer"}'
code, text = tried("own", "--call", f"check {question}", "--dpop", person="sarah")
assert code == 0 and text.count("a code came back") == 2 and "403 (" in text and "scopes mcp:read mcp:check" in text, text
assert "bound to its key" in text and "search:" in text, text
# The agent itself, at both servers; and what it is refused.
for server, call in [("own", f"check {question}"), ("gateway", "test_simple_text")]:
    code, text = tried(server, "--client-credentials", "--call", call)
    assert code == 0 and "A token (client_credentials)" in text, text
code, text = tried("gateway", "--client-credentials", "--call", "hidden")
assert code == 1 and "refused: " in text, text
code, text = tried("own", "--client-credentials", "--issuer", "https://id.example")
assert code == 2, text
print("bailiwick mcp try: a person who steps up, an agent of its own, and what each is refused, at our own servers")
