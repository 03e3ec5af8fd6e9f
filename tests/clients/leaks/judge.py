"""Lets kingfisher, which we did not write, judge what our output filter does with secrets that we planted (OUT-3).

judge.py KINGFISHER ISSUER SECRET WORK ROOT: the scanner, an issuer with the secret of its agent `writer`, a directory, and the
repository, whose own pages have no secrets. Prints recall and precision of both, and fails below the floors."""

import http.client
import json
import pathlib
import re
import sys
import urllib.parse
import urllib.request
from collections import defaultdict

import corpus
from scanner import scan

# Of what is planted, how much must be removed; of what is removed, how much must have been planted.
RECALL_MIN = 0.98
PRECISION_MIN = 0.99
# No kind may be below this: else a rule is missing. These are known to be, and docs/output-filter.md says why.
KIND_RECALL_MIN = 0.9
KNOWN_MISSING = {"discord-bot"}
# The scanner's own recall: below it, it is no judge.
JUDGE_RECALL_MIN = 0.5
# Marks in pages that have no secrets, of all of them.
CLEAN_MARKS_MAX = 0
# A run of a secret's letters that is as long as this is a part of it that has stayed.
PART = 12
# What says of a secret what it is, and is none: the letters that its issuer gives it, or the number of what it is for.
LEAD = re.compile(
    r"github_pat_|sk-[a-z0-9]+-(?:api03-)?|pypi-AgEIcHlwaS5vcmc|AGE-SECRET-KEY-1|https://hooks\.slack\.com/services/"
    r"|[A-Za-z0-9]{14}\.atlasv1\.|\d{10}:|ATATT3xFfGF0"
)
MARK = re.compile(r"\[removed:[a-z0-9-]+\]")


def parts(secret):
    """The runs of letters by which a secret is known, wherever it is split into lines."""
    lines = [line for line in re.split(r"\s+", secret) if not line.startswith("-----")]
    return {line[at : at + PART] for line in lines for at in range(max(1, len(line) - PART + 1))}


def stays(secret, text):
    """Whether a part of a secret is in a text."""
    lead = LEAD.match(secret)
    return any(part in text for part in parts(secret[lead.end() if lead else 0 :]))


def removed(before, after):
    """What stood where marks stand."""
    kept, spans, at = MARK.split(after), [], 0
    for number, text in enumerate(kept):
        found = len(before) - len(text) if number == len(kept) - 1 and text == "" else before.find(text, at)
        if found < 0 or (number == 0 and found > 0):
            raise SystemExit(f"the filter changed more than it marked:\n{before}\n---\n{after}")
        if number:
            spans.append(before[at:found])
        at = found + len(text)
    return spans


class Filter:
    """The endpoint for an agent's own output."""

    def __init__(self, issuer, secret):
        self.url = urllib.parse.urlsplit(f"{issuer}/filter")
        form = {"grant_type": "client_credentials", "client_id": "writer", "client_secret": secret,
                "scope": "output.filter", "resource": f"{issuer}/filter"}
        asked = urllib.request.Request(f"{issuer}/token", urllib.parse.urlencode(form).encode())
        with urllib.request.urlopen(asked, timeout=60) as answer:
            self.token = json.load(answer)["access_token"]
        self.connection = http.client.HTTPSConnection(self.url.netloc, timeout=60)

    def __call__(self, text):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "text/plain; charset=utf-8"}
        self.connection.request("POST", self.url.path, text.encode(), headers)
        answer = self.connection.getresponse()
        body = answer.read().decode()
        if answer.status != 200:
            raise SystemExit(f"the filter answered {answer.status}: {body}")
        return body


def share(part, whole):
    return part / whole if whole else 1.0


def main():
    kingfisher, issuer, secret, work, root = sys.argv[1:]
    work, root, redact = pathlib.Path(work), pathlib.Path(root), Filter(issuer, secret)
    all_of_them = list(corpus.documents())
    before, after = work / "before", work / "after"
    before.mkdir()
    after.mkdir()
    filtered = {}
    for number, (_, _, text, _) in enumerate(all_of_them):
        name = f"{number:04}.txt"
        filtered[name] = redact(text)
        (before / name).write_text(text)
        (after / name).write_text(filtered[name])
    theirs, left = defaultdict(list), defaultdict(list)
    for directory, found in ((before, theirs), (after, left)):
        for name, rule, text in scan(kingfisher, directory)[0]:
            found[name].append((rule, text))

    planted, ours_removed, theirs_found = defaultdict(int), defaultdict(int), defaultdict(int)
    marks, good_marks, findings, good_findings = 0, 0, 0, 0
    missed, wrong = [], []
    for number, (place, kind, text, secret) in enumerate(all_of_them):
        name = f"{number:04}.txt"
        spans = removed(text, filtered[name])
        hits = [bool(secret) and any(part in span for part in parts(secret)) for span in spans]
        marks, good_marks = marks + len(hits), good_marks + sum(hits)
        wrong += [f"{place} {kind}: {span!r}" for span, hit in zip(spans, hits) if not hit]
        seen = [bool(secret) and (snippet in secret or any(part in snippet for part in parts(secret))) for _, snippet in theirs[name]]
        findings, good_findings = findings + len(seen), good_findings + sum(seen)
        if secret:
            planted[kind] += 1
            theirs_found[kind] += any(seen)
            if stays(secret, filtered[name]):
                missed.append(f"{place} {kind}: {filtered[name]!r}"[:300])
            else:
                ours_removed[kind] += 1

    count = sum(planted.values())
    recall, precision = share(sum(ours_removed.values()), count), share(good_marks, marks)
    their_recall, their_precision = share(sum(theirs_found.values()), count), share(good_findings, findings)
    print(f"{'kind':24} planted  ours  kingfisher")
    for kind in sorted(planted):
        print(f"{kind:24} {planted[kind]:7} {share(ours_removed[kind], planted[kind]):5.2f} {share(theirs_found[kind], planted[kind]):11.2f}")
    print(f"{len(all_of_them)} documents, {count} secrets of {len(planted)} kinds")
    print(f"recall: ours {recall:.4f}, kingfisher {their_recall:.4f}; precision: ours {precision:.4f}, kingfisher {their_precision:.4f}")

    faults = []
    for name, all_found in sorted(left.items()):
        place, kind, _, secret = all_of_them[int(name[:4])]
        # What it takes for a secret of its own and we did not plant is no leak.
        faults += [f"kingfisher finds {rule} in what was filtered, {place} {kind}: {snippet!r}"
                   for rule, snippet in all_found if secret and any(part in snippet for part in parts(secret))]
    if recall < RECALL_MIN:
        faults.append(f"recall {recall:.4f} is below {RECALL_MIN}")
    if precision < PRECISION_MIN:
        faults.append(f"precision {precision:.4f} is below {PRECISION_MIN}")
    if their_recall < JUDGE_RECALL_MIN:
        faults.append(f"kingfisher's own recall {their_recall:.4f} is below {JUDGE_RECALL_MIN}: is it the scanner that it was?")
    for kind in planted:
        if kind not in KNOWN_MISSING and share(ours_removed[kind], planted[kind]) < KIND_RECALL_MIN:
            faults.append(f"of {kind}, {planted[kind] - ours_removed[kind]} of {planted[kind]} stay")

    pages = sorted(path for at in ("README.md", "docs/*.md", "schema/*.md", "docs/examples/**/*.py") for path in root.glob(at))
    clean = 0
    for page in pages:
        text = page.read_text()
        spans = removed(text, redact(text))
        clean += len(spans)
        wrong += [f"{page.relative_to(root)}: {span!r}" for span in spans]
    print(f"{len(pages)} pages without secrets: {clean} marks")
    if len(pages) < 20:
        faults.append(f"there are {len(pages)} pages without secrets; were they moved?")
    if clean > CLEAN_MARKS_MAX:
        faults.append(f"{clean} marks in pages without secrets, more than {CLEAN_MARKS_MAX}")
    for what, lines in (("stays", missed), ("is no secret", wrong)):
        for line in lines[:400]:
            print(f"{what}: {line}", file=sys.stderr)
    if faults:
        raise SystemExit("\n".join(faults))


if __name__ == "__main__":
    main()
