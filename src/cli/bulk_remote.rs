//! Import and export through a server, over `bailiwick.v1`.

use super::Failure;
use super::bulk::{Bar, Counted, Done};
use super::place::{InStore, OwnClient, Place};
use super::store_id;
use bailiwick::api::own_proto as pb;
use bailiwick::engine::{BulkFormat, Compression, ExportQuery, ImportQuery, OnBadLine};
use bailiwick::tuple::StoreId;
use std::io::{Read, Write};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

/// Bytes of the source in a message.
const PART_BYTES: usize = 256 << 10;
/// Messages that wait for the network.
const PARTS_WAITING_MAX: usize = 4;

/// A server, and the store that is meant there.
pub(super) struct Server {
    place: Place,
    pub(super) store: StoreId,
}

impl Server {
    pub(super) fn open(wanted: &InStore) -> Result<Server, Failure> {
        let (place, store) = wanted.open()?;
        Ok(Server { place, store: store_id(&store)? })
    }

    pub(super) fn import(&self, query: &ImportQuery, source: Counted, bar: &Bar) -> Result<Done, Failure> {
        let (sender, parts) = mpsc::channel(PARTS_WAITING_MAX);
        let header = pb::import_request::Part::Header(header(query));
        let (broke, broken) = oneshot::channel();
        std::thread::spawn(move || send(sender, header, source, broke));
        self.place.work(async |client| {
            tokio::pin! { let answered = self.answers(client, ReceiverStream::new(parts), bar); }
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

    async fn answers(
        &self,
        mut client: OwnClient,
        parts: ReceiverStream<pb::ImportRequest>,
        bar: &Bar,
    ) -> Result<Done, Failure> {
        let answers = client.import(parts).await;
        let mut answers = answers.map_err(|status| self.place.refused(&status))?.into_inner();
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
                Err(status) => return done.ok_or_else(|| self.place.refused(&status)),
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
        self.place.work(async |mut client| {
            let refused = |status| self.place.refused(&status);
            let mut parts = client.export(request).await.map_err(refused)?.into_inner();
            let mut token = String::new();
            while let Some(part) = parts.message().await.map_err(refused)? {
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
