"""apparitor, unmodified: an enforcement point for agents that refuses every answer which is not exactly AuthZEN's.
Usage: judge.py https://127.0.0.1:PORT/stores/ID KEY AUTHORITY"""

import asyncio
import ssl
import sys

import httpx
from apparitor.client import AuthZENClient
from apparitor.config import ScannerConfig
from apparitor.errors import AuthZENClientError
from apparitor.models import (
    Action,
    BatchEvaluationRequest,
    EvaluationItem,
    EvaluationRequest,
    EvaluationSemantic,
    EvaluationsOptions,
    Resource,
    Subject,
)

ASKED = [("crm", "//contacts/acme-corp", True), ("docs", "//proposals/templates", True), ("pricing", "//executive-discounts", False)]
SARAH, VIEWER = Subject(type="user", id="sarah", properties={"hour": 9}), Action(name="viewer")


async def main(point: str, key: str, authority: str) -> None:
    context = ssl.create_default_context(cafile=authority)
    http = httpx.AsyncClient(verify=context, headers={"Authorization": f"Bearer {key}"})
    config = ScannerConfig(pdp_url=point, allow_insecure_pdp=True)  # it trusts no loopback address otherwise
    async with AuthZENClient(config, http_client=http) as client:
        for kind, id, allowed in ASKED:
            request = EvaluationRequest(subject=SARAH, action=VIEWER, resource=Resource(type=kind, id=id), context={"hour": 9})
            assert (await client.evaluate(request)).decision is allowed, (kind, id)
        items = [EvaluationItem(resource=Resource(type=kind, id=id)) for kind, id, _ in ASKED]
        for semantic, some, expected in [
            (EvaluationSemantic.EXECUTE_ALL, items, [True, True, False]),
            (EvaluationSemantic.DENY_ON_FIRST_DENY, items[::-1], [False]),
            (EvaluationSemantic.PERMIT_ON_FIRST_PERMIT, items[::-1], [False, True]),
        ]:
            options = EvaluationsOptions(evaluations_semantic=semantic)
            request = BatchEvaluationRequest(subject=SARAH, action=VIEWER, evaluations=some, options=options)
            answers = (await client.evaluate_batch(request)).evaluations
            assert [answer.decision for answer in answers] == expected, semantic
        wrong = EvaluationRequest(subject=SARAH, action=Action(name="fly"), resource=Resource(type="crm", id="1"))
        try:
            await client.evaluate(wrong)
            raise SystemExit("a relation that is not there was decided")
        except AuthZENClientError as error:
            assert error.status_code == 400, error
    await http.aclose()
    print("apparitor: evaluations, one by one and in batches")


asyncio.run(main(*sys.argv[1:4]))
