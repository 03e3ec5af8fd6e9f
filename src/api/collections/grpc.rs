//! Collections over gRPC: messages to requests and back. Vectors move; they are not copied.

use super::{
    Asks, ChunkIn, ChunksDeleted, ChunksDone, CreateCollection, DeleteChunks, DeleteCollection, Described, Done,
    ELEMENTS, Form, GetChunks, GetCollection, Got, GuardIn, In, ListCollections, Listed, METRICS, Made, Page,
    ScrollChunks, Search, Searched, Sent, WriteChunks, json, name_of, step,
};
use crate::api::calls::Asked;
use crate::api::grpc::{Boxed, unary_in_steps};
use crate::api::own_proto as pb;
use crate::api::own_proto::collections_server::{Collections, CollectionsServer};
use crate::api::run::{Api, Step};
use crate::api::{convert, proto as fga};
use crate::engine::{SearchAnswer, StoredChunk};
use crate::wire::Problem;
use tonic::Request;

/// What the paths of these calls begin with.
pub(in crate::api) const PATH: &str = "/bailiwick.v1.Collections/";

/// The service, ready to be added to the others.
pub(in crate::api) fn service(api: Api) -> CollectionsServer<Api> {
    let bytes_max = api.bounds().chunks_bytes_max;
    CollectionsServer::new(api).max_decoding_message_size(bytes_max).max_encoding_message_size(usize::MAX)
}

/// A message that is a request about a store or a collection.
trait Message: Send + 'static {
    type Request: Asks<Answer: Into<Self::Answer>>;
    type Answer: Send + 'static;
    fn taken(self) -> (In, Self::Request);
}

fn answered<M: Message>(api: &Api, sent: &Sent<M::Request>, asked: &Asked<'_>) -> Result<Step<M::Answer>, Problem> {
    step(api, sent, asked, |answer| Ok(answer.map(Into::into)))
}

fn ask<'a, M: Message>(api: &Api, request: Request<M>) -> Boxed<'a, M::Answer> {
    let request = request.map(|message| {
        let (of, request) = message.taken();
        Sent::new(of, Form::Read(request))
    });
    Box::pin(unary_in_steps(api.clone(), request, <M::Request as Asks>::place(), answered::<M>))
}

macro_rules! calls {
    ($($rpc:ident($request:ident) -> $response:ident;)*) => {
        $(fn $rpc<'s, 'a>(&'s self, r: Request<pb::$request>) -> Boxed<'a, pb::$response> where 's: 'a, Self: 'a {
            ask(self, r)
        })*
    };
}

#[tonic::async_trait]
impl Collections for Api {
    calls! {
        create_collection(CreateCollectionRequest) -> Collection;
        list_collections(ListCollectionsRequest) -> ListCollectionsResponse;
        get_collection(GetCollectionRequest) -> Collection;
        delete_collection(DeleteCollectionRequest) -> DeleteCollectionResponse;
        write_chunks(WriteChunksRequest) -> WriteChunksResponse;
        get_chunks(GetChunksRequest) -> GetChunksResponse;
        scroll_chunks(ScrollChunksRequest) -> ScrollChunksResponse;
        delete_chunks(DeleteChunksRequest) -> DeleteChunksResponse;
        search(SearchRequest) -> SearchResponse;
    }
}

macro_rules! messages {
    ($($message:ident($this:ident) -> $request:ident, $answer:ident: $of:expr, $fields:expr;)*) => {
        $(impl Message for pb::$message {
            type Request = $request;
            type Answer = pb::$answer;
            fn taken(self) -> (In, $request) {
                let $this = self;
                ($of, $fields)
            }
        })*
    };
}

fn of(store: String, collection: String) -> In {
    In { store, collection }
}

messages! {
    CreateCollectionRequest(m) -> CreateCollection, Collection: of(m.store_id, String::new()), CreateCollection {
        name: m.name,
        dimension: m.dimension,
        metric: m.metric,
        element: m.element,
        guard: m.guard.map(|g| GuardIn { r#type: g.r#type, relation: g.relation }).unwrap_or_default(),
    };
    ListCollectionsRequest(m) -> ListCollections, ListCollectionsResponse:
        of(m.store_id, String::new()), ListCollections {};
    GetCollectionRequest(m) -> GetCollection, Collection: of(m.store_id, m.collection), GetCollection {};
    DeleteCollectionRequest(m) -> DeleteCollection, DeleteCollectionResponse:
        of(m.store_id, m.collection), DeleteCollection {};
    WriteChunksRequest(m) -> WriteChunks, WriteChunksResponse: of(m.store_id, m.collection), WriteChunks {
        chunks: m.chunks.into_iter().map(new_chunk).collect(),
        delete_ids: m.delete_ids,
        delete_objects: m.delete_objects,
        on_refused: m.on_refused,
        writes: m.writes.map(|w| fga::WriteRequestWrites { tuple_keys: keys(w.tuple_keys), on_duplicate: w.on_duplicate }),
        deletes: m.deletes.map(|d| fga::WriteRequestDeletes {
            tuple_keys: d.tuple_keys.into_iter().map(bare).collect(),
            on_missing: d.on_missing,
        }),
    };
    GetChunksRequest(m) -> GetChunks, GetChunksResponse:
        of(m.store_id, m.collection), GetChunks { ids: m.ids, with: m.with };
    ScrollChunksRequest(m) -> ScrollChunks, ScrollChunksResponse: of(m.store_id, m.collection), ScrollChunks {
        object: m.object,
        filter: m.filter,
        page_size: m.page_size,
        continuation_token: m.continuation_token,
        with: m.with,
    };
    DeleteChunksRequest(m) -> DeleteChunks, DeleteChunksResponse:
        of(m.store_id, m.collection), DeleteChunks { ids: m.ids, objects: m.objects };
    SearchRequest(m) -> Search, SearchResponse: of(m.store_id, m.collection), Search {
        user: m.user,
        agent: m.agent,
        vector: m.vector,
        vectors: m.vectors.into_iter().map(|vector| vector.values).collect(),
        query_text: m.query_text,
        k: m.k,
        relation: m.relation,
        filter: m.filter,
        exact: m.exact,
        contextual_tuples: m.contextual_tuples.map(|g| fga::ContextualTupleKeys { tuple_keys: keys(g.tuple_keys) }),
        context: m.context,
        consistency: (),
        with: m.with,
        authorization_model_id: m.authorization_model_id,
    };
}

fn new_chunk(chunk: pb::NewChunk) -> ChunkIn {
    let pb::NewChunk { id, object, vector, text, payload } = chunk;
    ChunkIn { id, object, vector, text, payload, made: Made::default() }
}

fn keys(keys: Vec<pb::TupleKey>) -> Vec<fga::TupleKey> {
    let condition = |c: pb::RelationshipCondition| fga::RelationshipCondition { name: c.name, context: c.context };
    let key = |k: pb::TupleKey| fga::TupleKey {
        user: k.user,
        relation: k.relation,
        object: k.object,
        condition: k.condition.map(condition),
    };
    keys.into_iter().map(key).collect()
}

fn bare(key: pb::TupleKeyWithoutCondition) -> fga::TupleKeyWithoutCondition {
    let pb::TupleKeyWithoutCondition { user, relation, object } = key;
    fga::TupleKeyWithoutCondition { user, relation, object }
}

impl From<Described> for pb::Collection {
    fn from(Described(info): Described) -> Self {
        let (space, memory) = (info.spec.space, info.memory);
        pb::Collection {
            name: info.spec.name,
            dimension: u32::try_from(space.dimension()).unwrap_or(u32::MAX),
            metric: name_of(&METRICS, &space.metric()).to_owned(),
            element: name_of(&ELEMENTS, &space.element()).to_owned(),
            guard: Some(pb::Guard { r#type: info.spec.guard.object_type, relation: info.spec.guard.relation }),
            created_at: Some(convert::timestamp(info.created_at)),
            chunks: info.chunks,
            objects: info.objects,
            rows: memory.rows as u64,
            graph_rows: info.graph_rows as u64,
            memory: Some(pb::CollectionMemory {
                vectors: memory.exact as u64,
                codes: memory.codes as u64,
                maps: memory.maps as u64,
                payloads: info.payload_bytes as u64,
                graph: info.graph_bytes as u64,
                disk: memory.disk as u64,
            }),
            kernel: info.kernel.to_owned(),
        }
    }
}

impl From<Listed> for pb::ListCollectionsResponse {
    fn from(listed: Listed) -> Self {
        pb::ListCollectionsResponse { collections: listed.collections.into_iter().map(Into::into).collect() }
    }
}

impl From<Done> for pb::DeleteCollectionResponse {
    fn from(done: Done) -> Self {
        pb::DeleteCollectionResponse { token: done.token }
    }
}

impl From<ChunksDone> for pb::WriteChunksResponse {
    fn from(done: ChunksDone) -> Self {
        let ChunksDone { upserted, deleted, refused, token } = done;
        let one = |r: super::Refused| pb::RefusedChunk { position: r.position as u64, id: r.id, reason: r.reason };
        pb::WriteChunksResponse { upserted, deleted, refused: refused.into_iter().map(one).collect(), token }
    }
}

impl From<ChunksDeleted> for pb::DeleteChunksResponse {
    fn from(done: ChunksDeleted) -> Self {
        pb::DeleteChunksResponse { deleted: done.deleted, token: done.token }
    }
}

fn chunk(chunk: StoredChunk) -> pb::Chunk {
    pb::Chunk {
        id: chunk.id,
        object: chunk.object.to_string(),
        text: chunk.text,
        payload: chunk.payload.map(|payload| payload.json().to_owned()),
        vector: chunk.vector.unwrap_or_default(),
    }
}

impl From<Got> for pb::GetChunksResponse {
    fn from(got: Got) -> Self {
        pb::GetChunksResponse { chunks: got.chunks.into_iter().map(chunk).collect(), missing: got.missing }
    }
}

impl From<Page> for pb::ScrollChunksResponse {
    fn from(page: Page) -> Self {
        let chunks = page.chunks.into_iter().map(chunk).collect();
        pb::ScrollChunksResponse { chunks, continuation_token: page.continuation_token }
    }
}

fn result(answer: SearchAnswer) -> pb::SearchResult {
    let plan = pb::SearchPlan {
        kind: json::plan(answer.plan).to_owned(),
        candidates: answer.candidates as u64,
        visited: answer.visited as u64,
    };
    let hits = answer.hits.into_iter().map(|hit| pb::Hit { score: hit.score, chunk: Some(chunk(hit.chunk)) });
    pb::SearchResult { hits: hits.collect(), visible: answer.visible as u64, plan: Some(plan) }
}

impl From<Searched> for pb::SearchResponse {
    fn from(searched: Searched) -> Self {
        let mut results: Vec<_> = searched.answers.into_iter().map(result).collect();
        let only = if searched.several { None } else { results.pop() };
        pb::SearchResponse { result: only, results, token: searched.token }
    }
}
