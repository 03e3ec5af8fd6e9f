"""A person is told by Web Push and by mail. Usage: judge.py BAILIWICK, in an empty directory

Bailiwick is started with an issuer; a push service and a mail relay (STARTTLS, then TLS from the first byte) are played here. What
comes is read by http_ece, py_vapid and aiosmtpd: nothing that was written for this project decrypts, verifies or takes it.
"""
import base64, html, http.client, http.cookiejar, http.server, json, os, queue, re, socket, ssl, subprocess, sys, threading
import urllib.error, urllib.parse, urllib.request

import http_ece
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02

bailiwick, authority = sys.argv[1], os.environ["AUTHORITY"]
PASSWORD = "correct horse battery staple"
COMES = 60  # seconds that something may take which has to come


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def shown(name=f"{authority}/server"):
    """What a server of this judge shows: a certificate by the authority of the run (authority.sh), or another."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{name}.pem", f"{name}.key")
    return context


class Mail:
    """Takes mail, and remembers whether it came over TLS and who brought it."""
    def __init__(self):
        self.came = queue.Queue()

    async def handle_DATA(self, server, session, envelope):
        self.came.put((session.ssl is not None, session.authenticated, envelope.rcpt_tos, envelope.content.decode()))
        return "250 taken"


def logged_in(server, session, envelope, mechanism, data):
    from aiosmtpd.smtp import AuthResult
    return AuthResult(success=(data.login, data.password) == (b"bailiwick", b"relay-password"))


pushed = queue.Queue()


class Push(http.server.BaseHTTPRequestHandler):
    """A push service (RFC 8030)."""
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        pushed.put((self.path, dict(self.headers), body))
        self.send_response(201)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def run(*arguments, **more):
    done = subprocess.run([bailiwick, *arguments], capture_output=True, text=True, **more)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


class Browser:
    def __init__(self):
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def open(self, url, pairs=None):
        data = None if pairs is None else urllib.parse.urlencode(pairs).encode()
        request = urllib.request.Request(url, data, {"sec-fetch-site": "same-origin"})
        with self.opener.open(request, timeout=COMES) as answer:
            return answer.url, answer.read().decode()


def form(page, action):
    """The hidden fields of the form that is sent there."""
    url, text = page
    part = next(part for part in text.split("<form")[1:] if f'{action}"' in part.split(">")[0]).split("</form>")[0]
    fields = {}
    for tag in re.findall(r"<input[^>]*>", part):
        found = {name: html.unescape(value) for name, value in re.findall(r' ([a-z-]+)="([^"]*)"', tag)}
        if "name" in found:
            fields[found["name"]] = found.get("value", "")
    target = html.unescape(re.search(r' action="([^"]*)"', part).group(1))
    return urllib.parse.urljoin(url, target), fields


def serve(relay, tls, more=()):
    """Starts the server with a relay, and answers it."""
    arguments = ["serve", *keys, "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--identity-addr", f"127.0.0.1:{port}",
                 "--outgoing-allow-strangers", "localhost", "--approval-mail-relay", relay,
                 "--approval-mail-from", "Bailiwick <approvals@example.com>", "--approval-mail-tls", tls, *more]
    # With the machine's own authorities, so that it knows the push service and the relay by `outgoing-authorities` alone.
    known = {name: value for name, value in os.environ.items() if name not in ("SSL_CERT_FILE", "SSL_CERT_DIR")}
    process = subprocess.Popen([bailiwick, *arguments], stdout=subprocess.PIPE, stderr=open("log", "ab"), text=True, env=known)
    assert "serving" in process.stdout.readline(), open("log").read()
    return process


def stop(process):
    process.terminate()
    assert process.wait(COMES) == 0


def ask():
    """The agent asks for an approval; answers its id."""
    pairs = {"scope": "openid", "login_hint": "sarah@example.com", "binding_message": "W-42"}
    request = urllib.request.Request(f"{issuer}/bc-authorize", urllib.parse.urlencode(pairs).encode())
    request.add_header("authorization", "Basic " + base64.b64encode(f"sales:{secret}".encode()).decode())
    with urllib.request.urlopen(request, timeout=COMES) as answer:
        return json.load(answer)["auth_req_id"].split(".")[0]


context, stranger = shown(), shown("stranger")
port = free_port()
issuer = f"https://127.0.0.1:{port}/acme"
keys = ["--data", "data", "--identity-key-ring", "keys"]
run("init", *keys, "--issuer", issuer, "--tenant", "acme", "--admin", "admin@example.com")
with open("claims.json", "w") as file:
    json.dump({"email": "sarah@example.com", "email_verified": True}, file)
run("user", "create", *keys, "sarah@example.com", "--name", "Sarah Chen", "--claims", "claims.json")
link = json.loads(run("user", "invite", *keys, "sarah@example.com", "--json"))["link"]
client = json.loads(run("client", "create", *keys, "--id", "sales", "--kind", "agent", "--name", "Sales", "--json", "--auth",
                        "client_secret_basic", "--grant-type", "urn:openid:params:grant-type:ciba", "--scope", "openid"))
secret = client["client_secret"]

relay = Mail()
starttls = Controller(relay, hostname="localhost", port=free_port(), tls_context=context, require_starttls=True)
starttls.start()
service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Push)
service.socket = context.wrap_socket(service.socket, server_side=True)
threading.Thread(target=service.serve_forever, daemon=True).start()
endpoint = f"https://127.0.0.1:{service.server_port}/send/sarahs-phone"

server = serve(f"localhost:{starttls.port}", "starttls")
sarah = Browser()
page = sarah.open(link)
page = sarah.open(*form(page, "/invite"))
page = sarah.open(issuer + "/login/enrol/password") if "enrol/password" not in page[1].split("<form")[-1] else page
to, fields = form(page, "/login/enrol/password")
page = sarah.open(to, fields | {"password": PASSWORD, "again": PASSWORD})
page = sarah.open(f"{issuer}/account")
application = re.search(r'data-key="([^"]*)"', page[1]).group(1)
key, auth = ec.generate_private_key(ec.SECP256R1()), os.urandom(16)
point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
to, fields = form(page, "/account/device")
url, text = sarah.open(to, fields | {"endpoint": endpoint, "p256dh": b64(point), "auth": b64(auth)})
assert "This browser shows a notice" in text, text

# By Web Push: http_ece decrypts, py_vapid verifies with the key that the page gave the browser.
id = ask()
path, headers, body = pushed.get(timeout=COMES)
headers = {name.lower(): value for name, value in headers.items()}
said = json.loads(http_ece.decrypt(body, private_key=key, auth_secret=auth, version="aes128gcm"))
assert said == {"title": "Sales asks for your approval", "body": "For Sarah Chen. Look at it and decide.",
                "link": f"{issuer}/approvals/{id}", "tag": id}, said
assert path == "/send/sarahs-phone" and headers["topic"] == id and headers["urgency"] == "high", headers
token, shown = re.fullmatch(r"vapid t=([^,]+), k=(.+)", headers["authorization"]).groups()
assert shown == application
public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64(shown))
verifier = Vapid02()
verifier._public_key = public
message, signature = token.rsplit(".", 1)
assert verifier.verify_token(message.encode(), signature)
claims = json.loads(unb64(token.split(".")[1]))
assert claims["aud"] == f"https://127.0.0.1:{service.server_port}" and claims["sub"] == issuer, claims

# By mail, after STARTTLS.
over_tls, _, to, text = relay.came.get(timeout=COMES)
assert over_tls and to == ["sarah@example.com"], (over_tls, to)
assert id in text.replace("=\r\n", "") and "W-42" in text, text
stop(server)

# By mail over TLS from the first byte, with a name and a password.
implicit_relay = Mail()
class Implicit(Controller):
    def factory(self):
        return SMTP(self.handler, hostname="localhost", authenticator=logged_in, auth_required=True, auth_require_tls=False)
implicit = Implicit(implicit_relay, hostname="localhost", port=free_port(), ssl_context=context)
implicit.start()
with open("password", "w") as file:
    file.write("relay-password\n")
server = serve(f"localhost:{implicit.port}", "implicit", ["--approval-mail-login", "bailiwick", "--approval-mail-password-file", "password"])
ask()
over_tls, known, to, _ = implicit_relay.came.get(timeout=COMES)
assert known and to == ["sarah@example.com"], (known, to)
stop(server)

# A relay that offers no TLS, and one whose certificate nobody vouches for, are sent nothing.
wrong = []
for pushes, more in ((2, {}), (1, {"tls_context": stranger, "require_starttls": True})):
    takes = Mail()
    wrong.append(Controller(takes, hostname="localhost", port=free_port(), **more))
    wrong[-1].start()
    before = os.path.getsize("log")
    server = serve(f"localhost:{wrong[-1].port}", "starttls")
    ask()
    for _ in range(pushes):  # that of the question before comes with the first: by then the mail was tried
        pushed.get(timeout=COMES)
    stop(server)
    assert takes.came.empty()
    assert "a notice is tried again" in open("log").read()[before:], open("log").read()
# What was asked is explained from the log, by the command.
explained = run("explain", *keys, "--tenant", "acme", id)
assert "approval.asked" in explained and "agent:sales" in explained, explained
for one in (starttls, implicit, *wrong):
    one.stop()
service.shutdown()
print("push: http_ece and py_vapid read what was sent, aiosmtpd had its mail over TLS")
