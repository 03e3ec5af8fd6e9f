//! What people allowed, for those who ask: the exchange, the registry and the MCP servers each name what has to be approved as
//! authorization details (RFC 9396); `modules/approval` knows who allowed exactly that, and uses it up.

use crate::identity::{Allowing, Answer, Chain, Change, Env, ErrorCode, Examined, Grant, Tenant};
use crate::modules::approval::{self, Item, access_detail};
use crate::modules::exchange::{Approval, NeedsApproval};
use crate::modules::mcp::{self, servers};
use crate::modules::{agent, exchange, oauth, vault};
use serde_json::{Value, json};

/// The type of the details of what a connection gives with an approval.
const CONNECTION_ACCESS: &str = "connection_access";
/// What an access request names to ask for a connection's scopes, and for a call of an MCP server's tool.
const CONNECTION: &str = "connection";
const MCP_TOOL: &str = "mcp_tool";

/// Approvals, for those who use them up.
pub(super) struct Spent(pub(super) approval::Approvals);

/// The details of scopes of a connection, and of what is asked for there besides.
fn connection_access(connection: &str, audience: &str, scopes: &[String], details: &[Value]) -> Value {
    let mut scopes = scopes.to_vec();
    scopes.sort_unstable();
    let mut what = json!({
        "type": CONNECTION_ACCESS, "connection": connection, "locations": [audience], "actions": scopes,
    });
    if let (Some(what), false) = (what.as_object_mut(), details.is_empty()) {
        what.insert("details".to_owned(), json!(details));
    }
    what
}

impl exchange::Approvals for Spent {
    fn spend(&self, change: &mut Change<'_>, needs: &NeedsApproval<'_>, env: &Env<'_>) -> Answer<Option<Approval>> {
        // People approve for a person; a client that asks for itself has nobody whom that could be.
        let Some(user) = needs.user else { return Ok(None) };
        let what = connection_access(needs.connection, needs.audience, needs.scopes, needs.details);
        let asks = needs.client.subject();
        let id = match needs.approval {
            // What CIBA answers names the approval before the dot.
            Some(named) => named.split('.').next().unwrap_or_default().to_owned(),
            None => match self.0.find(needs.tenant, (&asks, user), &what, env)? {
                Some(id) => id,
                None => return Ok(None),
            },
        };
        let used = self.0.spend(needs.tenant, change, &id, (&asks, Some(user)), &what, env)?;
        Ok(Some(Approval { id, until: used.until }))
    }

    fn how(&self, needs: &NeedsApproval<'_>) -> String {
        format!(
            "ask for one with `authorization_details` of type `{CONNECTION_ACCESS}` at `{}`, or at `{}`, and ask again",
            needs.tenant.url("/bc-authorize"),
            needs.tenant.url("/access-requests"),
        )
    }
}

impl agent::Approvals for Spent {
    fn spend(
        &self,
        tenant: &Tenant,
        change: &mut Change<'_>,
        approval: &str,
        subject: &str,
        what: &Value,
        env: &Env<'_>,
    ) -> Answer<String> {
        self.0.spend(tenant, change, approval, (subject, None), what, env).map(|used| used.by)
    }
}

impl oauth::DetailUses for Spent {
    fn unused(&self, tenant: &Tenant, examined: &Examined, _: &Env<'_>) -> Answer<Vec<Value>> {
        // A token that was exchanged hangs on the one that was approved.
        let (mut left, mut approved) = (examined.details().to_vec(), false);
        for held in examined.chain().grants() {
            approved |= self.0.of_grant(tenant, &held.id)?.is_some();
            left = self.0.unused(tenant, held, left)?;
        }
        if approved {
            return Ok(left);
        }
        // Of what was never approved, that of which nobody need be asked, and what the person allowed on the page of consent.
        let root = examined.chain().grants().last();
        let stands = |detail: &Value| match tenant.allowing(detail) {
            Ok(Allowing::Nobody) => Ok(true),
            Ok(Allowing::Person(wanted)) => Ok(root.is_some_and(|root| root.was_allowed(&wanted))),
            Ok(Allowing::Others) => Ok(false),
            Err(refusal) if refusal.error == ErrorCode::InvalidAuthorizationDetails => Ok(false),
            Err(refusal) => Err(refusal),
        };
        let good = left.iter().map(stands).collect::<Answer<Vec<bool>>>()?;
        Ok(left.into_iter().zip(good).filter_map(|(detail, good)| good.then_some(detail)).collect())
    }

    fn use_up(&self, tenant: &Tenant, examined: &Examined, what: &Value, env: &Env<'_>) -> Answer<Option<String>> {
        self.granted(tenant, examined.chain(), examined.details(), what, env)
    }
}

impl Spent {
    /// Uses up the approval by which one of these grants was given, if these details have exactly `what`.
    pub(super) fn granted(
        &self,
        tenant: &Tenant,
        chain: &Chain,
        details: &[Value],
        what: &Value,
        env: &Env<'_>,
    ) -> Answer<Option<String>> {
        if !details.contains(what) {
            return Ok(None);
        }
        // A token that was exchanged hangs on the one that was approved.
        for held in chain.grants() {
            if let Some(id) = self.0.spend_granted(tenant, held, what, env)? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

impl vault::Approvals for Spent {
    fn spend(&self, tenant: &Tenant, grant: &Grant, detail: &Value, env: &Env<'_>) -> Answer<Option<String>> {
        self.0.spend_granted(tenant, grant, detail, env)
    }
}

/// What an access request (AuthZEN ARAP) asks for, as the details that are used up where it was denied.
pub(super) struct Shapes;

impl approval::Shapes for Shapes {
    fn detail(&self, tenant: &Tenant, item: &Item) -> Answer<Value> {
        let shaped = match item.resource.kind.as_str() {
            MCP_TOOL => tool_call(tenant, item)?,
            CONNECTION => scopes(tenant, item)?,
            _ => None,
        };
        Ok(shaped.unwrap_or_else(|| access_detail(item)))
    }
}

/// A call of a tool of an MCP server of the tenant: `properties.server` names it, by name or identifier.
fn tool_call(tenant: &Tenant, item: &Item) -> Answer<Option<Value>> {
    let named = item.resource.properties.as_ref().and_then(|all| all.get("server")).and_then(Value::as_str);
    let Some(named) = named else { return Ok(None) };
    let all = servers::servers(tenant)?;
    let found = all.iter().find(|held| held.spec.name == named || held.spec.identifier(tenant) == named);
    let Some(spec) = found.map(|held| &held.spec) else { return Ok(None) };
    let tool = &item.resource.id;
    let Some(kind) = spec.approval_of(tool) else { return Ok(None) };
    let arguments = item.action.properties.clone().unwrap_or_default();
    let resource = spec.identifier(tenant);
    Ok(Some(mcp::ApprovalCall { kind, resource: &resource, tool, arguments: &arguments, trace: "" }.details()))
}

/// Scopes of a managed connection: the action's name has them, with blanks between.
fn scopes(tenant: &Tenant, item: &Item) -> Answer<Option<Value>> {
    let connection = match exchange::connection(tenant, &item.resource.id) {
        Ok(connection) => connection,
        Err(refusal) if matches!(refusal.error, ErrorCode::NotFound | ErrorCode::InvalidRequest) => return Ok(None),
        Err(refusal) => return Err(refusal),
    };
    let wanted: Vec<String> = item.action.name.split(' ').filter(|s| !s.is_empty()).map(str::to_owned).collect();
    Ok(Some(connection_access(&connection.id, connection.audience(), &wanted, &[])))
}
