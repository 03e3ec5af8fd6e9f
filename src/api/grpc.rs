//! The gRPC service. Every method decodes, makes one call, encodes.

use super::authn::PresharedKeys;
use super::calls::{Answer, Objects};
use super::proto as pb;
use super::proto::open_fga_service_server::{OpenFgaService, OpenFgaServiceServer};
use super::run::{Api, Call, Place, Reply, StepCall};
use super::validate::Wire;
use crate::wire::Problem;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::{Code, Request, Response, Status};

/// The header in which a handler tells [`raw`] the number that tonic's `Code` cannot carry.
const RAW_CODE: HeaderName = HeaderName::from_static("bailiwick-raw-code");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// How tonic begins to say that a message is too large.
const TOO_LARGE: &str = "Error,%20decoded%20message%20length%20too%20large:%20found%20";
/// Objects of a streamed list that are turned into text at a time.
pub(super) const CHUNK: usize = 512;

pub(super) fn status(problem: Problem) -> Status {
    let number = problem.code as i32;
    if number < 17 {
        return Status::new(Code::from_i32(number), problem.message);
    }
    let mut status = Status::new(Code::Unknown, problem.message);
    status.metadata_mut().as_mut().insert(RAW_CODE, HeaderValue::from(number));
    status
}

fn respond<T>(api: &Api, reply: Reply<T>) -> Result<Response<T>, Status> {
    let mut headers = HeaderMap::with_capacity(8);
    reply.decorate(api, &mut headers);
    match reply.result {
        Ok(answer) => {
            let mut response = Response::new(answer.message);
            *response.metadata_mut().as_mut() = headers;
            Ok(response)
        }
        Err(problem) => {
            let mut status = status(problem);
            status.metadata_mut().as_mut().extend(headers);
            Err(status)
        }
    }
}

pub(super) async fn unary<Q: Wire, A: Send + 'static>(
    api: Api,
    request: Request<Q>,
    place: Place,
    call: Call<Q, A>,
) -> Result<Response<A>, Status> {
    let (metadata, _, message) = request.into_parts();
    let reply = api.ask(metadata.as_ref(), message, place, call).await;
    respond(&api, reply)
}

/// The same for a call that may need vectors of texts.
pub(super) async fn unary_in_steps<Q: Wire, A: Send + 'static>(
    api: Api,
    request: Request<Q>,
    place: Place,
    call: StepCall<Q, A>,
) -> Result<Response<A>, Status> {
    let (metadata, _, message) = request.into_parts();
    let reply = api.ask_in_steps(metadata.as_ref(), message, place, call).await;
    respond(&api, reply)
}

/// What `async_trait` makes of a method; it does not look into macros, so these are written out.
pub(super) type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'a>>;

macro_rules! calls {
    ($($rpc:ident($request:ident) -> $response:ident, $place:expr, $call:expr;)*) => {
        $(fn $rpc<'s, 'a>(&'s self, r: Request<pb::$request>) -> Boxed<'a, pb::$response> where 's: 'a, Self: 'a {
            let place: fn(&Api) -> Place = $place;
            Box::pin(unary(self.clone(), r, place(self), $call))
        })*
    };
}

/// Where questions without a deadline of their own run.
const LONG: fn(&Api) -> Place = |_| Place::Questions(Duration::ZERO);

#[tonic::async_trait]
impl OpenFgaService for Api {
    calls! {
        check(CheckRequest) -> CheckResponse, |_| Place::Here, Api::check;
        batch_check(BatchCheckRequest) -> BatchCheckResponse, LONG, Api::batch_check;
        list_objects(ListObjectsRequest) -> ListObjectsResponse,
            |api| Place::Questions(api.bounds().list_objects_deadline),
            |api, r, asked| Ok(api.list_objects(r, asked)?.map(|o| pb::ListObjectsResponse { objects: all(&o) }));
        list_users(ListUsersRequest) -> ListUsersResponse,
            |api| Place::Questions(api.bounds().list_users_deadline), Api::list_users;
        expand(ExpandRequest) -> ExpandResponse, LONG, Api::expand;
        read(ReadRequest) -> ReadResponse, LONG, Api::read;
        read_changes(ReadChangesRequest) -> ReadChangesResponse, LONG, Api::read_changes;
        write(WriteRequest) -> WriteResponse, |_| Place::Writes, Api::write;
        read_authorization_models(ReadAuthorizationModelsRequest) -> ReadAuthorizationModelsResponse, LONG, Api::read_models;
        read_authorization_model(ReadAuthorizationModelRequest) -> ReadAuthorizationModelResponse, LONG, Api::read_model;
        write_authorization_model(WriteAuthorizationModelRequest) -> WriteAuthorizationModelResponse,
            |_| Place::Writes, Api::write_model;
        write_assertions(WriteAssertionsRequest) -> WriteAssertionsResponse, |_| Place::Writes, Api::write_assertions;
        read_assertions(ReadAssertionsRequest) -> ReadAssertionsResponse, LONG, Api::read_assertions;
        create_store(CreateStoreRequest) -> CreateStoreResponse, |_| Place::Writes, Api::create_store;
        update_store(UpdateStoreRequest) -> UpdateStoreResponse, |_| Place::Here, Api::update_store;
        delete_store(DeleteStoreRequest) -> DeleteStoreResponse, |_| Place::Writes, Api::delete_store;
        get_store(GetStoreRequest) -> GetStoreResponse, LONG, Api::get_store;
        list_stores(ListStoresRequest) -> ListStoresResponse, LONG, Api::list_stores;
    }

    type StreamedListObjectsStream = Streamed;

    async fn streamed_list_objects(
        &self,
        r: Request<pb::StreamedListObjectsRequest>,
    ) -> Result<Response<Streamed>, Status> {
        let place = Place::Questions(self.bounds().list_objects_deadline);
        let response = unary(self.clone(), r, place, streamed).await?;
        let (metadata, objects, extensions) = response.into_parts();
        Ok(Response::from_parts(metadata, Streamed::new(objects), extensions))
    }
}

fn all(objects: &Objects) -> Vec<String> {
    let mut names = Vec::with_capacity(objects.len());
    names.extend(objects.iter_from(0));
    names
}

/// The streamed form of the question asks the same.
pub(super) fn streamed(
    api: &Api,
    r: &pb::StreamedListObjectsRequest,
    asked: &super::calls::Asked<'_>,
) -> Result<Answer<Objects>, Problem> {
    let plain = pb::ListObjectsRequest {
        store_id: r.store_id.clone(),
        authorization_model_id: r.authorization_model_id.clone(),
        r#type: r.r#type.clone(),
        relation: r.relation.clone(),
        user: r.user.clone(),
        contextual_tuples: r.contextual_tuples.clone(),
        context: r.context.clone(),
        consistency: r.consistency,
    };
    api.list_objects(&plain, asked)
}

/// A list that is turned into text as the client takes it.
pub struct Streamed {
    objects: Objects,
    /// How many were turned into text.
    taken: usize,
    chunk: std::vec::IntoIter<String>,
}

impl Streamed {
    fn new(objects: Objects) -> Streamed {
        Streamed { objects, taken: 0, chunk: Vec::new().into_iter() }
    }
}

impl tokio_stream::Stream for Streamed {
    type Item = Result<pb::StreamedListObjectsResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.chunk.len() == 0 {
            let chunk: Vec<String> = self.objects.iter_from(self.taken).take(CHUNK).collect();
            self.taken += chunk.len();
            self.chunk = chunk.into_iter();
        }
        Poll::Ready(self.chunk.next().map(|object| Ok(pb::StreamedListObjectsResponse { object })))
    }
}

/// Tells health checks how the server is.
pub struct Health(tonic_health::server::HealthReporter);

impl Health {
    /// Says that no new work is wanted.
    pub async fn drain(&self) {
        let down = tonic_health::ServingStatus::NotServing;
        self.0.set_service_status("", down).await;
        self.0.set_not_serving::<OpenFgaServiceServer<Api>>().await;
    }
}

/// All services. OpenFGA's is asked first and directly, without a router in between.
#[derive(Clone)]
pub struct Grpc {
    fga: OpenFgaServiceServer<Api>,
    others: tonic::service::Routes,
    message_bytes_max: usize,
    chunks_bytes_max: usize,
    keys: Option<PresharedKeys>,
}

impl Grpc {
    /// The same for whoever shows one of the keys. How the server is may be asked by all.
    #[must_use]
    pub fn with_keys(self, keys: Option<PresharedKeys>) -> Grpc {
        Grpc { keys, ..self }
    }

    fn check(&self, request: &HttpRequest) -> Result<(), Problem> {
        let asked = self.keys.as_ref().filter(|_| !request.uri().path().starts_with("/grpc.health.v1."));
        asked.map_or(Ok(()), |keys| keys.check(request.headers()))
    }
}

/// The service and what goes with it (health, reflection), ready to be bound.
///
/// # Errors
/// The compiled descriptors are damaged.
pub async fn service(api: Api) -> Result<(Grpc, Health), tonic_reflection::server::Error> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<OpenFgaServiceServer<Api>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(super::DESCRIPTORS)
        .build_v1()?;
    let message_bytes_max = api.bounds().message_bytes_max;
    let chunks_bytes_max = api.bounds().chunks_bytes_max;
    let own = super::bulk_grpc::service(api.clone());
    let collections = super::collections::service(api.clone());
    let fga = OpenFgaServiceServer::new(api).max_decoding_message_size(message_bytes_max);
    let others = tonic::service::Routes::new(own).add_service(collections).add_service(health_service);
    let others = others.add_service(reflection).prepare();
    Ok((Grpc { fga, others, message_bytes_max, chunks_bytes_max, keys: None }, Health(health)))
}

type HttpRequest = http::Request<tonic::body::Body>;
type HttpResponse = http::Response<tonic::body::Body>;

impl Service<HttpRequest> for Grpc {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = Answered;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(())) // neither of the two ever is not
    }

    fn call(&mut self, request: HttpRequest) -> Answered {
        let about_chunks = request.uri().path().starts_with(super::collections::PATH);
        let message_bytes_max = if about_chunks { self.chunks_bytes_max } else { self.message_bytes_max };
        if let Err(problem) = self.check(&request) {
            let answer = status(problem).into_http();
            return Answered { future: Box::pin(std::future::ready(Ok(answer))), message_bytes_max };
        }
        if request.uri().path().starts_with("/openfga.v1.") {
            return Answered { future: self.fga.call(request), message_bytes_max };
        }
        let others = self.others.clone();
        Answered { future: Box::pin(tower::ServiceExt::oneshot(others, request)), message_bytes_max }
    }
}

/// An answer whose error, if it is one, gets its raw number.
pub struct Answered {
    future: BoxFuture<HttpResponse, Infallible>,
    message_bytes_max: usize,
}

impl Future for Answered {
    type Output = Result<HttpResponse, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let max = self.message_bytes_max;
        self.future.as_mut().poll(cx).map(|answer| answer.map(|response| raw(response, max)))
    }
}

/// Puts the raw number of an error where clients look for it, and words of tonic's own into OpenFGA's.
fn raw(mut response: HttpResponse, message_bytes_max: usize) -> HttpResponse {
    let headers = response.headers_mut();
    if !headers.contains_key(&GRPC_STATUS) {
        return response; // an answer: its status comes in the trailers
    }
    if let Some(code) = headers.remove(&RAW_CODE) {
        headers.insert(GRPC_STATUS, code);
    } else if let Some(found) = too_large(headers) {
        let text = format!("grpc:%20received%20message%20larger%20than%20max%20({found}%20vs.%20{message_bytes_max})");
        if let Ok(text) = HeaderValue::try_from(text) {
            headers.insert(GRPC_STATUS, HeaderValue::from(Code::ResourceExhausted as i32));
            headers.insert(GRPC_MESSAGE, text);
        }
    }
    response
}

/// How large a message was that is too large.
fn too_large(headers: &HeaderMap) -> Option<u64> {
    let rest = headers.get(&GRPC_MESSAGE)?.to_str().ok()?.strip_prefix(TOO_LARGE)?;
    rest.split_once('%')?.0.parse().ok()
}
