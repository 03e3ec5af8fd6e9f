"""A person is told by Web Push and by mail. Usage: judge.py BAILIWICK WORK

Bailiwick is started with an issuer; a push service and a mail relay (STARTTLS, then TLS from the first byte) are played here. What
comes is read by http_ece, py_vapid and aiosmtpd: nothing that was written for this project decrypts, verifies or takes it.
"""
import base64, html, http.client, http.cookiejar, http.server, json, os, queue, re, socket, ssl, subprocess, sys, threading
import urllib.error, urllib.parse, urllib.request
from datetime import datetime, timedelta, timezone

import http_ece
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02

bailiwick, work = sys.argv[1], os.path.abspath(sys.argv[2])
os.chdir(work)
PASSWORD = "correct horse battery staple"
COMES = 60  # seconds that something may take which has to come


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def authority():
    """A certificate authority, and a certificate of it for this machine."""
    now = datetime.now(timezone.utc)
    def name(text):
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
    def certificate(subject, issuer, key, signer, extensions):
        built = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        built = built.serial_number(x509.random_serial_number())
        built = built.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        for extension, critical in extensions:
            built = built.add_extension(extension, critical)
        return built.sign(signer, hashes.SHA256())
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = certificate(name("A test authority"), name("A test authority"), root, root, [(x509.BasicConstraints(True, None), True)])
    ours = certificate(name("localhost"), ca.subject, leaf, root,
                       [(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False),
                        (x509.BasicConstraints(False, None), True)])
    pem = serialization.Encoding.PEM
    with open("ca.pem", "wb") as file:
        file.write(ca.public_bytes(pem))
    with open("relay.pem", "wb") as file:
        file.write(leaf.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        file.write(ours.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("relay.pem")
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
                 "--outgoing-allow", "localhost", "--outgoing-authorities", "ca.pem", "--approval-mail-relay", relay,
                 "--approval-mail-from", "Bailiwick <approvals@example.com>", "--approval-mail-tls", tls, *more]
    process = subprocess.Popen([bailiwick, *arguments], stdout=subprocess.PIPE, stderr=open("log", "ab"), text=True)
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


context = authority()
port = free_port()
issuer = f"http://127.0.0.1:{port}/acme"
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
threading.Thread(target=service.serve_forever, daemon=True).start()
endpoint = f"http://127.0.0.1:{service.server_port}/send/sarahs-phone"

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
assert claims["aud"] == f"http://127.0.0.1:{service.server_port}" and claims["sub"] == issuer, claims

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
plain_relay = Mail()
plain = Controller(plain_relay, hostname="localhost", port=free_port())
plain.start()
server = serve(f"localhost:{plain.port}", "starttls")
ask()
pushed.get(timeout=COMES)  # the push of the second question
pushed.get(timeout=COMES)  # and of this one: by then the mail was tried
stop(server)
assert plain_relay.came.empty()
assert "a notice is tried again" in open("log").read(), open("log").read()
# What was asked is explained from the log, by the command.
explained = run("explain", *keys, "--tenant", "acme", id)
assert "approval.asked" in explained and "agent:sales" in explained, explained
for one in (starttls, implicit, plain):
    one.stop()
service.shutdown()
print("push: http_ece and py_vapid read what was sent, aiosmtpd had its mail over TLS")
