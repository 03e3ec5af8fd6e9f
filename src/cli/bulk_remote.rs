//! Import and export through a server, over `bailiwick.v1`.

use super::Failure;
use super::bulk::{Bar, Counted, Done};
use bailiwick::api::own_proto as pb;
use bailiwick::api::own_proto::bailiwick_service_client::BailiwickServiceClient;
use bailiwick::api::proto::ListStoresRequest;
use bailiwick::api::proto::open_fga_service_client::OpenFgaServiceClient;
use bailiwick::engine::{BulkFormat, Compression, ExportQuery, ImportQuery, OnBadLine};
use bailiwick::tuple::StoreId;
use std::io::{Read, Write};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// Bytes of the source in a message.
const PART_BYTES: usize = 256 << 10;
/// Messages that wait for the network.
const PARTS_WAITING_MAX: usize = 4;

/// A server, and the store that is meant there.
pub(super) struct Server {
    runtime: tokio::runtime::Runtime,
    channel: Channel,
    pub(super) store: StoreId,
}

fn refused(status: &Status) -> Failure {
    Failure::Said(status.message().to_owned())
}

impl Server {
    pub(super) fn open(url: &str, store: Option<&str>) -> Result<Server, Failure> {
        let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let endpoint = Endpoint::from_shared(full.clone());
        let endpoint =
            endpoint.map_err(|_| Failure::Said(format!("`{full}` is no URL, as in http://127.0.0.1:8081")))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Said(format!("no threads: {error}")))?;
        let connected = runtime.block_on(endpoint.connect());
        let channel = connected
            .map_err(|_| Failure::Said(format!("there is no server at {full}; start one with `bailiwick serve`")))?;
        let mut server = Server { runtime, channel, store: StoreId(ulid::Ulid::nil()) };
        server.store = server.named(store)?;
        Ok(server)
    }

    /// The store of that id or name; the only one when none is named.
    fn named(&self, store: Option<&str>) -> Result<StoreId, Failure> {
        if let Some(id) = store.and_then(|text| ulid::Ulid::from_string(text).ok()) {
            return Ok(StoreId(id));
        }
        let name = store.unwrap_or_default().to_owned();
        let request = ListStoresRequest { name: name.clone(), ..ListStoresRequest::default() };
        let mut client = OpenFgaServiceClient::new(self.channel.clone());
        let answered = self.runtime.block_on(client.list_stores(request)).map_err(|status| refused(&status))?;
        match answered.into_inner().stores.as_slice() {
            [only] => {
                let id = ulid::Ulid::from_string(&only.id).map_err(|_| Failure::Said("the server is none".into()))?;
                Ok(StoreId(id))
            }
            [] => Err(Failure::Said(format!("there is no store `{name}`"))),
            _ => Err(Failure::Said("there are several stores; say which with --store ID".into())),
        }
    }

    pub(super) fn import(&self, query: &ImportQuery, source: Counted, bar: &Bar) -> Result<Done, Failure> {
        let (sender, parts) = mpsc::channel(PARTS_WAITING_MAX);
        let header = pb::import_request::Part::Header(header(query));
        let (broke, broken) = oneshot::channel();
        std::thread::spawn(move || send(sender, header, source, broke));
        self.runtime.block_on(async {
            tokio::pin! { let answered = self.answers(ReceiverStream::new(parts), bar); }
            tokio::select! {
                done = &mut answered => done,
                broken = broken => match broken {
                    // The call is given up while its stream is open, so that the server does not take it for complete.
                    Ok((_open, failure)) => Err(failure),
                    Err(_) => answered.await, // all is sent
                },
            }
        })
    }

    async fn answers(&self, parts: ReceiverStream<pb::ImportRequest>, bar: &Bar) -> Result<Done, Failure> {
        let mut client = BailiwickServiceClient::new(self.channel.clone());
        let mut answers = client.import(parts).await.map_err(|status| refused(&status))?.into_inner();
        let (mut done, mut from) = (None, None);
        loop {
            match answers.message().await {
                Ok(Some(answer)) => match answer.part {
                    Some(pb::import_response::Part::Progress(progress)) => {
                        bar.at(progress.lines, *from.get_or_insert(progress.lines));
                    }
                    Some(pb::import_response::Part::Report(report)) => done = Some(finished(report)),
                    None => {}
                },
                // The status that follows a report of a stop says what the report says.
                Ok(None) => return done.ok_or_else(|| Failure::Said("the server ended without a report".into())),
                Err(status) => return done.ok_or_else(|| refused(&status)),
            }
        }
    }

    /// Answers the token of what was exported.
    pub(super) fn export(&self, query: &ExportQuery, mut sink: impl Write) -> Result<String, Failure> {
        let request = pb::ExportRequest {
            store_id: query.store.to_string(),
            format: format(query.format).into(),
            compression: match query.compression {
                Compression::None => pb::Compression::Unspecified,
                Compression::Zstd => pb::Compression::Zstd,
                Compression::Gzip => pb::Compression::Gzip,
            }
            .into(),
        };
        self.runtime.block_on(async {
            let mut client = BailiwickServiceClient::new(self.channel.clone());
            let mut parts = client.export(request).await.map_err(|status| refused(&status))?.into_inner();
            let mut token = String::new();
            while let Some(part) = parts.message().await.map_err(|status| refused(&status))? {
                if !part.consistency_token.is_empty() {
                    token = part.consistency_token;
                }
                sink.write_all(&part.data).map_err(|error| Failure::Said(format!("cannot write on: {error}")))?;
            }
            sink.flush().map_err(|error| Failure::Said(format!("cannot write on: {error}")))?;
            Ok(token)
        })
    }
}

fn format(format: BulkFormat) -> pb::Format {
    match format {
        BulkFormat::JsonLines => pb::Format::JsonLines,
        BulkFormat::Json => pb::Format::Json,
        BulkFormat::Csv => pb::Format::Csv,
    }
}

fn header(query: &ImportQuery) -> pb::ImportHeader {
    pb::ImportHeader {
        store_id: query.store.to_string(),
        authorization_model_id: query.model.map(|id| id.to_string()).unwrap_or_default(),
        format: query.format.map_or(pb::Format::Unspecified, format).into(),
        on_error: match query.on_bad_line {
            OnBadLine::Stop => pb::OnError::Stop,
            OnBadLine::Skip => pb::OnError::Skip,
        }
        .into(),
        errors_max: query.bad_lines_max,
        import_id: query.id.clone().unwrap_or_default(),
        restart: query.restart,
        chunk_lines: u32::try_from(query.chunk_lines).unwrap_or(u32::MAX),
    }
}

type Parts = mpsc::Sender<pb::ImportRequest>;

/// Reads the source into messages, until it ends or nobody wants more. When it cannot be read on, the sender goes with the
/// reason: a stream whose sender is gone looks complete to the server.
fn send(
    sender: Parts,
    header: pb::import_request::Part,
    mut source: Counted,
    broke: oneshot::Sender<(Parts, Failure)>,
) {
    let mut part = header;
    loop {
        if sender.blocking_send(pb::ImportRequest { part: Some(part) }).is_err() {
            return;
        }
        let mut data = Vec::with_capacity(PART_BYTES);
        match (&mut source).take(PART_BYTES as u64).read_to_end(&mut data) {
            Ok(0) => return,
            Ok(_) => part = pb::import_request::Part::Data(data),
            Err(error) => {
                let _ = broke.send((sender, Failure::Said(format!("the source cannot be read on: {error}"))));
                return; // a receiver that is gone has its own reason
            }
        }
    }
}

fn finished(report: pb::ImportReport) -> Done {
    let progress = report.progress.unwrap_or_default();
    Done {
        lines: progress.lines,
        written: progress.written,
        skipped: progress.skipped,
        bad: progress.bad,
        resumed_after: report.resumed_after,
        bad_lines: report.bad_lines.into_iter().map(|b| (b.line, b.message)).collect(),
        token: report.consistency_token,
        stopped: Some(report.stopped).filter(|why| !why.is_empty()),
    }
}
