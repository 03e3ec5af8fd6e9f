//! The gRPC service. Every method decodes, makes one call, encodes.

use super::calls::{Answer, Api, Asked};
use super::proto as pb;
use super::proto::open_fga_service_server::{OpenFgaService, OpenFgaServiceServer};
use crate::engine::Consistency;
use crate::wire::{Problem, decode_revision, encode_revision};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Response, Status};

/// The header in which a handler tells [`raw`] the number that tonic's `Code` cannot carry.
const RAW_CODE: &str = "bailiwick-raw-code";
/// The largest message taken, as OpenFGA has it.
const MESSAGE_BYTES_MAX: usize = 616_448;

pub(super) fn status(problem: Problem) -> Status {
    let number = problem.code as i32;
    if number < 17 {
        return Status::new(Code::from_i32(number), problem.message);
    }
    let mut status = Status::new(Code::Unknown, problem.message);
    if let Ok(value) = MetadataValue::try_from(number.to_string()) {
        status.metadata_mut().insert(RAW_CODE, value);
    }
    status
}

fn asked(metadata: &MetadataMap) -> Result<Asked<'static>, Status> {
    let get = |name: &str| metadata.get(name).and_then(|v| v.to_str().ok());
    let read = |name: &str, token: &str| {
        decode_revision(token).ok_or_else(|| Status::invalid_argument(format!("{name} is no token of this server")))
    };
    let consistency = match (get("bailiwick-exactly"), get("bailiwick-at-least")) {
        (Some(token), _) => Consistency::Exact(read("bailiwick-exactly", token)?),
        (None, Some(token)) => Consistency::AtLeast(read("bailiwick-at-least", token)?),
        (None, None) => Consistency::Latest,
    };
    Ok(Asked { consistency, stop: None })
}

fn respond<T>(called: Result<Answer<T>, Problem>) -> Result<Response<T>, Status> {
    let answer = called.map_err(status)?;
    let mut response = Response::new(answer.message);
    let metadata = response.metadata_mut();
    if let Ok(token) = MetadataValue::try_from(encode_revision(answer.revision)) {
        metadata.insert("bailiwick-consistency-token", token);
    }
    if let Some(Ok(model)) = answer.model.map(|m| MetadataValue::try_from(m.to_string())) {
        metadata.insert("openfga-authorization-model-id", model);
    }
    Ok(response)
}

/// Runs a call that may take long, or wait for the disk, outside of the threads that serve connections.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<Answer<T>, Problem> + Send + 'static,
) -> Result<Response<T>, Status> {
    let called = tokio::task::spawn_blocking(call).await;
    respond(called.map_err(|_| Status::internal("Internal Server Error"))?)
}

/// What `async_trait` makes of a method; it does not look into macros, so these are written out.
type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'a>>;

macro_rules! blocking_calls {
    ($($rpc:ident $call:ident $request:ident $response:ident;)*) => {
        $(fn $rpc<'s, 'a>(&'s self, r: Request<pb::$request>) -> Boxed<'a, pb::$response> where 's: 'a, Self: 'a {
            let api = self.clone();
            let r = r.into_inner();
            Box::pin(blocking(move || api.$call(&r)))
        })*
    };
}

macro_rules! lists {
    ($($rpc:ident $request:ident $response:ident;)*) => {
        $(fn $rpc<'s, 'a>(&'s self, r: Request<pb::$request>) -> Boxed<'a, pb::$response> where 's: 'a, Self: 'a {
            let api = self.clone();
            Box::pin(async move {
                let asked = asked(r.metadata())?;
                let r = r.into_inner();
                blocking(move || api.$rpc(&r, &asked)).await
            })
        })*
    };
}

#[tonic::async_trait]
impl OpenFgaService for Api {
    async fn check(&self, r: Request<pb::CheckRequest>) -> Result<Response<pb::CheckResponse>, Status> {
        let asked = asked(r.metadata())?;
        respond(Api::check(self, r.get_ref(), &asked)) // in place: microseconds, and bounded by visits
    }

    lists! {
        batch_check BatchCheckRequest BatchCheckResponse;
        list_objects ListObjectsRequest ListObjectsResponse;
        list_users ListUsersRequest ListUsersResponse;
        expand ExpandRequest ExpandResponse;
    }

    blocking_calls! {
        read read ReadRequest ReadResponse;
        write write WriteRequest WriteResponse;
        read_authorization_models read_models ReadAuthorizationModelsRequest ReadAuthorizationModelsResponse;
        read_authorization_model read_model ReadAuthorizationModelRequest ReadAuthorizationModelResponse;
        write_authorization_model write_model WriteAuthorizationModelRequest WriteAuthorizationModelResponse;
        write_assertions write_assertions WriteAssertionsRequest WriteAssertionsResponse;
        read_assertions read_assertions ReadAssertionsRequest ReadAssertionsResponse;
        read_changes read_changes ReadChangesRequest ReadChangesResponse;
        create_store create_store CreateStoreRequest CreateStoreResponse;
        delete_store delete_store DeleteStoreRequest DeleteStoreResponse;
        get_store get_store GetStoreRequest GetStoreResponse;
        list_stores list_stores ListStoresRequest ListStoresResponse;
    }

    async fn update_store(
        &self,
        _: Request<pb::UpdateStoreRequest>,
    ) -> Result<Response<pb::UpdateStoreResponse>, Status> {
        Err(Status::unimplemented("method UpdateStore not implemented"))
    }

    type StreamedListObjectsStream =
        tokio_stream::Iter<std::vec::IntoIter<Result<pb::StreamedListObjectsResponse, Status>>>;

    async fn streamed_list_objects(
        &self,
        r: Request<pb::StreamedListObjectsRequest>,
    ) -> Result<Response<Self::StreamedListObjectsStream>, Status> {
        let (metadata, _, r) = r.into_parts();
        let asked = asked(&metadata)?;
        let api = self.clone();
        let r = as_list(r);
        let called = blocking(move || api.list_objects(&r, &asked)).await?;
        let (metadata, message, extensions) = called.into_parts();
        let items: Vec<_> =
            message.objects.into_iter().map(|object| Ok(pb::StreamedListObjectsResponse { object })).collect();
        Ok(Response::from_parts(metadata, tokio_stream::iter(items), extensions))
    }
}

/// The streamed form of the question asks the same.
pub(super) fn as_list(r: pb::StreamedListObjectsRequest) -> pb::ListObjectsRequest {
    pb::ListObjectsRequest {
        store_id: r.store_id,
        authorization_model_id: r.authorization_model_id,
        r#type: r.r#type,
        relation: r.relation,
        user: r.user,
        contextual_tuples: r.contextual_tuples,
        context: r.context,
        consistency: r.consistency,
    }
}

/// The service and what goes with it (health, reflection), ready to be bound.
///
/// # Errors
/// The compiled descriptors are damaged.
pub async fn routes(api: Api) -> Result<tonic::service::Routes, tonic_reflection::server::Error> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<OpenFgaServiceServer<Api>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(super::DESCRIPTORS)
        .build_v1()?;
    let own = super::bulk_grpc::service(api.clone());
    let service = OpenFgaServiceServer::new(api).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let routes =
        tonic::service::Routes::new(service).add_service(own).add_service(health_service).add_service(reflection);
    let router = routes
        .into_axum_router()
        .layer(axum::middleware::map_response(|response: axum::response::Response| async { raw(response) }));
    Ok(tonic::service::Routes::from(router))
}

/// Puts the raw number of an error where clients look for it.
fn raw(mut response: axum::response::Response) -> axum::response::Response {
    if let Some(code) = response.headers_mut().remove(RAW_CODE) {
        response.headers_mut().insert("grpc-status", code);
    }
    response
}
