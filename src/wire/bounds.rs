//! The bounds of the surface: how long, how many, how large. Each has a name and a default, which is OpenFGA's where it has
//! one; reaching one is a clear error.

use std::time::Duration;

/// See the file's head. A duration of zero means no bound of its own.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// How long a request may take, waiting for its turn included. A shorter `grpc-timeout` of the client wins.
    pub request_timeout: Duration,
    /// How long a ListObjects may take, when that is less than `request_timeout`.
    pub list_objects_deadline: Duration,
    /// How long a ListUsers may take, when that is less than `request_timeout`.
    pub list_users_deadline: Duration,
    /// Most objects in an answer of ListObjects; a list that is cut says so in `Bailiwick-Truncated`. 0: never cut.
    pub list_objects_results_max: usize,
    /// Most users in an answer of ListUsers; likewise.
    pub list_users_results_max: usize,
    /// The largest gRPC message taken.
    pub message_bytes_max: usize,
    /// The largest HTTP body taken; JSON is wordier than the gRPC message of the same content.
    pub body_bytes_max: usize,
    /// The largest HTTP body or gRPC message of a call about a collection: vectors are large.
    pub chunks_bytes_max: usize,
    /// Most tuples in a Write, deletes included.
    pub tuples_per_write_max: usize,
    /// Most types in a model.
    pub types_per_model_max: usize,
    /// The largest model, as a gRPC message.
    pub model_bytes_max: usize,
    /// The largest context stored with a tuple.
    pub tuple_context_bytes_max: usize,
    /// Most checks in a batch.
    pub checks_per_batch_max: usize,
    /// Most changes in a page of ReadChanges; a request may ask for more and gets this many.
    pub changes_page_max: usize,
    /// ReadChanges leaves out changes that are younger than this (OpenFGA: changelog horizon offset).
    pub changes_horizon: Duration,
    /// Hops through usersets and tuplesets that a question may need (OpenFGA: resolve node limit).
    pub depth_max: u32,
    /// Nodes that a question may visit.
    pub visits_max: u64,
    /// Cost of one condition's evaluation.
    pub condition_cost_max: u64,
    /// Threads that answer lists, batches and reads. Check runs on the threads that serve connections.
    pub question_threads: usize,
    /// Questions that may wait for one of those threads; the next is refused as `resource_exhausted`.
    pub question_queue_max: usize,
    /// Threads that wait for writes to be durable; so many writes can share a sync.
    pub write_threads: usize,
    /// Writes that may wait for one of those threads; the next is refused as `resource_exhausted`.
    pub write_queue_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            request_timeout: Duration::from_secs(3),
            list_objects_deadline: Duration::ZERO,
            list_users_deadline: Duration::ZERO,
            list_objects_results_max: 0,
            list_users_results_max: 0,
            message_bytes_max: 616_448,
            body_bytes_max: 2 << 20,
            chunks_bytes_max: 64 << 20,
            tuples_per_write_max: 100,
            types_per_model_max: 100,
            model_bytes_max: 256 * 1024,
            tuple_context_bytes_max: 32 * 1024,
            checks_per_batch_max: 50,
            changes_page_max: 100,
            changes_horizon: Duration::ZERO,
            depth_max: 25,
            visits_max: 100_000_000,
            condition_cost_max: 100,
            question_threads: std::thread::available_parallelism().map_or(2, usize::from),
            question_queue_max: 1_024,
            write_threads: 64,
            write_queue_max: 4_096,
        }
    }
}
