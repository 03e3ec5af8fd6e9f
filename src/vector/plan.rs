//! Which way a search goes: scan the allowed rows, walk the graph, or scan after the walk has spent its budget.
//!
//! The costs are in one unit, the visit: one distance to a row that stands anywhere in memory. A walk gets a budget of
//! visits that cost what the scan would; when it runs out, the scan answers, so that a search costs at most about twice
//! the cheaper way. Permission is exact in every way; only the walk is approximate in nearness, and it says so.

use super::graph::Graph;
use super::rows::Vectors;
use super::scan::Query;
use super::set::RowSet;
use super::{HITS_MAX, Hit, VectorError};

/// Visits that scanning one adjacent row costs: hardware reads ahead (`docs/search.md` has the measurement).
const ADJACENT_COST: f64 = 0.15;

/// Visits that scanning one row apart from others costs: its lines are asked for ahead.
const APART_COST: f64 = 0.38;

/// Visits that a walk takes for each row of its width, without a set.
const WIDTH_VISITS: f64 = 15.0;

/// Visits that looking behind disallowed rows costs for each that passing through all would, whatever the share: the
/// lists of disallowed rows are read without a distance.
const BEHIND_COST: f64 = 3.6;

/// Visits that one counted visit costs when the walk looks behind disallowed rows.
const BEHIND_VISIT_COST: f64 = 1.8;

/// Rows from which a walk can be cheaper than any scan.
const WALK_ROWS_MIN: usize = 2_000;

/// The smallest share of rows allowed at which a walk is tried: below it, allowed rows lose sight of one another.
const WALK_SHARE_MIN: f64 = 0.02;

/// Width of a balanced walk through [`WIDTH_ROWS`] rows: recall at 10 was at least 0.99 at every share with it.
const WIDTH_BALANCED: usize = 208;

/// Rows from which a balanced walk gets wider, by the power of two thirds: at four times the rows, recall needed 512.
const WIDTH_ROWS: f64 = 65_536.0;

/// The widest walk.
const WIDTH_MAX: usize = 4_096;

/// How hard a search tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// The true nearest, always.
    Exact,
    /// A walk of the default width where it is cheaper than a scan.
    Balanced,
    /// A walk of this width, at least k, where it is cheaper.
    Width(usize),
}

/// How a search was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanKind {
    /// All allowed rows were compared: exact.
    Scan,
    /// The graph was walked, and the rows that it does not cover were compared.
    Graph,
    /// The walk spent its budget; all allowed rows were compared: exact.
    GraphThenScan,
}

/// What a search says.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The nearest first; equal scores by chunk number.
    pub hits: Vec<Hit>,
    /// How it was answered.
    pub plan: PlanKind,
    /// Allowed rows.
    pub visible: usize,
    /// Rows whose exact elements were compared.
    pub candidates: usize,
    /// Rows whose codes were compared.
    pub visited: usize,
}

/// The `k` nearest chunks among `allowed`: fewer than `k` only when fewer are allowed, and never another.
///
/// Refuses sets, queries and graphs of another state or layout. Without a graph, the answer is exact.
pub fn search(
    vectors: &Vectors,
    graph: Option<&Graph>,
    query: &Query,
    allowed: &RowSet,
    k: usize,
    effort: Effort,
) -> Result<Answer, VectorError> {
    vectors.owns(allowed)?;
    if k > HITS_MAX {
        return Err(VectorError::Hits { given: k });
    }
    if query.space != vectors.space || graph.is_some_and(|graph| !graph.fits(vectors.state())) {
        return Err(VectorError::Stale);
    }
    let width = match effort {
        Effort::Exact => return scan(vectors, query, allowed, k),
        Effort::Balanced => balanced_width(vectors.rows()).max(k + k / 2),
        Effort::Width(width) => width.max(k).min(WIDTH_MAX),
    };
    let Some(graph) = graph else { return scan(vectors, query, allowed, k) };
    let cost = Cost::of(vectors, graph, allowed, width);
    if !cost.walk_pays() {
        return scan(vectors, query, allowed, k);
    }
    let view = vectors.view();
    let ground = super::graph::Ground { view: &view, kernel: vectors.kernel, query, rows: vectors.rows() };
    let all = allowed.len() == vectors.rows();
    let covered = super::row_number(graph.covered());
    let walked = graph.nearest(&ground, width, (!all).then_some((allowed, cost.share)), cost.budget());
    let late = late_runs(allowed, covered);
    let late_count: usize = late.iter().map(|(start, end)| (end - start) as usize).sum();
    let enough = k.min(allowed.len());
    if walked.finished && walked.rows.len() + late_count >= enough {
        let mut found = walked.rows;
        // A row that a builder inserts meanwhile can be both walked to and late.
        found.retain(|(_, row)| *row < covered);
        found.extend(late.iter().flat_map(|(start, end)| *start..*end).map(|row| (ground.key(row), row)));
        found.iter_mut().for_each(|(key, row)| *key = query.upper(&view, *row, *key));
        let compared = vectors.rescore(&view, query, found, k)?;
        if compared.hits.len() >= enough {
            return Ok(Answer {
                hits: compared.hits,
                plan: PlanKind::Graph,
                visible: allowed.len(),
                candidates: compared.exact,
                visited: walked.visited + late_count,
            });
        }
    }
    let mut answer = scan(vectors, query, allowed, k)?;
    answer.plan = PlanKind::GraphThenScan;
    answer.visited += walked.visited;
    Ok(answer)
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded")]
fn balanced_width(rows: usize) -> usize {
    let growth = (rows as f64 / WIDTH_ROWS).powf(2.0 / 3.0).max(1.0);
    (WIDTH_BALANCED as f64 * growth).min(WIDTH_MAX as f64) as usize
}

fn scan(vectors: &Vectors, query: &Query, allowed: &RowSet, k: usize) -> Result<Answer, VectorError> {
    let scanned = vectors.scan_rows(&vectors.view(), query, allowed, k)?;
    Ok(Answer {
        hits: scanned.hits,
        plan: PlanKind::Scan,
        visible: allowed.len(),
        candidates: scanned.exact,
        visited: allowed.len(),
    })
}

/// The allowed rows from `covered` on.
fn late_runs(allowed: &RowSet, covered: u32) -> Vec<(u32, u32)> {
    let mut late = Vec::new();
    allowed.runs_from(covered, |start, end| late.push((start, end)));
    late
}

/// What the two ways cost, in visits.
struct Cost {
    scan: f64,
    walk: f64,
    /// What one visit of the walk costs.
    visit: f64,
    /// The share of the rows that is allowed.
    share: f64,
    rows: usize,
}

#[expect(clippy::cast_precision_loss, reason = "costs are estimates")]
impl Cost {
    fn of(vectors: &Vectors, graph: &Graph, allowed: &RowSet, width: usize) -> Self {
        let (rows, shape) = (allowed.len() as f64, allowed.shape());
        let scan = shape.apart as f64 * APART_COST + shape.adjacent as f64 * ADJACENT_COST;
        let share = rows / vectors.rows().max(1) as f64;
        let late = vectors.rows().saturating_sub(graph.covered()) as f64 * share;
        let behind = share < super::graph::SWEEP_SHARE;
        let factor = if behind { BEHIND_COST } else { share.recip() };
        let walk = width as f64 * WIDTH_VISITS * factor + late;
        let visit = if behind { BEHIND_VISIT_COST } else { 1.0 };
        Self { scan, walk, visit, share, rows: allowed.len() }
    }

    fn walk_pays(&self) -> bool {
        self.rows >= WALK_ROWS_MIN && self.share >= WALK_SHARE_MIN && self.walk < self.scan
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive count of visits")]
    fn budget(&self) -> usize {
        (self.scan / self.visit) as usize
    }
}
