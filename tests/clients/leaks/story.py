"""Lets kingfisher, which we did not write, look for secrets in all that the story of `bailiwick demo agents` leaves (VAULT-8): the
database, the exported log, what the server logged at its most talkative, and what everybody sent and received.

story.py KINGFISHER STORY WORK: the scanner, what the story left, and a directory for a copy in which a secret is planted."""

import base64
import json
import pathlib
import random
import shutil
import string
import sys

from scanner import scan

# What the story leaves at the least; a scan of less would prove nothing.
LEFT = ["audit.jsonl", "data", "recordings/agent.txt", "recordings/log.txt"]
FILES_MIN = 15
# Whose traffic is recorded. The tokens that Bailiwick gives a program are shown by it to Bailiwick, and so are the assertions
# that it signs: they are in what it sent, and nowhere else.
SHOWN_IN = "recordings/"
NEVER_IN = {"recordings/log.txt"}


def claims(text):
    """The claims of a token, or none."""
    try:
        middle = text.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (IndexError, ValueError):
        return {}


def is_own(name, rule, text):
    """Whether a finding is a token of ours, or an assertion for us, in what its bearer sent or received."""
    said = claims(text)
    parties = [said.get("iss"), said.get("aud")] if not isinstance(said.get("aud"), list) else [said.get("iss"), *said["aud"]]
    ours = any(str(party).startswith("http://127.0.0.1:") for party in parties)
    return "jwt" in rule and ours and name.startswith(SHOWN_IN) and name not in NEVER_IN


def planted():
    """A token of GitHub's form: no scanner may pass over it."""
    drawn = random.Random(8)
    return "ghp_" + "".join(drawn.choice(string.ascii_letters + string.digits) for _ in range(36))


def main():
    kingfisher, story, work = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    for name in LEFT:
        if not (story / name).exists():
            raise SystemExit(f"the story left no {name}")
    found, files = scan(kingfisher, story)
    if files < FILES_MIN:
        raise SystemExit(f"kingfisher read {files} files of the story; were more left out than before?")
    own = [finding for finding in found if is_own(*finding)]
    leaks = [finding for finding in found if not is_own(*finding)]
    for name, rule, text in leaks:
        print(f"{name}: {rule}: {text[:60]!r}", file=sys.stderr)
    if leaks:
        raise SystemExit(f"kingfisher finds {len(leaks)} secrets in what the story left")

    # A scanner that finds nothing anywhere would be no proof: in a copy it finds what is planted, and nothing else.
    secret = planted()
    for name in ("recordings/agent.txt", "recordings/log.txt", "audit.jsonl"):
        copy = work / "copy"
        shutil.copytree(story, copy)
        with (copy / name).open("a") as file:
            file.write(f"\ntoken: {secret}\n")
        again, _ = scan(kingfisher, copy)
        fresh = [finding for finding in again if not is_own(*finding)]
        if [(at, text) for at, _, text in fresh] != [(name, secret)]:
            raise SystemExit(f"a secret that was planted in {name} gave {fresh}")
        shutil.rmtree(copy)
    print(f"kingfisher: {files} files of the story, no secret where none may be; {len(own)} tokens of ours in what their bearers "
          "sent; what was planted is found")


if __name__ == "__main__":
    main()
