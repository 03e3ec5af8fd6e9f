//! Collections of chunks and their search: one set of requests, which the engine answers, for both surfaces.
//!
//! A request is read, checked and answered on the threads of a pool, because a body of vectors takes long to read.

mod embed;
mod grpc;
mod http;
mod json;
mod search;

use embed::Made;
pub(super) use grpc::{PATH, service};
pub(super) use http::routes;
use search::{Search, Searched};

use super::calls::{Answer, Asked, Called};
use super::rules::{self, Checked};
use super::run::{Api, Place, Step};
use super::stores::bad_token;
use super::tuples::refusal;
use super::validate::Wire;
use super::{convert, proto as fga};
use crate::engine::{
    At, CHUNKS_PER_PAGE_MAX, ChunkFault, ChunksQuery, CollectionInfo, CollectionSpec, Guard, NewChunk, OnRefused,
    ScrollQuery, StoredChunk, With, WriteError,
};
use crate::tuple::{Object, ObjectRef, StoreId};
use crate::vector::{Element, Filter, Metric, Payload, Space};
use crate::wire::{Code, Problem, decode_page, encode_page, now};
use axum::body::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::cell::Cell;
use std::time::Duration;

/// Chunks on a page of a scroll that does not say how many it wants.
const PAGE_SIZE_DEFAULT: u32 = 100;

/// The store, and the collection where there is one.
#[derive(Clone, Deserialize, Default)]
pub(super) struct In {
    store: String,
    #[serde(default)]
    collection: String,
}

impl In {
    fn store(&self) -> Result<StoreId, Problem> {
        convert::store_id(&self.store)
    }
}

/// A request about collections.
pub(super) trait Asks: DeserializeOwned + Send + 'static {
    const NAME: &'static str;
    type Answer: serde::Serialize + Send + 'static;

    /// Where it runs.
    fn place() -> Place {
        Place::Questions(Duration::ZERO)
    }

    /// Checks every field's rule.
    fn validate(&self) -> Checked {
        Ok(())
    }

    /// Texts that must become vectors before it can be answered.
    fn texts(&mut self, _: &Api, _: &In) -> Result<Vec<String>, Problem> {
        Ok(Vec::new())
    }

    /// Takes the vectors of those texts, in their order.
    fn embedded(&mut self, _: Vec<Vec<f32>>) {}

    fn answer(self, api: &Api, of: &In, asked: &Asked<'_>) -> Called<Self::Answer>;
}

/// A request as a surface hands it in.
pub(super) enum Form<R> {
    Json(Bytes),
    Read(R),
}

/// A request on its way to where it runs, where it is taken apart.
pub(super) struct Sent<R> {
    of: In,
    form: Cell<Option<Form<R>>>,
}

impl<R> Sent<R> {
    pub(super) fn new(of: In, form: Form<R>) -> Sent<R> {
        Sent { of, form: Cell::new(Some(form)) }
    }
}

impl<R: Asks> Wire for Sent<R> {
    const NAME: &'static str = R::NAME;

    fn validate(&self) -> Checked {
        rules::ulid((R::NAME, "StoreId"), &self.of.store)
    }

    fn store(&self) -> &str {
        &self.of.store
    }

    fn set_store(&mut self, store: String) {
        self.of.store = store;
    }
}

/// Reads a request, checks it and answers it, or says of which texts vectors are needed first. `finish` is the surface's.
pub(super) fn step<R: Asks, A: 'static>(
    api: &Api,
    sent: &Sent<R>,
    asked: &Asked<'_>,
    finish: fn(Answer<R::Answer>) -> Called<A>,
) -> Result<Step<A>, Problem> {
    let mut request = match sent.form.take() {
        Some(Form::Read(request)) => request,
        Some(Form::Json(body)) => json::read(&body)?,
        None => return Err(Problem::new(Code::Internal, "Internal Server Error")),
    };
    request.validate()?;
    let texts = request.texts(api, &sent.of)?;
    if texts.is_empty() {
        return finish(request.answer(api, &sent.of, asked)?).map(Step::Done);
    }
    let of = sent.of.clone();
    let then = move |api: &Api, asked: &Asked<'_>, vectors| {
        request.embedded(vectors);
        finish(request.answer(api, &of, asked)?)
    };
    Ok(Step::Embed(texts, Box::new(then)))
}

fn wrong(text: impl Into<String>) -> Problem {
    Problem::new(Code::Validation, text)
}

fn one_of<T: Copy>(what: &str, given: &str, known: &[(&str, T)]) -> Result<T, Problem> {
    let names = || known.iter().map(|(name, _)| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let found = known.iter().find(|(name, _)| *name == given);
    found.map(|(_, value)| *value).ok_or_else(|| wrong(format!("{what} is '{given}'; say one of {}", names())))
}

const METRICS: [(&str, Metric); 3] = [("cosine", Metric::Cosine), ("dot", Metric::Dot), ("euclid", Metric::Euclid)];
const ELEMENTS: [(&str, Element); 2] = [("f32", Element::F32), ("f16", Element::F16)];

fn name_of<T: PartialEq>(known: &[(&'static str, T)], value: &T) -> &'static str {
    known.iter().find(|(_, v)| v == value).map_or("", |(name, _)| name)
}

fn with(names: &[String]) -> Result<With, Problem> {
    let mut with = With::default();
    for name in names {
        match name.as_str() {
            "text" => with.text = true,
            "payload" => with.payload = true,
            "vector" => with.vector = true,
            other => return Err(wrong(format!("`with` names '{other}'; it may name 'text', 'payload', 'vector'"))),
        }
    }
    Ok(with)
}

fn object(field: &str, text: &str) -> Result<Object, Problem> {
    ObjectRef::parse(text).map(ObjectRef::to_owned).map_err(|fault| wrong(format!("{field}: {fault}")))
}

fn objects(field: &str, texts: &[String]) -> Result<Vec<Object>, Problem> {
    texts.iter().enumerate().map(|(i, text)| object(&format!("{field}[{i}]"), text)).collect()
}

fn of_latest<T, U>(api: &Api, asked: &Asked<'_>, at: At<T>, message: impl FnOnce(T) -> U) -> Called<U> {
    api.newest_only(asked, at.revision)?;
    Ok(written(at, message))
}

fn written<T, U>(at: At<T>, message: impl FnOnce(T) -> U) -> Answer<U> {
    Answer { message: message(at.value), revision: at.revision, model: None, truncated: false }
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CreateCollection {
    name: String,
    dimension: u32,
    metric: String,
    element: Option<String>,
    #[serde(deserialize_with = "json::object")]
    guard: GuardIn,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct GuardIn {
    r#type: String,
    relation: String,
}

/// A collection as it is described.
pub(super) struct Described(CollectionInfo);

impl Asks for CreateCollection {
    const NAME: &'static str = "CreateCollectionRequest";
    type Answer = Described;

    fn place() -> Place {
        Place::Writes
    }

    fn validate(&self) -> Checked {
        rules::type_name((Self::NAME, "Guard.Type"), &self.guard.r#type)?;
        rules::relation((Self::NAME, "Guard.Relation"), &self.guard.relation)
    }

    fn answer(self, api: &Api, of: &In, _: &Asked<'_>) -> Called<Described> {
        let metric = one_of("metric", &self.metric, &METRICS)?;
        let element = one_of("element", self.element.as_deref().unwrap_or("f32"), &ELEMENTS)?;
        let dimension = usize::try_from(self.dimension).unwrap_or(usize::MAX);
        let space = Space::new(dimension, metric, element).map_err(|fault| wrong(fault.to_string()))?;
        let guard = Guard { object_type: self.guard.r#type, relation: self.guard.relation };
        let spec = CollectionSpec { name: self.name, space, guard };
        let made = api.engine().create_collection(of.store()?, spec, now()).map_err(|error| {
            // Stores and models have ids that are taken as well; here it is the name.
            let WriteError::IdTaken { id } = error else { return error.into() };
            let text = format!("collection '{id}' exists already; delete it first, or choose another name");
            Problem::new(Code::CollectionExists, text)
        })?;
        Ok(written(made, Described))
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct ListCollections {}

#[derive(serde::Serialize)]
pub(super) struct Listed {
    collections: Vec<Described>,
}

impl Asks for ListCollections {
    const NAME: &'static str = "ListCollectionsRequest";
    type Answer = Listed;

    fn answer(self, api: &Api, of: &In, asked: &Asked<'_>) -> Called<Listed> {
        let found = api.engine().collections(of.store()?)?;
        of_latest(api, asked, found, |list| Listed { collections: list.into_iter().map(Described).collect() })
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct GetCollection {}

impl Asks for GetCollection {
    const NAME: &'static str = "GetCollectionRequest";
    type Answer = Described;

    fn answer(self, api: &Api, of: &In, asked: &Asked<'_>) -> Called<Described> {
        of_latest(api, asked, api.engine().collection(of.store()?, &of.collection)?, Described)
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteCollection {}

/// What a change says that has nothing else to say.
#[derive(serde::Serialize)]
pub(super) struct Done {
    token: String,
}

impl Asks for DeleteCollection {
    const NAME: &'static str = "DeleteCollectionRequest";
    type Answer = Done;

    fn place() -> Place {
        Place::Writes
    }

    fn answer(self, api: &Api, of: &In, _: &Asked<'_>) -> Called<Done> {
        let at = api.engine().delete_collection(of.store()?, &of.collection)?;
        let token = api.token(at.revision);
        Ok(written(at, |()| Done { token }))
    }
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WriteChunks {
    #[serde(deserialize_with = "json::objects")]
    chunks: Vec<ChunkIn>,
    delete_ids: Vec<String>,
    delete_objects: Vec<String>,
    on_refused: Option<String>,
    #[serde(deserialize_with = "json::writes")]
    writes: Option<fga::WriteRequestWrites>,
    #[serde(deserialize_with = "json::deletes")]
    deletes: Option<fga::WriteRequestDeletes>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct ChunkIn {
    id: String,
    object: String,
    #[serde(deserialize_with = "json::vector")]
    vector: Vec<f32>,
    text: Option<String>,
    /// JSON.
    #[serde(deserialize_with = "json::raw")]
    payload: Option<String>,
    #[serde(skip)]
    made: Made,
}

impl ChunkIn {
    fn ready(self) -> Result<NewChunk, (String, ChunkFault)> {
        let ChunkIn { id, object, vector, text, payload, made: _ } = self;
        let payload = match payload.as_deref().map(Payload::parse).transpose() {
            Ok(payload) => payload,
            Err(fault) => return Err((id, fault.into())),
        };
        match ObjectRef::parse(&object).map(ObjectRef::to_owned) {
            Ok(object) => Ok(NewChunk { id, object, vector, text, payload }),
            Err(fault) => Err((id, ChunkFault::Object { object, reason: fault.to_string() })),
        }
    }
}

/// A chunk that was left out.
#[derive(serde::Serialize)]
pub(super) struct Refused {
    position: usize,
    id: String,
    reason: String,
}

#[derive(serde::Serialize)]
pub(super) struct ChunksDone {
    upserted: u64,
    deleted: u64,
    refused: Vec<Refused>,
    token: String,
}

impl Asks for WriteChunks {
    const NAME: &'static str = "WriteChunksRequest";
    type Answer = ChunksDone;

    fn place() -> Place {
        Place::Writes
    }

    fn texts(&mut self, api: &Api, of: &In) -> Result<Vec<String>, Problem> {
        let skip = self.on_refused.as_deref() == Some("skip");
        embed::of_chunks(&mut self.chunks, skip, api, of)
    }

    fn embedded(&mut self, vectors: Vec<Vec<f32>>) {
        embed::give(&mut self.chunks, vectors);
    }

    fn answer(self, api: &Api, of: &In, _: &Asked<'_>) -> Called<ChunksDone> {
        let store = of.store()?;
        let known = [("refuse", OnRefused::Refuse), ("skip", OnRefused::Skip)];
        let on_refused = self.on_refused.map_or(Ok(OnRefused::Refuse), |text| one_of("on_refused", &text, &known))?;
        let tuples = fga::WriteRequest {
            store_id: of.store.clone(),
            writes: self.writes,
            deletes: self.deletes,
            authorization_model_id: String::new(),
        };
        let mut query = ChunksQuery { deletes: self.delete_ids, on_refused, ..ChunksQuery::default() };
        let has_tuples = tuples.writes.is_some() || tuples.deletes.is_some();
        if !has_tuples && self.chunks.is_empty() && query.deletes.is_empty() && self.delete_objects.is_empty() {
            let text =
                "there is nothing to write; give `chunks`, `delete_ids`, `delete_objects`, `writes` or `deletes`";
            return Err(Problem::new(Code::InvalidWriteInput, text));
        }
        query.delete_objects = objects("delete_objects", &self.delete_objects)?;
        if has_tuples {
            tuples.validate()?;
            query.tuples = api.write_query(&tuples)?;
        }
        let Taken { mut refused, kept, embedded } = taken(self.chunks, on_refused, &mut query)?;
        let at = api.engine().write_chunks(store, &of.collection, query, now());
        let at = match at {
            Ok(at) => at,
            Err(error @ WriteError::Chunk { .. }) => {
                let problem = Problem::from(error.clone());
                return Err(embed::told(api, &error, &embedded, problem));
            }
            Err(error) => return Err(refusal(&tuples, error)),
        };
        let token = api.token(at.revision);
        Ok(written(at, |done| {
            for (place, fault) in &done.refused {
                let (position, id) = kept.get(*place).cloned().unwrap_or_default();
                let reason = embed::reason(api, fault, embedded.get(*place) == Some(&true));
                refused.push(Refused { position, id, reason });
            }
            refused.sort_unstable_by_key(|refused| refused.position);
            ChunksDone { upserted: done.upserted, deleted: done.deleted, refused, token }
        }))
    }
}

/// What was made of the chunks of a request.
#[derive(Default)]
struct Taken {
    /// What cannot even be handed to the engine.
    refused: Vec<Refused>,
    /// Where the others stood in the request, when some may be left out.
    kept: Vec<(usize, String)>,
    /// Of each of them, whether its vector was made of its text.
    embedded: Vec<bool>,
}

fn taken(chunks: Vec<ChunkIn>, on_refused: OnRefused, query: &mut ChunksQuery) -> Result<Taken, Problem> {
    let mut taken = Taken::default();
    for (position, mut chunk) in chunks.into_iter().enumerate() {
        let embedded = match std::mem::take(&mut chunk.made) {
            Made::Refused(reason) => {
                taken.refused.push(Refused { position, id: chunk.id, reason });
                continue;
            }
            Made::Given => false,
            Made::Embedded => true,
        };
        match (chunk.ready(), on_refused) {
            (Ok(chunk), _) => {
                if on_refused == OnRefused::Skip {
                    taken.kept.push((position, chunk.id.clone()));
                }
                taken.embedded.push(embedded);
                query.upserts.push(chunk);
            }
            (Err((id, fault)), OnRefused::Refuse) => return Err(WriteError::Chunk { id, position, fault }.into()),
            (Err((id, fault)), OnRefused::Skip) => {
                taken.refused.push(Refused { position, id, reason: fault.to_string() });
            }
        }
    }
    Ok(taken)
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DeleteChunks {
    ids: Vec<String>,
    objects: Vec<String>,
}

#[derive(serde::Serialize)]
pub(super) struct ChunksDeleted {
    deleted: u64,
    token: String,
}

impl Asks for DeleteChunks {
    const NAME: &'static str = "DeleteChunksRequest";
    type Answer = ChunksDeleted;

    fn place() -> Place {
        Place::Writes
    }

    fn answer(self, api: &Api, of: &In, _: &Asked<'_>) -> Called<ChunksDeleted> {
        if self.ids.is_empty() && self.objects.is_empty() {
            let text = "there is nothing to delete; give `ids` or `objects`";
            return Err(Problem::new(Code::InvalidWriteInput, text));
        }
        let delete_objects = objects("objects", &self.objects)?;
        let query = ChunksQuery { deletes: self.ids, delete_objects, ..ChunksQuery::default() };
        let at = api.engine().write_chunks(of.store()?, &of.collection, query, now())?;
        let token = api.token(at.revision);
        Ok(written(at, |done| ChunksDeleted { deleted: done.deleted, token }))
    }
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct GetChunks {
    ids: Vec<String>,
    with: Vec<String>,
}

pub(super) struct Got {
    chunks: Vec<StoredChunk>,
    missing: Vec<String>,
}

impl Asks for GetChunks {
    const NAME: &'static str = "GetChunksRequest";
    type Answer = Got;

    fn answer(self, api: &Api, of: &In, asked: &Asked<'_>) -> Called<Got> {
        let count = self.ids.len();
        if !(1..=CHUNKS_PER_PAGE_MAX).contains(&count) {
            return Err(wrong(format!("`ids` has {count} items; it may have 1 to {CHUNKS_PER_PAGE_MAX}")));
        }
        let found = api.engine().chunks(of.store()?, &of.collection, &self.ids, with(&self.with)?)?;
        of_latest(api, asked, found, |found| {
            let mut got = Got { chunks: Vec::with_capacity(found.len()), missing: Vec::new() };
            for (id, chunk) in self.ids.into_iter().zip(found) {
                match chunk {
                    Some(chunk) => got.chunks.push(chunk),
                    None => got.missing.push(id),
                }
            }
            got
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ScrollChunks {
    object: Option<String>,
    /// JSON.
    #[serde(deserialize_with = "json::raw")]
    filter: Option<String>,
    page_size: Option<u32>,
    continuation_token: String,
    with: Vec<String>,
}

pub(super) struct Page {
    chunks: Vec<StoredChunk>,
    continuation_token: String,
}

fn filter(json: Option<&String>) -> Result<Option<Filter>, Problem> {
    json.map(|json| Filter::parse(json).map_err(|fault| wrong(fault.to_string()))).transpose()
}

/// Where a page begins; a token of another collection is none.
fn after(token: &str, collection: &str) -> Result<Option<u32>, Problem> {
    if token.is_empty() {
        return Ok(None);
    }
    let text = decode_page(token).ok_or_else(bad_token)?;
    let (number, of) = text.split_once('|').ok_or_else(bad_token)?;
    number.parse().ok().filter(|_| of == collection).map(Some).ok_or_else(bad_token)
}

impl Asks for ScrollChunks {
    const NAME: &'static str = "ScrollChunksRequest";
    type Answer = Page;

    fn validate(&self) -> Checked {
        rules::token((Self::NAME, "ContinuationToken"), &self.continuation_token)
    }

    fn answer(self, api: &Api, of: &In, asked: &Asked<'_>) -> Called<Page> {
        let page_size = self.page_size.unwrap_or(PAGE_SIZE_DEFAULT);
        let page_size = usize::try_from(page_size).unwrap_or(usize::MAX);
        if !(1..=CHUNKS_PER_PAGE_MAX).contains(&page_size) {
            return Err(wrong(format!("page_size is {page_size}; it may be 1 to {CHUNKS_PER_PAGE_MAX}")));
        }
        let object = self.object.as_ref().map(|text| object("object", text)).transpose()?;
        let filter = filter(self.filter.as_ref())?;
        let query = ScrollQuery {
            object: object.as_ref().map(Object::as_ref),
            filter: filter.as_ref(),
            page_size,
            after: after(&self.continuation_token, &of.collection)?,
            with: with(&self.with)?,
        };
        let page = api.engine().scroll(of.store()?, &of.collection, &query)?;
        of_latest(api, asked, page, |page| {
            let token = |next| encode_page(&format!("{next}|{}", of.collection));
            Page { chunks: page.chunks, continuation_token: page.next.map(token).unwrap_or_default() }
        })
    }
}
