//! What one question sees: the pinned state of a store, plus what the request adds to it.
//!
//! Names that only the request knows get ordinals behind the last stored one; contextual tuples are edges beside the
//! columns. A condition is evaluated once for each class and request.

use super::plan::{Gate, Plan};
use super::types::{Given, Limits, QuestionError, TupleFault};
use crate::index::{ClassIx, ColumnIx, StoreState, TypeIx};
use crate::model::Model;
use crate::tuple::{Context, ObjectRef, Ordinal, SubjectRef, TupleCondition};
use hashbrown::HashMap;
use std::sync::atomic::Ordering;

/// How many visits pass between two looks at `limits.stop`.
const VISITS_PER_LOOK: u64 = 256;

/// Whether a tuple counts: its condition is met, is not, or could not be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Yes,
    No,
    Fault(FaultIx),
}

/// The position of an error among those met by one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FaultIx(u32);

/// A contextual tuple.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge<'a> {
    pub(crate) column: ColumnIx,
    pub(crate) object: Ordinal,
    /// Ordinal 0 for a wildcard.
    pub(crate) subject: Ordinal,
    pub(crate) condition: Option<&'a TupleCondition>,
}

/// Who a question is about, in ordinals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Object(TypeIx, Ordinal),
    Userset(super::plan::NodeId, Ordinal),
    Wildcard(TypeIx),
}

/// See the file's head.
pub(crate) struct World<'a> {
    pub(crate) state: &'a StoreState,
    pub(crate) plan: &'a Plan,
    pub(crate) limits: &'a Limits<'a>,
    pub(crate) edges: Vec<Edge<'a>>,
    context: Option<&'a Context>,
    names: Vec<(TypeIx, &'a str, Ordinal)>,
    verdicts: HashMap<ClassIx, Verdict>,
    faults: Vec<QuestionError>,
    visits: u64,
}

impl<'a> World<'a> {
    /// Joins what the request adds to the state.
    ///
    /// # Errors
    /// A contextual tuple that does not fit the model.
    pub(crate) fn new(
        state: &'a StoreState,
        plan: &'a Plan,
        model: &Model,
        given: Given<'a>,
        limits: &'a Limits<'a>,
    ) -> Result<Self, QuestionError> {
        let mut world = World {
            state,
            plan,
            limits,
            edges: Vec::new(),
            context: given.context,
            names: Vec::new(),
            verdicts: HashMap::new(),
            faults: Vec::new(),
            visits: 0,
        };
        for tuple in given.contextual_tuples {
            let refuse = |fault| QuestionError::ContextualTuple { tuple: tuple.to_string(), fault };
            let column = super::tuple_rules::column_of(state, model, tuple).map_err(refuse)?;
            super::tuple_rules::check_context(plan, tuple).map_err(refuse)?;
            let key = state.column_key(column);
            let object = world.ordinal(key.object_type, &tuple.object.id);
            let subject = match &tuple.subject {
                crate::tuple::Subject::Object(o) | crate::tuple::Subject::Userset { object: o, .. } => {
                    world.ordinal(key.subject_type, &o.id)
                }
                crate::tuple::Subject::Wildcard { .. } => Ordinal(0),
            };
            world.edges.push(Edge { column, object, subject, condition: tuple.condition.as_ref() });
        }
        Ok(world)
    }

    /// The ordinal of a name; one behind the stored ones when only the request knows it.
    pub(crate) fn ordinal(&mut self, object_type: TypeIx, id: &'a str) -> Ordinal {
        if let Some(ordinal) = self.state.ordinal(object_type, id) {
            return ordinal;
        }
        let mut count = 0;
        for &(t, name, ordinal) in &self.names {
            if t == object_type {
                if name == id {
                    return ordinal;
                }
                count += 1;
            }
        }
        let ordinal = Ordinal(self.state.names_len(object_type) + count);
        self.names.push((object_type, id, ordinal));
        ordinal
    }

    /// The name of an ordinal, stored or the request's own.
    pub(crate) fn name(&self, object_type: TypeIx, ordinal: Ordinal) -> Option<&'a str> {
        self.state.name(object_type, ordinal).or_else(|| {
            self.names.iter().find(|(t, _, o)| *t == object_type && *o == ordinal).map(|(_, name, _)| *name)
        })
    }

    /// Names that only the request knows, with their ordinals.
    pub(crate) fn own_names(&self, object_type: TypeIx) -> Vec<(Ordinal, String)> {
        self.names.iter().filter(|(t, ..)| *t == object_type).map(|(_, n, o)| (*o, (*n).to_owned())).collect()
    }

    /// The node of a relation asked about.
    pub(crate) fn node(
        &self,
        model: &Model,
        object_type: &str,
        relation: &str,
    ) -> Result<(TypeIx, super::plan::NodeId), QuestionError> {
        let ids = self.state.type_ix(object_type).zip(self.state.relation_ix(relation));
        if let Some(found) = ids.and_then(|(t, r)| self.plan.node_of(t, r).map(|n| (t, n))) {
            return Ok(found);
        }
        let object_type = object_type.to_owned();
        Err(match model.object_type(&object_type) {
            None => QuestionError::TypeNotFound { object_type },
            Some(ty) if ty.relation(relation).is_none() => {
                QuestionError::RelationNotFound { object_type, relation: relation.into() }
            }
            Some(_) => QuestionError::Storage, // a store's dictionaries hold all that its models name
        })
    }

    /// The subject asked about, in ordinals.
    ///
    /// # Errors
    /// Its type, or its relation, is not in the model.
    pub(crate) fn who(&mut self, subject: SubjectRef<'a>) -> Result<Who, QuestionError> {
        let object_type = subject.object_type();
        let refuse = |fault| QuestionError::SubjectInvalid { subject: subject.to_string(), fault };
        let Some(t) = self.state.type_ix(object_type).filter(|t| self.plan.has_type(*t)) else {
            return Err(refuse(TupleFault::TypeNotFound { object_type: object_type.into() }));
        };
        match subject {
            SubjectRef::Object(ObjectRef { id, .. }) => Ok(Who::Object(t, self.ordinal(t, id))),
            SubjectRef::Wildcard { .. } => Ok(Who::Wildcard(t)),
            SubjectRef::Userset { object, relation } => {
                let node = self.state.relation_ix(relation).and_then(|r| self.plan.node_of(t, r)).ok_or_else(|| {
                    refuse(TupleFault::RelationNotFound { object_type: object_type.into(), relation: relation.into() })
                })?;
                Ok(Who::Userset(node, self.ordinal(t, object.id)))
            }
        }
    }

    /// Counts a visit.
    ///
    /// # Errors
    /// The bound on visits is reached, or the caller gave up.
    pub(crate) fn visit(&mut self) -> Result<(), QuestionError> {
        self.visits += 1;
        if self.visits > self.limits.visits_max {
            return Err(QuestionError::VisitsExceeded { visits_max: self.limits.visits_max });
        }
        let look = self.visits % VISITS_PER_LOOK == 1;
        if look && self.limits.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(QuestionError::Stopped);
        }
        Ok(())
    }

    /// Remembers an error that another path may yet make irrelevant.
    pub(crate) fn fault(&mut self, error: QuestionError) -> FaultIx {
        let ix = FaultIx(u32::try_from(self.faults.len()).unwrap_or(u32::MAX));
        self.faults.push(error);
        ix
    }

    /// The error itself.
    pub(crate) fn error(&self, ix: FaultIx) -> QuestionError {
        self.faults.get(ix.0 as usize).cloned().unwrap_or(QuestionError::Storage)
    }

    /// Whether stored tuples of a class count, in a column where the model allows the conditions of `gate`.
    pub(crate) fn verdict(&mut self, gate: &Gate, class: ClassIx) -> Verdict {
        let stored = self.state.class(class);
        if !gate.conditions.contains(&stored.condition) {
            return Verdict::No;
        }
        if let Some(&known) = self.verdicts.get(&class) {
            return known;
        }
        let verdict = self.evaluate(&stored.condition, &stored.context);
        self.verdicts.insert(class, verdict);
        verdict
    }

    /// Whether a contextual tuple counts.
    pub(crate) fn edge_verdict(&mut self, gate: &Gate, edge: Edge<'a>) -> Verdict {
        match edge.condition {
            None if gate.plain => Verdict::Yes,
            Some(c) if gate.conditions.contains(&c.name) => self.evaluate(&c.name, &c.context),
            None | Some(_) => Verdict::No,
        }
    }

    fn evaluate(&mut self, name: &str, stored: &Context) -> Verdict {
        let met = match self.plan.condition(name) {
            Some(Ok(condition)) => condition
                .evaluate(stored, self.context, self.limits.condition_cost_max)
                .map_err(|fault| fault.to_string()),
            // A program may refuse what an older one took. Doubt is an error: under `but not`, no grant would be one.
            Some(Err(fault)) => Err(format!("it does not compile; write the model anew: {fault}")),
            None => Err("the model does not define it".to_owned()),
        };
        match met {
            Ok(true) => Verdict::Yes,
            Ok(false) => Verdict::No,
            Err(reason) => Verdict::Fault(self.fault(QuestionError::Condition { condition: name.into(), reason })),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::{CheckQuery, Consistency, Engine, Given, Limits, ListObjectsQuery, ListUsersQuery, writer};
    use crate::engine::{QuestionError, WriteQuery};
    use crate::model::Model;
    use crate::tuple::{ModelId, ObjectRef, StoreId, SubjectRef, Timestamp, TupleKeyRef};

    /// A model is stored as an older program took it, past the rules of this one.
    #[test]
    fn a_stored_condition_that_does_not_compile_is_an_error_of_the_question() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open(directory.path()).unwrap();
        let (store, id) = (StoreId(ulid::Ulid::from_parts(1, 1)), ModelId(ulid::Ulid::from_parts(1, 2)));
        engine.create_store(store, "docs", Timestamp(1)).unwrap();
        let text = "model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define banned: [user with odd]\n    \
                    define all: [user]\n    define viewer: all but not banned\ncondition odd(n: int) {\n  n == 1\n}\n";
        let mut model = Model::parse_dsl(text).unwrap();
        let tuple = |relation: &str, user: &str| TupleKeyRef::parse("doc:1", relation, user).unwrap().to_tuple();
        let mut banned = tuple("banned", "user:anne");
        banned.condition = Some(crate::tuple::TupleCondition { name: "odd".into(), context: Default::default() });
        model.conditions[0].expression = "n ==".into();
        engine.submit(writer::Change::Model { store, id, model: Box::new(model) }).unwrap();
        let writes = vec![banned, tuple("all", "user:anne"), tuple("all", "user:bob")];
        let query = WriteQuery { writes, ..WriteQuery::default() };
        engine.submit(writer::Change::Tuples { store, query, at: Timestamp(1) }).unwrap();

        let view = engine.view(store, None, Consistency::Latest).unwrap();
        let limits = Limits::default();
        let check = |relation, user| {
            let key = TupleKeyRef::parse("doc:1", relation, user).unwrap();
            view.check(&CheckQuery { key, given: Given::default() }, &limits)
        };
        let faulty =
            |error: &QuestionError| matches!(error, QuestionError::Condition { condition, .. } if condition == "odd");
        for relation in ["banned", "viewer"] {
            let error = check(relation, "user:anne").unwrap_err();
            assert!(faulty(&error), "{relation}: {error}");
            assert!(error.to_string().contains("does not compile"), "{error}");
        }
        assert_eq!(check("viewer", "user:bob"), Ok(crate::engine::Decision::Allow));
        let subject = SubjectRef::parse("user:anne").unwrap();
        let list = ListObjectsQuery { object_type: "doc", relation: "viewer", subject, given: Given::default() };
        assert!(faulty(&view.list_objects(&list, &limits).err().unwrap()));
        let object = ObjectRef { object_type: "doc", id: "1" };
        let given = Given::default();
        let users = ListUsersQuery { object, relation: "viewer", subject_type: "user", subject_relation: None, given };
        assert!(faulty(&view.list_users(&users, &limits).unwrap_err()));
    }
}
