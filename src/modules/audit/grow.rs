//! Growth: takes new events into a tenant's tree, and signs checkpoints of it.
//!
//! A step reads events behind the last one that the tree has, and writes tiles, places, moments, index and the new state
//! in one write, which rests on the state that it read. So a step is whole or not at all, and of two that run at once one
//! does nothing: a tree has no two ways to grow. A crash costs nothing but the step under way, which is done again.

use super::note::{Checkpoint, Note, Signer, VerifierKey};
use super::records::{Field, Moments, Signed, State};
use super::tree::{Edge, TILE_WIDTH, root_at};
use super::{AuditError, Log, Place, Tenants, leaf};
use crate::engine::{RECORDS_PER_WRITE_MAX, RecordChange};
use crate::identity::{ACTORS_MAX, Event, Outcome};
use crate::tuple::Timestamp;
use std::collections::BTreeSet;

/// Most events of a step.
pub const STEP_EVENTS_MAX: usize = 512;
/// Most bytes of events of a step.
pub const STEP_BYTES_MAX: usize = 4 << 20;
/// Most steps of one call of [`Log::grow`].
pub const STEPS_MAX: usize = 64;
/// How many of the newest checkpoints are kept.
pub const CHECKPOINTS_KEPT: usize = 256;
/// Most older ones that are taken away when one is signed.
const CHECKPOINTS_GONE_MAX: usize = 16;
/// How often something is tried again that others change at the same moment.
pub(super) const TRIES_MAX: usize = 16;
/// Changes of a step besides its index: the state, and of 512 events at most three tiles of level 0, two of each level
/// above, three lists of places and two groups of moments.
const BESIDE_MAX: usize = 1 + 3 + 2 * 7 + 3 + 2;
/// Most keys of one event in the index: kind, outcome, resource, trace; whom it is about and who did it, each as a person and
/// as an agent; agents.
pub(super) const INDEX_MAX: usize = 4 + 2 + 2 + 1 + ACTORS_MAX;
const _: () = assert!(BESIDE_MAX + INDEX_MAX <= RECORDS_PER_WRITE_MAX, "a step has room for an event");
const TILE: u64 = TILE_WIDTH as u64;

/// What a call has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grown {
    /// How many events the tree has taken.
    pub events: u64,
    /// How many it has.
    pub size: u64,
    /// Whether there may be more to take.
    pub more: bool,
}

/// What [`super::Audit::tend`] has done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tended {
    /// How many events the trees have taken.
    pub events: u64,
    /// How many checkpoints were signed.
    pub checkpoints: u64,
    /// Whether there may be more to take: call again without waiting.
    pub more: bool,
    /// The tenants whose logs could not be tended, and why.
    pub failed: Vec<(u32, AuditError)>,
}

impl super::Audit {
    /// Grows the logs of all tenants and signs a checkpoint of each that grew: what a server does in the background, every
    /// second or so. A log that fails does not hold up the others.
    pub fn tend(&self, tenants: &dyn Tenants, now: Timestamp) -> Tended {
        let mut tended = Tended::default();
        for tenant in tenants.tenants() {
            if let Err(error) = self.tend_one(tenants, tenant, now, &mut tended) {
                tended.failed.push((tenant, error));
            }
        }
        tended
    }

    fn tend_one(
        &self,
        tenants: &dyn Tenants,
        tenant: u32,
        now: Timestamp,
        tended: &mut Tended,
    ) -> Result<(), AuditError> {
        let log = self.log(tenant);
        let grown = log.grow()?;
        tended.events += grown.events;
        tended.more |= grown.more;
        let signed = log.checkpoint()?.map_or(0, |signed| signed.size);
        if signed < grown.size
            && let Some(signer) = tenants.signer(tenant)
        {
            log.sign(&*signer, now)?;
            tended.checkpoints += 1;
        }
        Ok(())
    }
}

/// What the tree takes in one step.
struct Step {
    state: State,
    edge: Edge,
    full: Vec<super::tree::Tile>,
    /// The places of the tiles that are touched, from the first such tile on.
    places: Vec<(u64, Vec<Place>)>,
    /// The moments of the groups that are touched.
    moments: Vec<(u64, Vec<Moments>)>,
    /// Changes of the index.
    changes: Vec<RecordChange>,
}

impl Log {
    /// Takes new events into the tree, as far as [`STEPS_MAX`] steps go.
    ///
    /// # Errors
    /// The disk failed, or what is stored is damaged.
    pub fn grow(&self) -> Result<Grown, AuditError> {
        let mut all = Grown::default();
        for _ in 0..STEPS_MAX {
            let grown = self.grow_step(STEP_EVENTS_MAX)?;
            all = Grown { events: all.events + grown.events, ..grown };
            if !grown.more {
                break;
            }
        }
        let more = self.index_again()?;
        Ok(Grown { more: all.more || more, ..all })
    }

    /// Takes new events into the tree, at most `max` and as many as one write holds.
    ///
    /// # Errors
    /// The disk failed, or what is stored is damaged.
    pub fn grow_step(&self, max: usize) -> Result<Grown, AuditError> {
        let records = &self.records;
        let (state, unchanged) = records.state()?;
        let max = max.min(STEP_EVENTS_MAX);
        let events = records.events((state.size > 0).then_some(state.last), max)?;
        if events.is_empty() {
            return Ok(Grown { events: 0, size: state.size, more: false });
        }
        let begun = state.size;
        let (step, taken) = match self.step(state, &events) {
            Ok(step) => step,
            // Another has grown the tree between two reads of this one, which then do not fit each other.
            Err(_) if self.size()? != begun => return Ok(Grown { events: 0, size: self.size()?, more: true }),
            Err(error) => return Err(error),
        };
        let more = taken < events.len() || events.len() == max;
        let size = step.state.size;
        if !records.write_if(vec![unchanged], self.changes(step))? {
            // Another was faster. It has taken these, and there may be more.
            return Ok(Grown { events: 0, size: self.size()?, more: true });
        }
        Ok(Grown { events: taken as u64, size, more })
    }

    /// What is written to take events into a tree, and how many of them fit.
    fn step(&self, state: State, events: &[(Place, Vec<u8>)]) -> Result<(Step, usize), AuditError> {
        let mut step = Step {
            state,
            edge: Edge::read(&self.records, state.size)?,
            full: Vec::new(),
            places: Vec::new(),
            moments: Vec::new(),
            changes: Vec::new(),
        };
        let (mut taken, mut bytes) = (0, 0);
        for (place, event) in events {
            bytes += event.len();
            let full = step.changes.len() + BESIDE_MAX + INDEX_MAX > RECORDS_PER_WRITE_MAX;
            if full || taken > 0 && bytes > STEP_BYTES_MAX {
                break;
            }
            self.take(&mut step, *place, event)?;
            taken += 1;
        }
        Ok((step, taken))
    }

    fn take(&self, step: &mut Step, place: Place, bytes: &[u8]) -> Result<(), AuditError> {
        let index = step.state.size;
        if index > 0 && place <= step.state.last {
            return Err(self.records.damaged("the order of events"));
        }
        step.edge.append(leaf(place, bytes), &mut step.full)?;
        step.state = State { size: index + 1, last: place, ..step.state };
        let (tile, within) = (index / TILE, index % TILE);
        if step.places.last().is_none_or(|(at, _)| *at != tile) {
            let before = if within == 0 { Vec::new() } else { self.records.places(tile)? };
            if before.len() as u64 != within {
                return Err(self.records.damaged("the places of events"));
            }
            step.places.push((tile, before));
        }
        if let Some((_, places)) = step.places.last_mut() {
            places.push(place);
        }
        // An event that cannot be read (a newer program wrote it) is in the tree all the same, and found by its number.
        let event = Event::read(bytes).ok().filter(|event| event.tenant() == self.tenant());
        self.note_moment(step, index, event.as_ref().map(|event| event.at().0))?;
        for (field, value) in event.iter().flat_map(values) {
            step.changes.push(self.records.records.put(self.records.index_key(field, value, index), Vec::new()));
        }
        Ok(())
    }

    fn note_moment(&self, step: &mut Step, index: u64, at: Option<i64>) -> Result<(), AuditError> {
        let tile = index / TILE;
        let (group, within) = (tile / TILE, usize::try_from(tile % TILE).unwrap_or(0));
        if step.moments.last().is_none_or(|(known, _)| *known != group) {
            step.moments.push((group, self.records.moments(group)?));
        }
        let Some((_, moments)) = step.moments.last_mut() else { return Ok(()) };
        if index.is_multiple_of(TILE) {
            moments.truncate(within);
            moments.push((i64::MAX, i64::MIN));
        }
        let whole = moments.len() == within + 1;
        let Some((first, last)) = moments.last_mut().filter(|_| whole) else {
            return Err(self.records.damaged("the moments of events"));
        };
        if let Some(at) = at {
            (*first, *last) = ((*first).min(at), (*last).max(at));
        }
        Ok(())
    }

    fn changes(&self, step: Step) -> Vec<RecordChange> {
        let records = &self.records;
        let Step { state, edge, full, places, moments, mut changes } = step;
        // The right-most tile of a level changes when a hash comes to it: at level 0 always, above when one below is full.
        let above: BTreeSet<u8> = full.iter().map(|tile| tile.level + 1).chain([0]).collect();
        let partial = edge.partial().filter(|tile| above.contains(&tile.level));
        let tiles = full.into_iter().chain(partial);
        changes.extend(tiles.map(|tile| records.put_tile(tile.level, tile.index, &tile.hashes)));
        changes.extend(places.iter().map(|(tile, places)| records.put_places(*tile, places)));
        changes.extend(moments.iter().map(|(group, moments)| records.put_moments(*group, moments)));
        changes.push(records.put_state(state));
        changes
    }

    /// The newest signed checkpoint.
    ///
    /// # Errors
    /// The disk failed, or it is damaged.
    pub fn checkpoint(&self) -> Result<Option<Signed>, AuditError> {
        self.records.checkpoint(u64::MAX)
    }

    /// The newest signed checkpoint of at most `size` events.
    ///
    /// # Errors
    /// The disk failed, or it is damaged.
    pub fn checkpoint_at_most(&self, size: u64) -> Result<Option<Signed>, AuditError> {
        self.records.checkpoint(size)
    }

    /// Signs a checkpoint of the tree as it is. Answers the newest one when it covers the tree and this key signed it.
    ///
    /// What was signed before must be the beginning of what is signed now: it is computed again, and when it is not, then
    /// nothing is signed.
    ///
    /// # Errors
    /// The key cannot be reached, or the log is damaged.
    pub fn sign(&self, signer: &dyn Signer, now: Timestamp) -> Result<Signed, AuditError> {
        // In this order: the tree grows meanwhile, and another may sign it, so that a checkpoint read later could be of more.
        let before = self.checkpoint()?;
        let size = self.size()?;
        if let Some(before) = &before {
            let text = Note::parse(&before.note)?;
            let checkpoint = Checkpoint::parse(text.text())?;
            if checkpoint.size != before.size || checkpoint.size > size {
                return Err(self.records.damaged("the newest checkpoint is of another tree"));
            }
            if root_at(&self.records, before.size)? != checkpoint.root {
                return Err(self.records.damaged("the tree is not the one that was signed"));
            }
            if before.size == size && signed_by(&text, signer.key()) {
                return Ok(before.clone());
            }
        }
        let root = root_at(&self.records, size)?;
        let checkpoint = Checkpoint { origin: signer.key().name().to_owned(), size, root, extensions: Vec::new() };
        let signed = Signed { size, at: now, note: checkpoint.sign(signer)?.to_string() };
        let same = before.as_ref().filter(|before| before.size == size);
        let mut changes = vec![self.records.put_checkpoint(&signed)];
        // One place is the new one's.
        let old = self.records.old_checkpoints(CHECKPOINTS_KEPT - 1, CHECKPOINTS_GONE_MAX)?;
        changes.extend(old.into_iter().filter(|old| *old != size).map(|old| self.records.delete_checkpoint(old)));
        if self.records.write_if(vec![self.records.expect_checkpoint(size, same)], changes)? {
            return Ok(signed);
        }
        // Another signed the same tree at the same moment.
        self.records.checkpoint(size)?.filter(|other| other.size == size).ok_or(AuditError::Contended)
    }
}

fn signed_by(note: &Note, key: &VerifierKey) -> bool {
    note.verify(std::slice::from_ref(key)).is_ok()
}

/// What an event is found by: each value once. Of outcomes only those that are few: a scan finds the others soon.
pub(super) fn values(event: &Event) -> BTreeSet<(Field, &str)> {
    let outcome = event.outcome();
    let rare = matches!(outcome, Outcome::Refused | Outcome::Failed);
    let mut values: BTreeSet<(Field, &str)> = event.agents().map(|agent| (Field::Agent, agent)).collect();
    values.insert((Field::Kind, event.kind().name()));
    values.extend(rare.then_some((Field::Outcome, outcome.name())));
    values.extend(event.persons().map(|person| (Field::User, person)));
    values.extend(event.get_resource().map(|resource| (Field::Resource, resource)));
    values.extend(event.get_trace().map(|trace| (Field::Trace, trace)));
    values
}
