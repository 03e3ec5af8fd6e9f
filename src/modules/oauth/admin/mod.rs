//! Administration of what tokens say and how many there are, and of who asks for them: claims of a tenant's own, limits of
//! resources, clients, keys and settings, people, roles, and whose word about workloads is taken.

pub mod changes;
pub mod clients;
pub mod http;
pub mod people;
pub mod roles;
pub mod tenant;

use crate::identity::{Answer, Held, PAGE_MAX, Stored, check_id};

/// Pages of records that one page of those that are there is found in.
const PAGES_MAX: usize = 20;

/// The scope that reads claims, and the one that changes them.
pub const CLAIMS_READ: &str = "claims:read";
/// See [`CLAIMS_READ`].
pub const CLAIMS_WRITE: &str = "claims:write";
/// The scope that reads resources and their limits, and the one that changes them.
pub const RESOURCES_READ: &str = "resources:read";
/// See [`RESOURCES_READ`].
pub const RESOURCES_WRITE: &str = "resources:write";
/// The scope that reads trusted issuers of workloads, and the one that changes them.
pub const WORKLOADS_READ: &str = "workloads:read";
/// See [`WORKLOADS_READ`].
pub const WORKLOADS_WRITE: &str = "workloads:write";

/// Those of all records that are there, in the order of their ids, behind the id `after`: at most `max`, and behind which to go on
/// when there may be more. `read` answers a page of all.
fn present<T: Stored>(
    after: Option<String>,
    max: usize,
    read: impl Fn(Option<&str>) -> Answer<Vec<Held<T>>>,
    is_there: impl Fn(&T) -> bool,
) -> Answer<(Vec<Held<T>>, Option<String>)> {
    after.as_deref().map(check_id).transpose()?;
    let (mut page, mut at) = (Vec::new(), after);
    for _ in 0..PAGES_MAX {
        let records = read(at.as_deref())?;
        let last = records.len() < PAGE_MAX;
        for held in records {
            if page.len() >= max {
                return Ok((page, at));
            }
            at = Some(held.last());
            if is_there(&held.value) {
                page.push(held);
            }
        }
        if last {
            return Ok((page, None));
        }
    }
    Ok((page, at))
}
