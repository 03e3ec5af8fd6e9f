//! The rules of every request, field by field in the order of OpenFGA's proto files: the first broken one is the answer.
//! They come before everything else, so that a malformed request never learns whether a store exists.

use super::proto as pb;
use super::rules::{self, Checked};
use crate::wire::{Problem, now};
use std::collections::BTreeMap;

const CONTEXTUAL_TUPLES_MAX: usize = 100;
const CONTEXTUAL_TUPLES_PER_ASSERTION_MAX: usize = 20;
const ASSERTIONS_MAX: usize = 100;
const CONDITIONS_MAX: usize = 25;
const PARAMETERS_MAX: usize = 25;
const GENERIC_TYPES_MAX: usize = 5;

/// A request of the service.
pub(super) trait Wire: Send + 'static {
    /// Its name, which error texts and the JSON mapping use.
    const NAME: &'static str;

    /// Whether a caller's own `X-Request-ID` names it in the log too.
    const NAMED_BY_CALLER: bool = false;

    /// Checks every field's rule.
    fn validate(&self) -> Checked;

    /// The store it is about; empty when it is about none.
    fn store(&self) -> &str;

    /// Makes it about a store.
    fn set_store(&mut self, store: String);
}

/// A message within a request.
trait Part {
    fn validate(&self) -> Checked;
}

/// Checks messages in a list; a fault says which.
fn each<T: Part>(message: &'static str, field: &str, parts: &[T]) -> Checked {
    for (i, part) in parts.iter().enumerate() {
        part.validate().map_err(|fault| fault.within(message, &format!("{field}[{i}]")))?;
    }
    Ok(())
}

/// Checks messages in a map; a fault says which.
fn values<T: Part>(message: &'static str, field: &'static str, parts: &BTreeMap<String, T>) -> Checked {
    for (key, part) in parts {
        part.validate().map_err(|fault| fault.within(message, &format!("{field}[{key}]")))?;
    }
    Ok(())
}

/// The same where the keys have a rule as well.
fn pairs<T: Part>(message: &'static str, field: &'static str, parts: &BTreeMap<String, T>) -> Checked {
    for (key, part) in parts {
        rules::key((message, field), key)?;
        part.validate().map_err(|fault| fault.within(message, &format!("{field}[{key}]")))?;
    }
    Ok(())
}

/// Checks a message that may be missing.
fn part<T: Part>(message: &'static str, field: &'static str, part: Option<&T>) -> Checked {
    part.map_or(Ok(()), |p| p.validate().map_err(|fault: Problem| fault.within(message, field)))
}

/// Checks a message that must be there.
fn needed<T: Part>(message: &'static str, field: &'static str, value: Option<&T>) -> Checked {
    part(message, field, Some(rules::required((message, field), value)?))
}

macro_rules! requests {
    ($($name:ident($this:ident, $m:ident) $rules:block)*) => {
        $(impl Wire for pb::$name {
            const NAME: &'static str = stringify!($name);
            fn validate(&self) -> Checked {
                let ($this, $m) = (self, Self::NAME);
                rules::ulid(($m, "StoreId"), &$this.store_id)?;
                $rules
            }
            fn store(&self) -> &str {
                &self.store_id
            }
            fn set_store(&mut self, store: String) {
                self.store_id = store;
            }
        })*
    };
}

requests! {
    CheckRequest(r, m) {
        needed(m, "TupleKey", r.tuple_key.as_ref())?;
        part(m, "ContextualTuples", r.contextual_tuples.as_ref())?;
        rules::ulid_or_empty((m, "AuthorizationModelId"), &r.authorization_model_id)
    }
    BatchCheckRequest(r, m) {
        rules::items_at_least_one((m, "Checks"), r.checks.len())?;
        each(m, "Checks", &r.checks)?;
        rules::ulid_or_empty((m, "AuthorizationModelId"), &r.authorization_model_id)
    }
    ListObjectsRequest(r, m) {
        list_objects(m, [&r.authorization_model_id, &r.r#type, &r.relation, &r.user], r.contextual_tuples.as_ref())
    }
    StreamedListObjectsRequest(r, m) {
        list_objects(m, [&r.authorization_model_id, &r.r#type, &r.relation, &r.user], r.contextual_tuples.as_ref())
    }
    ListUsersRequest(r, m) {
        rules::ulid_or_empty((m, "AuthorizationModelId"), &r.authorization_model_id)?;
        needed(m, "Object", r.object.as_ref())?;
        rules::relation((m, "Relation"), &r.relation)?;
        rules::items_exactly_one((m, "UserFilters"), r.user_filters.len())?;
        each(m, "UserFilters", &r.user_filters)?;
        rules::items_at_most((m, "ContextualTuples"), r.contextual_tuples.len(), CONTEXTUAL_TUPLES_MAX)?;
        each(m, "ContextualTuples", &r.contextual_tuples)
    }
    ExpandRequest(r, m) {
        needed(m, "TupleKey", r.tuple_key.as_ref())?;
        rules::ulid_or_empty((m, "AuthorizationModelId"), &r.authorization_model_id)?;
        part(m, "ContextualTuples", r.contextual_tuples.as_ref())
    }
    ReadRequest(r, m) {
        part(m, "TupleKey", r.tuple_key.as_ref())?;
        rules::page_size((m, "PageSize"), r.page_size)?;
        rules::token((m, "ContinuationToken"), &r.continuation_token)
    }
    WriteRequest(r, m) {
        part(m, "Writes", r.writes.as_ref())?;
        part(m, "Deletes", r.deletes.as_ref())?;
        rules::ulid_or_empty((m, "AuthorizationModelId"), &r.authorization_model_id)
    }
    ReadChangesRequest(r, m) {
        rules::changed_type((m, "Type"), &r.r#type)?;
        rules::one_or_more((m, "PageSize"), r.page_size)?;
        rules::token((m, "ContinuationToken"), &r.continuation_token)?;
        let late = r.start_time.as_ref().is_some_and(|t| super::convert::nanoseconds(t) >= now().0);
        rules::in_the_past((m, "StartTime"), !late)
    }
    ReadAuthorizationModelRequest(r, m) {
        rules::ulid((m, "Id"), &r.id)
    }
    WriteAuthorizationModelRequest(r, m) {
        rules::items_at_least_one((m, "TypeDefinitions"), r.type_definitions.len())?;
        each(m, "TypeDefinitions", &r.type_definitions)?;
        rules::one_of((m, "SchemaVersion"), &r.schema_version, &["1.0", "1.1", "1.2"])?;
        rules::pairs_at_most((m, "Conditions"), r.conditions.len(), CONDITIONS_MAX)?;
        pairs(m, "Conditions", &r.conditions)
    }
    ReadAuthorizationModelsRequest(r, m) {
        rules::page_size((m, "PageSize"), r.page_size)?;
        rules::token((m, "ContinuationToken"), &r.continuation_token)
    }
    WriteAssertionsRequest(r, m) {
        rules::ulid((m, "AuthorizationModelId"), &r.authorization_model_id)?;
        rules::items_at_most((m, "Assertions"), r.assertions.len(), ASSERTIONS_MAX)?;
        each(m, "Assertions", &r.assertions)
    }
    ReadAssertionsRequest(r, m) {
        rules::ulid((m, "AuthorizationModelId"), &r.authorization_model_id)
    }
    GetStoreRequest(_r, _m) { Ok(()) }
    DeleteStoreRequest(_r, _m) { Ok(()) }
    UpdateStoreRequest(r, m) {
        rules::store_name((m, "Name"), &r.name)
    }
}

impl Wire for pb::CreateStoreRequest {
    const NAME: &'static str = "CreateStoreRequest";
    fn validate(&self) -> Checked {
        rules::store_name((Self::NAME, "Name"), &self.name)
    }
    fn store(&self) -> &'static str {
        ""
    }
    fn set_store(&mut self, _: String) {}
}

impl Wire for pb::ListStoresRequest {
    const NAME: &'static str = "ListStoresRequest";
    fn validate(&self) -> Checked {
        rules::page_size((Self::NAME, "PageSize"), self.page_size)?;
        rules::token((Self::NAME, "ContinuationToken"), &self.continuation_token)?;
        if self.name.is_empty() { Ok(()) } else { rules::store_name((Self::NAME, "Name"), &self.name) }
    }
    fn store(&self) -> &'static str {
        ""
    }
    fn set_store(&mut self, _: String) {}
}

/// The tuples that a request of our own adds for itself.
pub(super) fn given(m: &'static str, given: Option<&pb::ContextualTupleKeys>) -> Checked {
    part(m, "ContextualTuples", given)
}

/// Both forms of the question.
fn list_objects(
    m: &'static str,
    [model, object_type, relation, user]: [&str; 4],
    given: Option<&pb::ContextualTupleKeys>,
) -> Checked {
    rules::ulid_or_empty((m, "AuthorizationModelId"), model)?;
    rules::type_name((m, "Type"), object_type)?;
    rules::relation((m, "Relation"), relation)?;
    rules::bytes_within((m, "User"), user, 1, 512)?;
    part(m, "ContextualTuples", given)
}

macro_rules! parts {
    ($($name:path, $text:literal, ($this:ident, $m:ident) $rules:block)*) => {
        $(impl Part for $name {
            fn validate(&self) -> Checked {
                let ($this, $m) = (self, $text);
                $rules
            }
        })*
    };
}

parts! {
    pb::CheckRequestTupleKey, "CheckRequestTupleKey", (k, m) {
        rules::user((m, "User"), &k.user)?;
        rules::relation((m, "Relation"), &k.relation)?;
        rules::object((m, "Object"), &k.object)
    }
    pb::ExpandRequestTupleKey, "ExpandRequestTupleKey", (k, m) {
        rules::relation_or_empty((m, "Relation"), &k.relation)?;
        rules::object_or_empty((m, "Object"), &k.object)
    }
    pb::ReadRequestTupleKey, "ReadRequestTupleKey", (k, m) {
        rules::read_user((m, "User"), &k.user)?;
        rules::relation_or_empty((m, "Relation"), &k.relation)?;
        rules::object_or_empty((m, "Object"), &k.object)
    }
    pb::AssertionTupleKey, "AssertionTupleKey", (k, m) {
        rules::object((m, "Object"), &k.object)?;
        rules::relation((m, "Relation"), &k.relation)?;
        rules::user((m, "User"), &k.user)
    }
    pb::TupleKey, "TupleKey", (k, m) {
        rules::bytes_at_most((m, "User"), &k.user, 512)?;
        rules::relation_or_empty((m, "Relation"), &k.relation)?;
        rules::object_or_empty((m, "Object"), &k.object)?;
        part(m, "Condition", k.condition.as_ref())
    }
    pb::TupleKeyWithoutCondition, "TupleKeyWithoutCondition", (k, m) {
        rules::bytes_at_most((m, "User"), &k.user, 512)?;
        rules::relation_or_empty((m, "Relation"), &k.relation)?;
        rules::object_or_empty((m, "Object"), &k.object)
    }
    pb::RelationshipCondition, "RelationshipCondition", (c, m) {
        rules::condition_name((m, "Name"), &c.name)
    }
    pb::ContextualTupleKeys, "ContextualTupleKeys", (k, m) {
        rules::items_at_most((m, "TupleKeys"), k.tuple_keys.len(), CONTEXTUAL_TUPLES_MAX)?;
        each(m, "TupleKeys", &k.tuple_keys)
    }
    pb::WriteRequestWrites, "WriteRequestWrites", (w, m) {
        rules::items_at_least_one((m, "TupleKeys"), w.tuple_keys.len())?;
        each(m, "TupleKeys", &w.tuple_keys)
    }
    pb::WriteRequestDeletes, "WriteRequestDeletes", (w, m) {
        rules::items_at_least_one((m, "TupleKeys"), w.tuple_keys.len())?;
        each(m, "TupleKeys", &w.tuple_keys)
    }
    pb::BatchCheckItem, "BatchCheckItem", (i, m) {
        needed(m, "TupleKey", i.tuple_key.as_ref())?;
        part(m, "ContextualTuples", i.contextual_tuples.as_ref())?;
        rules::correlation_id((m, "CorrelationId"), &i.correlation_id)
    }
    pb::Object, "Object", (o, m) {
        rules::type_name((m, "Type"), &o.r#type)?;
        rules::object_id((m, "Id"), &o.id)
    }
    pb::UserTypeFilter, "UserTypeFilter", (f, m) {
        rules::type_name((m, "Type"), &f.r#type)?;
        rules::relation_or_empty((m, "Relation"), &f.relation)
    }
    pb::Assertion, "Assertion", (a, m) {
        needed(m, "TupleKey", a.tuple_key.as_ref())?;
        let count = a.contextual_tuples.len();
        rules::items_at_most((m, "ContextualTuples"), count, CONTEXTUAL_TUPLES_PER_ASSERTION_MAX)?;
        each(m, "ContextualTuples", &a.contextual_tuples)
    }
    pb::TypeDefinition, "TypeDefinition", (t, m) {
        rules::type_name((m, "Type"), &t.r#type)?;
        pairs(m, "Relations", &t.relations)?;
        part(m, "Metadata", t.metadata.as_ref())
    }
    pb::Metadata, "Metadata", (d, m) {
        values(m, "Relations", &d.relations)?;
        rules::relation_or_empty((m, "Module"), &d.module)?;
        part(m, "SourceInfo", d.source_info.as_ref())
    }
    pb::RelationMetadata, "RelationMetadata", (d, m) {
        each(m, "DirectlyRelatedUserTypes", &d.directly_related_user_types)?;
        rules::relation_or_empty((m, "Module"), &d.module)?;
        part(m, "SourceInfo", d.source_info.as_ref())
    }
    pb::SourceInfo, "SourceInfo", (s, m) {
        rules::source_file((m, "File"), &s.file)
    }
    pb::RelationReference, "RelationReference", (r, m) {
        rules::type_name((m, "Type"), &r.r#type)?;
        rules::relation_or_empty((m, "Condition"), &r.condition)?;
        match &r.relation_or_wildcard {
            Some(pb::relation_reference::RelationOrWildcard::Relation(relation)) => {
                rules::relation_or_empty((m, "Relation"), relation)
            }
            Some(pb::relation_reference::RelationOrWildcard::Wildcard(_)) | None => Ok(()),
        }
    }
    pb::ObjectRelation, "ObjectRelation", (o, m) {
        rules::bytes_at_most((m, "Object"), &o.object, 256)?;
        rules::bytes_at_most((m, "Relation"), &o.relation, 50)
    }
    pb::TupleToUserset, "TupleToUserset", (t, m) {
        needed(m, "Tupleset", t.tupleset.as_ref())?;
        needed(m, "ComputedUserset", t.computed_userset.as_ref())
    }
    pb::Usersets, "Usersets", (u, m) { each(m, "Child", &u.child) }
    pb::Difference, "Difference", (d, m) {
        needed(m, "Base", d.base.as_deref())?;
        needed(m, "Subtract", d.subtract.as_deref())
    }
    pb::Userset, "Userset", (u, m) {
        use pb::userset::Userset as U;
        match &u.userset {
            None | Some(U::This(_)) => Ok(()),
            Some(U::ComputedUserset(c)) => part(m, "ComputedUserset", Some(c)),
            Some(U::TupleToUserset(t)) => part(m, "TupleToUserset", Some(t)),
            Some(U::Union(c)) => part(m, "Union", Some(c)),
            Some(U::Intersection(c)) => part(m, "Intersection", Some(c)),
            Some(U::Difference(d)) => part(m, "Difference", Some(d.as_ref())),
        }
    }
    pb::Condition, "Condition", (c, m) {
        rules::relation((m, "Name"), &c.name)?;
        rules::bytes_at_most((m, "Expression"), &c.expression, 512)?;
        rules::pairs_at_most((m, "Parameters"), c.parameters.len(), PARAMETERS_MAX)?;
        pairs(m, "Parameters", &c.parameters)?;
        part(m, "Metadata", c.metadata.as_ref())
    }
    pb::ConditionMetadata, "ConditionMetadata", (c, m) {
        rules::relation_or_empty((m, "Module"), &c.module)?;
        part(m, "SourceInfo", c.source_info.as_ref())
    }
    pb::ConditionParamTypeRef, "ConditionParamTypeRef", (t, m) {
        let known = pb::condition_param_type_ref::TypeName::try_from(t.type_name).is_ok();
        rules::defined((m, "TypeName"), known)?;
        rules::items_at_most((m, "GenericTypes"), t.generic_types.len(), GENERIC_TYPES_MAX)?;
        each(m, "GenericTypes", &t.generic_types)
    }
}
