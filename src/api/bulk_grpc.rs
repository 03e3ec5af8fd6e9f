//! The gRPC service `bailiwick.v1`: import, export, statistics.

use super::bulk::{self, TURNS};
use super::grpc::status;
use super::own_proto as pb;
use super::own_proto::bailiwick_service_server::{BailiwickService, BailiwickServiceServer};
use super::rules;
use super::run::Api;
use crate::engine::{BulkFormat, Compression, ExportQuery, ImportProgress, ImportQuery, ImportReport, OnBadLine};
use crate::wire::now;
use axum::body::Bytes;
use std::ops::ControlFlow;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// The largest message of a stream of bytes.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Answers that wait for the client; further progress is left out rather than waited for.
const ANSWERS_WAITING_MAX: usize = 16;

/// The service, ready to be added to the others.
pub(super) fn service(api: Api) -> BailiwickServiceServer<Api> {
    BailiwickServiceServer::new(api).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

fn format(number: i32) -> Result<Option<BulkFormat>, Status> {
    match pb::Format::try_from(number) {
        Ok(pb::Format::Unspecified) => Ok(None),
        Ok(pb::Format::JsonLines) => Ok(Some(BulkFormat::JsonLines)),
        Ok(pb::Format::Json) => Ok(Some(BulkFormat::Json)),
        Ok(pb::Format::Csv) => Ok(Some(BulkFormat::Csv)),
        Err(_) => Err(Status::invalid_argument(format!("there is no format {number}"))),
    }
}

fn import_query(header: pb::ImportHeader) -> Result<ImportQuery, Status> {
    let mut query = ImportQuery::new(rules::store_id("ImportHeader", &header.store_id).map_err(status)?);
    query.model = rules::model_id("ImportHeader", &header.authorization_model_id).map_err(status)?;
    query.format = format(header.format)?;
    query.on_bad_line = match pb::OnError::try_from(header.on_error) {
        Ok(pb::OnError::Unspecified | pb::OnError::Stop) => OnBadLine::Stop,
        Ok(pb::OnError::Skip) => OnBadLine::Skip,
        Err(_) => return Err(Status::invalid_argument(format!("there is no on_error {}", header.on_error))),
    };
    query.bad_lines_max = header.errors_max;
    query.id = Some(header.import_id).filter(|id| !id.is_empty());
    query.restart = header.restart;
    if header.chunk_lines > 0 {
        query.chunk_lines = usize::try_from(header.chunk_lines).unwrap_or(usize::MAX);
    }
    Ok(query)
}

fn progress(progress: &ImportProgress) -> pb::ImportProgress {
    let ImportProgress { lines, written, skipped, bad } = *progress;
    pb::ImportProgress { lines, written, skipped, bad }
}

fn report(api: &Api, report: &ImportReport) -> pb::ImportReport {
    let bad_lines = report.bad_lines.iter();
    pb::ImportReport {
        progress: Some(progress(&report.progress)),
        resumed_after: report.resumed_after,
        bad_lines: bad_lines.map(|b| pb::BadLine { line: b.number, message: b.fault.to_string() }).collect(),
        consistency_token: api.token(report.revision),
        stopped: report.stopped.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

type Answers = mpsc::Sender<Result<pb::ImportResponse, Status>>;

/// Runs an import and tells of it.
async fn run(api: Api, query: ImportQuery, source: Streaming<pb::ImportRequest>, answers: Answers) {
    let _turn = TURNS.acquire().await;
    let (inlet, feed) = bulk::feed();
    let parts = source.map(|message| match message.map(|m| m.part) {
        Ok(Some(pb::import_request::Part::Data(bytes))) => Ok(Bytes::from(bytes)),
        Ok(Some(pb::import_request::Part::Header(_))) => Err("a second header came; there is one for an import".into()),
        Ok(None) => Ok(Bytes::new()),
        Err(status) => Err(status.message().to_owned()),
    });
    let pump = tokio::spawn(bulk::pump(inlet, parts));
    let tell = answers.clone();
    let engine = api.engine().clone();
    let called = tokio::task::spawn_blocking(move || {
        engine.import(&query, feed, &now, &mut |done| {
            let part = Some(pb::import_response::Part::Progress(progress(done)));
            // Full: the client is slow, and the next progress says more. Closed: the import breaks off with its source.
            let _ = tell.try_send(Ok(pb::ImportResponse { part }));
            ControlFlow::Continue(())
        })
    });
    let ended = match called.await {
        Err(_) => Err(bulk::died()),
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok(done)) => {
            let part = Some(pb::import_response::Part::Report(report(&api, &done)));
            let _ = answers.send(Ok(pb::ImportResponse { part })).await; // a client that went away needs no answer
            bulk::stopped(&done).map_or(Ok(()), Err)
        }
    };
    pump.abort(); // it has ended, or nobody reads what it brings
    if let Err(problem) = ended {
        let _ = answers.send(Err(status(problem))).await; // likewise
    }
}

#[tonic::async_trait]
impl BailiwickService for Api {
    type ImportStream = ReceiverStream<Result<pb::ImportResponse, Status>>;

    async fn import(&self, r: Request<Streaming<pb::ImportRequest>>) -> Result<Response<Self::ImportStream>, Status> {
        let mut source = r.into_inner();
        let first = source.message().await?.and_then(|message| message.part);
        let Some(pb::import_request::Part::Header(header)) = first else {
            return Err(Status::invalid_argument("the first message of an import is its header"));
        };
        let query = import_query(header)?;
        let (sender, answers) = mpsc::channel(ANSWERS_WAITING_MAX);
        tokio::spawn(run(self.clone(), query, source, sender));
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    type ExportStream = ReceiverStream<Result<pb::ExportResponse, Status>>;

    async fn export(&self, r: Request<pb::ExportRequest>) -> Result<Response<Self::ExportStream>, Status> {
        let r = r.into_inner();
        let query = ExportQuery {
            store: rules::store_id("ExportRequest", &r.store_id).map_err(status)?,
            format: format(r.format)?.unwrap_or(BulkFormat::JsonLines),
            compression: match pb::Compression::try_from(r.compression) {
                Ok(pb::Compression::Unspecified) => Compression::None,
                Ok(pb::Compression::Zstd) => Compression::Zstd,
                Ok(pb::Compression::Gzip) => Compression::Gzip,
                Err(_) => return Err(Status::invalid_argument(format!("there is no compression {}", r.compression))),
            },
        };
        let turn = TURNS.acquire().await;
        let wrap = |part: Bytes| Ok(pb::ExportResponse { data: part.into(), ..pb::ExportResponse::default() });
        let (sink, beside, parts) = bulk::outlet(wrap);
        let api = self.clone();
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let called = api.engine().export(&query, |revision| {
                let consistency_token = api.token(revision);
                let first = pb::ExportResponse { consistency_token, data: Vec::new() };
                let _ = beside.blocking_send(Ok(first)); // nobody there: the sink says so
                sink
            });
            if let Err(error) = called {
                let _ = beside.blocking_send(Err(status(error.into()))); // likewise
            }
        });
        Ok(Response::new(ReceiverStream::new(parts)))
    }

    async fn stats(&self, _: Request<pb::StatsRequest>) -> Result<Response<pb::StatsResponse>, Status> {
        let engine = self.engine().clone();
        let stats = tokio::task::spawn_blocking(move || engine.stats()).await.map_err(|_| status(bulk::died()))?;
        let store = |store: &crate::engine::StoreStats| pb::StoreStats {
            store_id: store.id.to_string(),
            name: store.name.clone(),
            tuples: store.tuples,
            column_bytes: store.column_bytes as u64,
            name_bytes: store.name_bytes as u64,
            classes: store.classes as u64,
            models: store.models as u64,
        };
        Ok(Response::new(pb::StatsResponse {
            consistency_token: self.token(stats.revision),
            revision: stats.revision.0,
            stores: stats.stores.iter().filter(|s| !s.id.is_system()).map(store).collect(),
            disk_bytes: stats.disk_bytes,
            snapshots_retained: stats.snapshots_retained as u64,
            plans: stats.plans as u64,
            bytes_per_tuple: stats.bytes_per_tuple(),
            snapshot_bytes: stats.snapshot_bytes,
            write_buffer_bytes: stats.storage.write_buffers,
            block_cache_bytes: stats.storage.block_cache,
            table_reader_bytes: stats.storage.table_readers,
            memory_bytes: stats.memory_bytes(),
        }))
    }
}
