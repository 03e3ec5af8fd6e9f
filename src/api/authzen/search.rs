//! The searches (AuthZEN 1.0, section 8): who may, what may they see, what may they do. A list is whole, cut into pages only.
//! A type that the model does not know has no members: its list is empty, as the standard's certification wants it.

use super::entity::{self, Parts};
use super::page::{Page, Told, Wish};
use super::{Asks, Sent, printed};
use crate::api::calls::{Asked, Called};
use crate::api::fast::Object;
use crate::api::run::Api;
use crate::engine::{Given, ListObjectsQuery, ListUsersQuery, View};
use crate::tuple::{Context, ObjectRef, Subject, SubjectRef, TupleKeyRef};
use crate::wire::{Code, Problem};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What all searches ask with.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Search {
    #[serde(flatten)]
    parts: Parts,
    page: Option<Object<Wish>>,
}

macro_rules! searches {
    ($($name:ident $text:literal, $about:literal;)*) => {
        $(#[doc = $about]
        #[derive(Deserialize)]
        #[serde(transparent)]
        pub(super) struct $name(Search);
        impl Asks for $name {
            const NAME: &'static str = $text;
        })*
    };
}

searches! {
    SubjectSearch "AuthzenSubjectSearchRequest", "Who may do this to that?";
    ResourceSearch "AuthzenResourceSearchRequest", "To what may they do this?";
    ActionSearch "AuthzenActionSearchRequest", "What may they do to that?";
}

/// A subject or a resource that was found.
#[derive(Serialize)]
struct Found<'a> {
    r#type: &'a str,
    id: &'a str,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Results<T> {
    results: Vec<T>,
    page: Told,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Value>,
}

impl Search {
    /// The page, of this question: another one has another digest.
    fn page<B>(&self, r: &Sent<B>, parts: [&str; 4], context: &Context, size_max: usize) -> Result<Page, Problem> {
        let mut context = Value::Object(context.clone());
        context.sort_all_objects();
        let question = json!([r.store, r.model, parts, context]).to_string();
        Page::of(self.page.as_ref().map(|Object(wish)| wish), &question, size_max)
    }

    fn asked(&self) -> entity::Asked<'_> {
        const NOTHING: &Parts = &Parts::NOTHING;
        self.parts.with(NOTHING)
    }
}

fn knows(view: &View, object_type: &str) -> bool {
    view.model().object_type(object_type).is_some()
}

fn malformed(error: &crate::tuple::TupleTextError) -> Problem {
    Problem::new(Code::Validation, error.to_string())
}

/// What is found, as JSON.
fn found<'a>(object_type: &str, page: &Page, ids: impl Iterator<Item = &'a str>) -> Result<Vec<u8>, Problem> {
    let (ids, page) = page.cut(ids);
    let results = ids.into_iter().map(|id| Found { r#type: object_type, id }).collect();
    printed(&Results::<Found<'_>> { results, page, context: None })
}

impl Api {
    /// ListUsers. Everybody of a type is the id `*`, as a tuple has it.
    pub(super) fn search_subjects(&self, r: &Sent<SubjectSearch>, asked: &Asked<'_>) -> Called<Vec<u8>> {
        let SubjectSearch(search) = &r.body;
        let of = search.asked();
        let (subject_type, relation) = (of.subject_type()?, of.relation()?);
        let (object, context) = (of.object()?, of.context()?);
        let size_max = self.bounds().list_users_results_max;
        let page = search.page(r, ["subject", subject_type, relation, &object], &context, size_max)?;
        let view = self.view(&r.store, &r.model, asked)?;
        self.under(&view, |view| {
            let object = ObjectRef::parse(&object).map_err(|error| malformed(&error))?;
            if !knows(view, subject_type) || !knows(view, object.object_type) {
                return found(subject_type, &page, std::iter::empty());
            }
            let given = Given { contextual_tuples: &[], context: Some(&context) };
            let query = ListUsersQuery { object, relation, subject_type, subject_relation: None, given };
            let users = view.list_users(&query, &self.limits(asked))?;
            let ids = users.iter().filter_map(|user| match user {
                Subject::Object(object) => Some(object.id.as_str()),
                Subject::Wildcard { .. } => Some("*"),
                Subject::Userset { .. } => None, // none was asked for
            });
            found(subject_type, &page, ids)
        })
    }

    /// ListObjects.
    pub(super) fn search_resources(&self, r: &Sent<ResourceSearch>, asked: &Asked<'_>) -> Called<Vec<u8>> {
        let ResourceSearch(search) = &r.body;
        let of = search.asked();
        let (user, relation) = (of.user()?, of.relation()?);
        let (subject_type, object_type) = (of.subject_type()?, of.resource_type()?);
        let context = of.context()?;
        let size_max = self.bounds().list_objects_results_max;
        let page = search.page(r, ["resource", &user, relation, object_type], &context, size_max)?;
        let view = self.view(&r.store, &r.model, asked)?;
        self.under(&view, |view| {
            if !knows(view, subject_type) || !knows(view, object_type) {
                return found(object_type, &page, std::iter::empty());
            }
            let subject = SubjectRef::parse(&user).map_err(|error| malformed(&error))?;
            let given = Given { contextual_tuples: &[], context: Some(&context) };
            let query = ListObjectsQuery { object_type, relation, subject, given };
            let listed = view.list_objects(&query, &self.limits(asked))?;
            found(object_type, &page, listed.iter())
        })
    }

    /// Which relations of the resource's type hold. One whose conditions lack something is left out, and named beside.
    pub(super) fn search_actions(&self, r: &Sent<ActionSearch>, asked: &Asked<'_>) -> Called<Vec<u8>> {
        let ActionSearch(search) = &r.body;
        let of = search.asked();
        let (user, subject_type) = (of.user()?, of.subject_type()?);
        let (object, context) = (of.object()?, of.context()?);
        let page = search.page(r, ["action", &user, "", &object], &context, 0)?;
        let view = self.view(&r.store, &r.model, asked)?;
        self.under(&view, |view| {
            let object_type = object.split_once(':').map_or("", |(object_type, _)| object_type);
            let relations = match view.model().object_type(object_type) {
                Some(definition) if knows(view, subject_type) => definition.relations.as_slice(),
                _ => &[],
            };
            let (mut held, mut undecided) = (Vec::new(), Vec::new());
            for relation in relations {
                let name = relation.name.as_str();
                let key = TupleKeyRef::parse(&object, name, &user).map_err(|error| malformed(&error))?;
                let given = Given { contextual_tuples: &[], context: Some(&context) };
                match self.decide(view, key, given, asked) {
                    Ok(true) => held.push(name),
                    Ok(false) => {}
                    // The type, the relation and the texts are good: a condition is what is left.
                    Err(problem) if problem.code == Code::Validation => {
                        undecided.push(json!({"name": name, "message": problem.short()}));
                    }
                    Err(problem) => return Err(problem),
                }
            }
            let (names, page) = page.cut(held.into_iter());
            let results = names.into_iter().map(|name| Named { name }).collect();
            let context = (!undecided.is_empty()).then(|| json!({ "undecided": undecided }));
            printed(&Results { results, page, context })
        })
    }
}
