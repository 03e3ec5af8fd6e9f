"""Documents with secrets that are none: drawn here from a fixed seed, in the forms that their issuers publish, in what agents
read and write: code, configuration, and texts of people who look for a fault. And documents of the same make in which there
is none."""

import base64
import json
import random
import string
import textwrap

SEED = 20261127
LETTERS = string.ascii_letters + string.digits
UPPER = string.ascii_uppercase + string.digits
LOWER = string.ascii_lowercase + string.digits
HEX = "0123456789abcdef"
WORD = LETTERS + "_-"
BASE32 = string.ascii_uppercase + "234567"
BASE64 = LETTERS + "+/"

draw = random.Random(SEED)


def of(alphabet, count):
    """Letters that are drawn."""
    return "".join(draw.choice(alphabet) for _ in range(count))


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw(count):
    return bytes(draw.randrange(256) for _ in range(count))


def jwt():
    header = url64(json.dumps({"alg": "RS256", "typ": "JWT", "kid": of(HEX, 8)}).encode())
    claims = {"sub": of(LOWER, 12), "iat": 1_790_000_000, "exp": 1_790_003_600, "iss": "https://id.acme.test/"}
    return f"{header}.{url64(json.dumps(claims).encode())}.{url64(raw(256))}"


def glc():
    said = {"o": of("123456789", 6), "n": "stack-write", "k": of(LETTERS, 24), "m": {"r": "eu"}}
    return "glc_" + base64.b64encode(json.dumps(said, separators=(",", ":")).encode()).decode()


def pem(kind, count):
    body = "\n".join(textwrap.wrap(base64.b64encode(raw(count)).decode(), 64))
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----"


# What has a form of its own, by issuer: the document is theirs, the letters are ours. A name is one that people give it.
TOKENS = {
    "aws-access-key-id": ("aws_access_key_id", lambda: draw.choice(["AKIA", "ASIA"]) + of(BASE32, 16)),
    "github-classic": ("GITHUB_TOKEN", lambda: "ghp_" + of(LETTERS, 36)),
    "github-fine-grained": ("GITHUB_TOKEN", lambda: f"github_pat_{of(LETTERS, 22)}_{of(LETTERS, 59)}"),
    "github-app": ("GH_TOKEN", lambda: "ghs_" + of(LETTERS, 36)),
    "gitlab": ("GITLAB_TOKEN", lambda: "glpat-" + of(WORD, 20)),
    "slack-bot": ("SLACK_BOT_TOKEN", lambda: f"xoxb-{of('123456789', 12)}-{of('123456789', 13)}-{of(LETTERS, 24)}"),
    "slack-user": ("SLACK_TOKEN", lambda: f"xoxp-{of('123456789', 12)}-{of('123456789', 12)}-{of('123456789', 13)}-{of(HEX, 32)}"),
    "slack-webhook": (
        "SLACK_WEBHOOK",
        lambda: f"https://hooks.slack.com/services/T{of(UPPER, 10)}/B{of(UPPER, 10)}/{of(LETTERS, 24)}",
    ),
    "google-api-key": ("GOOGLE_API_KEY", lambda: "AIza" + of(WORD, 35)),
    "google-client-secret": ("client_secret", lambda: "GOCSPX-" + of(WORD, 28)),
    "google-access-token": ("access_token", lambda: "ya29.a0" + of(WORD, 140)),
    "stripe-live": ("STRIPE_SECRET_KEY", lambda: "sk_live_" + of(LETTERS, 24)),
    "stripe-restricted": ("STRIPE_KEY", lambda: "rk_live_" + of(LETTERS, 99)),
    "openai-project": ("OPENAI_API_KEY", lambda: f"sk-proj-{of(WORD, 74)}T3BlbkFJ{of(WORD, 74)}"),
    "openai-service": ("OPENAI_API_KEY", lambda: f"sk-svcacct-{of(WORD, 74)}T3BlbkFJ{of(WORD, 74)}"),
    "anthropic": ("ANTHROPIC_API_KEY", lambda: f"sk-ant-api03-{of(WORD, 93)}AA"),
    "huggingface": ("HF_TOKEN", lambda: "hf_" + of(string.ascii_letters, 34)),
    "groq": ("GROQ_API_KEY", lambda: "gsk_" + of(LETTERS, 52)),
    "xai": ("XAI_API_KEY", lambda: "xai-" + of(LETTERS, 80)),
    "perplexity": ("PERPLEXITY_API_KEY", lambda: "pplx-" + of(LETTERS, 48)),
    "replicate": ("REPLICATE_API_TOKEN", lambda: "r8_" + of(LETTERS, 37)),
    "npm": ("NPM_TOKEN", lambda: "npm_" + of(LETTERS, 36)),
    "pypi": ("TWINE_PASSWORD", lambda: "pypi-AgEIcHlwaS5vcmc" + of(WORD, 70)),
    "rubygems": ("GEM_HOST_API_KEY", lambda: "rubygems_" + of(HEX, 48)),
    "crates-io": ("CARGO_REGISTRY_TOKEN", lambda: "cio" + of(LETTERS, 32)),
    "docker-hub": ("DOCKER_PASSWORD", lambda: "dckr_pat_" + of(WORD, 27)),
    "sendgrid": ("SENDGRID_API_KEY", lambda: f"SG.{of(WORD, 22)}.{of(WORD, 43)}"),
    "mailgun": ("MAILGUN_API_KEY", lambda: "key-" + of(HEX, 32)),
    "twilio-key": ("TWILIO_API_KEY", lambda: "SK" + of(HEX, 32)),
    "digitalocean": ("DIGITALOCEAN_TOKEN", lambda: "dop_v1_" + of(HEX, 64)),
    "shopify": ("SHOPIFY_TOKEN", lambda: "shpat_" + of(HEX, 32)),
    "square": ("SQUARE_ACCESS_TOKEN", lambda: "sq0atp-" + of(WORD, 22)),
    "databricks": ("DATABRICKS_TOKEN", lambda: "dapi" + of(HEX, 32)),
    "hashicorp-vault": ("VAULT_TOKEN", lambda: "hvs." + of(WORD, 95)),
    "terraform-cloud": ("TFE_TOKEN", lambda: f"{of(LETTERS, 14)}.atlasv1.{of(WORD, 67)}"),
    "pulumi": ("PULUMI_ACCESS_TOKEN", lambda: "pul-" + of(HEX, 40)),
    "doppler": ("DOPPLER_TOKEN", lambda: "dp.pt." + of(LETTERS, 43)),
    "atlassian": ("JIRA_API_TOKEN", lambda: f"ATATT3xFfGF0{of(WORD, 171)}={of(UPPER[:6] + '0123456789', 8)}"),
    "linear": ("LINEAR_API_KEY", lambda: "lin_api_" + of(LETTERS, 40)),
    "notion": ("NOTION_TOKEN", lambda: f"ntn_{of('123456789', 11)}{of(LETTERS, 35)}"),
    "airtable": ("AIRTABLE_TOKEN", lambda: f"pat{of(LETTERS, 14)}.{of(HEX, 64)}"),
    "figma": ("FIGMA_TOKEN", lambda: "figd_" + of(WORD, 40)),
    "postman": ("POSTMAN_API_KEY", lambda: f"PMAK-{of(HEX, 24)}-{of(HEX, 34)}"),
    "grafana-service": ("GRAFANA_TOKEN", lambda: f"glsa_{of(LETTERS, 32)}_{of(HEX, 8)}"),
    "grafana-cloud": ("GRAFANA_CLOUD_TOKEN", glc),
    "newrelic": ("NEW_RELIC_API_KEY", lambda: "NRAK-" + of(UPPER, 27)),
    "sentry": ("SENTRY_AUTH_TOKEN", lambda: "sntryu_" + of(HEX, 64)),
    "planetscale": ("PLANETSCALE_TOKEN", lambda: "pscale_tkn_" + of(WORD, 43)),
    "supabase": ("SUPABASE_ACCESS_TOKEN", lambda: "sbp_" + of(HEX, 40)),
    "netlify": ("NETLIFY_AUTH_TOKEN", lambda: "nfp_" + of(LETTERS, 36)),
    "tailscale": ("TS_AUTHKEY", lambda: f"tskey-auth-{of(LETTERS, 12)}CNTRL-{of(LETTERS, 32)}"),
    "telegram-bot": ("TELEGRAM_BOT_TOKEN", lambda: f"{of('123456789', 10)}:AA{of(WORD, 33)}"),
    "discord-bot": (
        "DISCORD_TOKEN",
        lambda: f"M{base64.b64encode(of('123456789', 18).encode()).decode()[1:]}.G{of(LETTERS, 5)}.{of(WORD, 38)}",
    ),
    "dropbox": ("DROPBOX_TOKEN", lambda: "sl." + of(WORD, 137)),
    "buildkite": ("BUILDKITE_TOKEN", lambda: "bkua_" + of(HEX, 40)),
    "age-key": ("SOPS_AGE_KEY", lambda: "AGE-SECRET-KEY-1" + of("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58)),
    "jwt": ("access_token", jwt),
}
# What looks like nothing but for the name beside it.
NAMED = {
    "aws-secret-key": ("aws_secret_access_key", lambda: of(BASE64, 40)),
    "azure-client-secret": ("client_secret", lambda: f"{of(LETTERS, 3)}8Q~{of(WORD, 34)}"),
    "datadog": ("DD_API_KEY", lambda: of(HEX, 32)),
    "twilio-auth-token": ("TWILIO_AUTH_TOKEN", lambda: of(HEX, 32)),
    "oauth-client-secret": ("client_secret", lambda: of(WORD, 43)),
    "refresh-token": ("refresh_token", lambda: of(WORD, 64)),
    "api-key": ("api_key", lambda: of(LETTERS, 32)),
    "password": ("password", lambda: of(LETTERS, 10) + draw.choice("!%^*") + of(LETTERS, 12)),
    "signing-secret": ("WEBHOOK_SECRET", lambda: of(HEX, 64)),
}


def names(name):
    """The name in the ways of a shell and of a program."""
    return name.upper().replace("-", "_"), name.lower()


# Each makes a document of a name and a secret.
CODE = {
    "python": lambda shell, own, secret: f'''import requests

{shell} = "{secret}"

def orders(page: int) -> list[dict]:
    """One page of orders, the newest first."""
    answer = requests.get("https://api.acme.test/v2/orders", params={{"page": page}}, timeout=10)
    answer.raise_for_status()
    return answer.json()["orders"]
''',
    "javascript": lambda shell, own, secret: f'''import {{ Client }} from "@acme/sdk";

const client = new Client({{
  {own}: '{secret}',
  region: "eu-central-1",
  retries: 3,
}});
export const version = "3.14.2";
''',
    "go": lambda shell, own, secret: f'''package main

const {own} = "{secret}"

func main() {{
	client := acme.New(acme.Options{{Token: {own}, Timeout: 10 * time.Second}})
	defer client.Close()
}}
''',
    "java": lambda shell, own, secret: f'''public final class Settings {{
    // Moved to the keystore in 4.2 (commit 9f2c1e7ab0d34c55).
    private static final String {shell} = "{secret}";
    public static final int RETRIES = 3;
}}
''',
    "shell": lambda shell, own, secret: f'''#!/usr/bin/env bash
set -euo pipefail
export {shell}={secret}
terraform plan -out plan.bin && terraform apply plan.bin
''',
}
CONFIGURATION = {
    "dotenv": lambda shell, own, secret: f"# production\nLOG_LEVEL=info\n{shell}={secret}\nPORT=8080\n",
    "yaml": lambda shell, own, secret: f"service:\n  name: billing\n  replicas: 3\n  {own}: {secret}\n  image: acme/billing:1.8.3\n",
    "json": lambda shell, own, secret: json.dumps({"name": "billing", own: secret, "region": "us-east-1", "debug": False}, indent=2),
    "toml": lambda shell, own, secret: f'[upstream]\nurl = "https://api.acme.test"\n{own} = "{secret}"\ntimeout = 30\n',
    "compose": lambda shell, own, secret: f"services:\n  web:\n    image: acme/web@sha256:{of(HEX, 64)}\n    environment:\n      - {shell}={secret}\n      - TZ=UTC\n",
    "dockerfile": lambda shell, own, secret: f"FROM debian:12-slim\nENV {shell}={secret}\nRUN apt-get update && apt-get install -y curl\n",
}
TROUBLE = {
    "log": lambda shell, own, secret: (
        f"2026-11-27T09:14:02.113Z INFO  sync started, run 0198f3c2-7d3e-7a41-9c55-{of(HEX, 12)}\n"
        f"2026-11-27T09:14:02.840Z DEBUG config loaded: {own}={secret} region=eu-west-1\n"
        "2026-11-27T09:14:03.002Z ERROR 403 from upstream, giving up after 3 attempts\n"
    ),
    "ticket": lambda shell, own, secret: (
        "Hi, since yesterday the nightly import fails with `401 Unauthorized`. What I tried: rotated the certificate, cleared "
        f"the cache, restarted twice. In the settings there is {own}: `{secret}` and nothing else has changed. Version 5.11.0, "
        "Debian 12. Thanks!\n"
    ),
    "answer": lambda shell, own, secret: (
        "The variable is read once, at start. Set it like this, and restart the service:\n\n"
        f"```sh\n{shell}='{secret}' ./bin/worker --queue default\n```\n\nThen `/health` answers 200.\n"
    ),
}
# How tokens are sent, which needs no name.
SENT = {
    "curl": lambda secret: (
        f'$ curl -sS -H "Authorization: Bearer {secret}" https://api.acme.test/v1/me\n'
        '{"error":"forbidden","request_id":"req_01J9ZK"}\n'
    ),
    "trace": lambda secret: (
        "> GET /v1/me HTTP/1.1\n> Host: api.acme.test\n> User-Agent: curl/8.5.0\n"
        f"> Authorization: Bearer {secret}\n>\n< HTTP/1.1 403 Forbidden\n< Content-Length: 0\n"
    ),
    "error": lambda secret: f"requests.exceptions.HTTPError: 401 Client Error for url: https://api.acme.test/v1/me?access_token={secret}&page=2\n",
    "sentence": lambda secret: f"I pasted {secret} into the form, and it still says that the token is unknown. Should I make a new one?\n",
}


def basic():
    """RFC 7617."""
    return base64.b64encode(f"svc-{of(LOWER, 6)}:{of(LETTERS, 20)}".encode()).decode()


# What is a secret by where it stands.
PLACED = {
    "url-password": (
        lambda: of(LETTERS, 16),
        [
            lambda secret: f"DATABASE_URL=postgres://billing:{secret}@db.acme.test:5432/billing?sslmode=require\n",
            lambda secret: f"redis.exceptions.ConnectionError: Error connecting to redis://default:{secret}@cache-1.acme.test:6379/0\n",
            lambda secret: f'  "mongo": "mongodb+srv://app:{secret}@cluster0.ab12c.mongodb.net/prod",\n',
            lambda secret: f"git clone https://deploy:{secret}@git.acme.test/acme/site.git\n",
        ],
    ),
    "basic-header": (
        basic,
        [
            lambda secret: f"> PUT /artifacts/app.jar HTTP/1.1\n> Authorization: Basic {secret}\n> Accept: */*\n",
            lambda secret: f'headers = {{"Authorization": "Basic {secret}", "Accept": "application/json"}}\n',
        ],
    ),
    "azure-storage": (
        lambda: base64.b64encode(raw(64)).decode(),
        [
            lambda secret: f"DefaultEndpointsProtocol=https;AccountName=acmeprod;AccountKey={secret};EndpointSuffix=core.windows.net\n",
            lambda secret: f'"AzureWebJobsStorage": "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={secret}",\n',
        ],
    ),
    "private-key": (
        lambda: pem(*draw.choice([("RSA PRIVATE KEY", 1190), ("EC PRIVATE KEY", 121), ("OPENSSH PRIVATE KEY", 399), ("PRIVATE KEY", 138)])),
        [
            lambda secret: f"The deploy key that I use:\n\n{secret}\n\nDoes the host know it?\n",
            lambda secret: f"tls:\n  key: |\n{textwrap.indent(secret, '    ')}\n  port: 8443\n",
            lambda secret: json.dumps({"type": "service_account", "private_key": secret + "\n", "client_email": "ci@acme.test"}, indent=2),
            lambda secret: "KEY = \"\"\"" + secret + "\"\"\"\n\ndef sign(text):\n    return rsa(KEY, text)\n",
        ],
    ),
}
# What stands in such places and is none.
DECOYS = [
    ("aws_access_key_id", lambda: "YOUR_AWS_ACCESS_KEY_ID"),
    ("api_key", lambda: "<your-api-key>"),
    ("API_TOKEN", lambda: "${API_TOKEN}"),
    ("password", lambda: "changeme"),
    ("client_secret", lambda: "{{ vault.client_secret }}"),
    ("secret_name", lambda: "billing-prod-credentials"),
    ("image_digest", lambda: "sha256:" + of(HEX, 64)),
    ("commit", lambda: of(HEX, 40)),
    ("request_id", lambda: f"{of(HEX, 8)}-{of(HEX, 4)}-4{of(HEX, 3)}-a{of(HEX, 3)}-{of(HEX, 12)}"),
    ("etag", lambda: 'W/"' + of(HEX, 32) + '"'),
    ("next_page_token", lambda: "CAUQAA"),
    ("public_key", lambda: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + of(BASE64, 43)),
    ("integrity", lambda: "sha512-" + base64.b64encode(raw(64)).decode()),
    ("max_tokens", lambda: "4096"),
    ("token_endpoint", lambda: "https://id.acme.test/oauth2/token"),
    ("session_file", lambda: "/var/lib/acme/sessions/" + of(LOWER, 12) + ".db"),
    ("id", lambda: "01" + of("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24)),
    ("model", lambda: "gpt-4o-2024-08-06"),
]


def documents():
    """All of them: kind of document, kind of secret, the text, and the secret in it, or none."""
    draw.seed(SEED)
    makers = {f"{of_what}/{name}": make for of_what, all_of_it in
              [("code", CODE), ("configuration", CONFIGURATION), ("trouble", TROUBLE)] for name, make in all_of_it.items()}
    for kind, (name, make) in {**TOKENS, **NAMED}.items():
        for place, document in makers.items():
            secret = make()
            yield place, kind, document(*names(name), secret), secret
    for kind, (_, make) in TOKENS.items():
        for place, document in SENT.items():
            if kind == "slack-webhook" and place != "sentence":
                continue
            secret = make()
            yield f"sent/{place}", kind, document(secret), secret
    for kind, (make, places) in PLACED.items():
        for number, document in enumerate(places):
            for _ in range(4):
                secret = make()
                yield f"placed/{number}", kind, document(secret), secret
    for name, make in DECOYS:
        for place, document in makers.items():
            yield place, "none", document(*names(name), make()), None
