//! `bailiwick demo agents`: the story plays, every step as it must be, and its lines say what a reader has to learn.

use crate::cli::{err, out, program};

#[test]
fn an_agent_writes_a_proposal_for_somebody_step_by_step() {
    let directory = tempfile::tempdir().unwrap();
    let output = program(directory.path()).args(["demo", "agents"]).output().unwrap();
    let said = out(&output);
    assert_eq!(output.status.code(), Some(0), "{said}{}", err(&output));
    assert_eq!(err(&output), "");
    let steps = [
        "1.1 ", "1.2 ", "2.1 ", "2.2 ", "3.1 ", "3.2 ", "3.3 ", "3.4 ", "3.5 ", "4.1 ", "4.2 ", "4.3 ", "4.4 ", "5.1 ",
        "5.2 ", "5.3 ", "5.4 ", "6.1 ", "6.2 ", "6.3 ", "6.4 ", "5+ ", "7.1 ",
    ];
    let at: Vec<_> = steps.iter().map(|step| said.find(&format!("\n{step}")).expect(step)).collect();
    assert!(at.is_sorted(), "{said}");
    let one_line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "svc-proposals new agent:",
        "app-0017 connection connection:crm",
        "sees the draft: Proposal bot (svc-proposals), made by j.smith 40 days ago",
        "one account is found once",
        "lets the draft act as it is 409 conflict",
        "adopts the draft as sales-agent-prod-001; its account at the CRM goes with it",
        "svc-proposals is the account of sales-agent-prod-001",
        "began in another browser",
        "reads pricing://executive-discounts 200 MCP -32001 by mcp.check",
        "OpenFGA's Check and AuthZEN's evaluations say the same",
        "the vault refreshed it, once",
        "by exchange.mode",
        "pricing:read, of pricing:read, pricing:write and pricing:admin",
        "by connection.never",
        "by redeem.replayed",
        "by proxy.scope.approval",
        "[x] Send the proposal for $450000.00 to Acme Corp",
        "her phone shows “Sales agent asks for your approval",
        "with the 4 details that were approved",
        "Sarah's team and her manager see it, and nobody else",
        "[x] Buy 40 licences, one year from Figma Inc. for $5000.00",
        "gets a token for exactly this purchase, once",
        "asks why the file could be put on Drive",
        "by approval.used",
        "Bearer [removed:held-secret]",
        "each has user:sarah and agent:sales-agent-prod-001",
        "none is where it must not be",
        "Everything was as it must be",
    ] {
        assert!(one_line.contains(words), "`{words}` is not in\n{said}");
    }
    assert!(said.lines().all(|line| line.chars().count() <= 100), "a line is wider than a terminal\n{said}");
    assert!(!said.contains('\x1b'), "colours are for terminals");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left behind");
}
