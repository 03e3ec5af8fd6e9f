"""Signs people in at our login pages, as a browser without script does, and prints an access token of theirs for each resource.

Usage: tokens.py ISSUER < {"client": {"client_id", "client_secret"}, "people": {NAME: LINK OF AN INVITATION},
                           "wanted": {KEY: [NAME, RESOURCE, SCOPE]}}
"""

import base64
import hashlib
import html
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

CALLBACK = "http://127.0.0.1:1/cb"  # nobody listens: it is read where the browser is sent
PASSWORD = "a password of many words"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Browser:
    def __init__(self, callback=CALLBACK):
        self.jar = {}
        self.callback = callback
        self.opener = urllib.request.build_opener(Stay)
        self.url = self.page = ""

    def go(self, url, form=None):
        while True:
            if url.startswith(self.callback):
                self.url = url
                return
            request = urllib.request.Request(url, form and urllib.parse.urlencode(form).encode())
            request.add_header("cookie", "; ".join(f"{name}={value}" for name, value in self.jar.items()))
            try:
                answer = self.opener.open(request)
            except urllib.error.HTTPError as error:
                answer = error
            for line in answer.headers.get_all("set-cookie") or []:
                name, value = re.match("([^=]+)=([^;]*)", line).groups()
                if "max-age=0" in line.lower():
                    self.jar.pop(name, None)
                else:
                    self.jar[name] = value
            to = answer.headers.get("location")
            if not to:
                self.url, self.page = url, answer.read().decode()
                return
            url, form = urllib.parse.urljoin(url, to), None

    def submit(self, wanted, **values):
        form = next((f for f in re.findall("<form.*?</form>", self.page, re.S) if re.search(wanted, f)), None)
        assert form, f"no form {wanted} on {self.url}:\n{self.page}"
        body = {}
        for tag in re.findall("<input[^>]*>", form):
            said = {name: html.unescape(value) for name, value in re.findall('([a-z]+)="([^"]*)"', tag)}
            if said.get("name"):
                body[said["name"]] = said.get("value", "")
        action = html.unescape(re.search('action="([^"]*)"', form)[1])
        self.go(urllib.parse.urljoin(self.url, action), body | values)


def invited(link):
    """Sets a password by an invitation; the browser is signed in then, or is not."""
    browser = Browser()
    browser.go(link)
    browser.submit('name="code"')
    while 'type="password"' not in browser.page:
        browser.submit("assword")
    browser.submit('type="password"', password=PASSWORD, again=PASSWORD)


def signed_in(issuer, client, name, resource, scope):
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    query = {"client_id": client["id"], "response_type": "code", "redirect_uri": CALLBACK, "scope": scope, "resource": resource}
    query |= {"code_challenge": challenge, "code_challenge_method": "S256", "state": "s"}
    browser = Browser()
    browser.go(f"{issuer}/authorize?" + urllib.parse.urlencode(query))
    if not browser.url.startswith(CALLBACK):
        browser.submit('name="password"', name=f"{name}@example.com", password=PASSWORD)
    assert browser.url.startswith(CALLBACK), f"no way back to the application: {browser.page}"
    code = urllib.parse.parse_qs(urllib.parse.urlsplit(browser.url).query)["code"][0]
    body = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, "redirect_uri": CALLBACK}
    request = urllib.request.Request(f"{issuer}/token", urllib.parse.urlencode(body).encode())
    key = base64.b64encode(f"{client['id']}:{client['client_secret']}".encode()).decode()
    request.add_header("authorization", f"Basic {key}")
    return json.load(urllib.request.urlopen(request))["access_token"]


if __name__ == "__main__":
    issuer, given = sys.argv[1], json.load(sys.stdin)
    for link in given["people"].values():
        invited(link)
    wanted = given["wanted"].items()
    print(json.dumps({key: signed_in(issuer, given["client"], *request) for key, request in wanted}))
