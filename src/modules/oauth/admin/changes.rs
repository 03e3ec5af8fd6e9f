//! What changed in the tenant's own tuples, in order: who was given what, and from whom it was taken. To be read again and again
//! from where the last answer ended.

use crate::engine::{Position, QuestionError, ReadChangesQuery};
use crate::identity::{Answer, ErrorCode, PAGE_MAX, Refusal, Tenant};
use serde::Deserialize;
use serde_json::{Value, json};

/// The scope that reads them.
pub const CHANGES_READ: &str = "changes:read";
/// Changes on a page unless said.
const PAGE_DEFAULT: usize = 100;

/// Which changes are wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangesQuery {
    /// Of objects of this type alone.
    r#type: Option<String>,
    /// Behind this place, the `next` of another answer.
    after: Option<String>,
    limit: Option<usize>,
}

/// A page of them.
pub(super) fn page(tenant: &Tenant, query: &ChangesQuery) -> Answer<Value> {
    let after = query.after.as_deref().map(|text| {
        let bad =
            || Refusal::new(ErrorCode::InvalidRequest, "changes.after", "`after` is the `next` of another answer");
        text.parse::<Position>().map_err(|_| bad())
    });
    let wanted = ReadChangesQuery {
        object_type: query.r#type.as_deref(),
        page_size: query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX),
        after: after.transpose()?,
        ..ReadChangesQuery::default()
    };
    let page = tenant.engine().read_changes(tenant.system_store(), &wanted).map_err(|error| {
        if matches!(error, QuestionError::PositionGone) {
            let text = "what stands behind `after` is kept no more; read the state anew, and go on without `after`";
            return Refusal::new(ErrorCode::InvalidRequest, "changes.gone", text);
        }
        error.into()
    })?;
    let shown = page.value.iter().map(|change| {
        json!({
            "operation": if change.deleted { "delete" } else { "write" },
            "object": change.tuple.object.to_string(),
            "relation": change.tuple.relation,
            "user": change.tuple.subject.to_string(),
            "at": change.at.0 / 1_000_000_000,
            "revision": change.position.revision.0,
        })
    });
    let last = page.value.last().map(|change| change.position.to_string());
    Ok(json!({"changes": shown.collect::<Vec<_>>(), "next": last.or_else(|| query.after.clone())}))
}
