//! Answers every question by brute force over a list of tuples: no index, no plan, no cleverness.
//!
//! The meaning is the least fixpoint in the order of knowledge (Kripke-Kleene): every `object#relation` starts as
//! [`Value::Unknown`] and is evaluated again until nothing changes. What only a cycle supports stays unknown, and unknown
//! is denied, also when it is what an exclusion takes away. A condition that cannot be evaluated is unknown too; afterwards
//! what it hides is told apart, as [`Value::Fault`].

use bailiwick::model::{Model, RelationDefinition, Rewrite, SubjectKind, TypeDefinition};
use bailiwick::tuple::{Object, Subject, Tuple, TupleCondition};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of `object#relation` for one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    True,
    False,
    /// Only a cycle supports it.
    Unknown,
    /// A condition could not be evaluated and nothing else decides.
    Fault,
}

use Value::{False, Fault, True, Unknown};

impl Value {
    fn or(self, other: Value) -> Value {
        match (self, other) {
            (True, _) | (_, True) => True,
            (Fault, _) | (_, Fault) => Fault,
            (Unknown, _) | (_, Unknown) => Unknown,
            (False, False) => False,
        }
    }

    fn not(self) -> Value {
        match self {
            True => False,
            False => True,
            Unknown => Unknown,
            Fault => Fault,
        }
    }

    fn and(self, other: Value) -> Value {
        self.not().or(other.not()).not()
    }
}

/// How a tuple's condition turns out; the caller knows the conditions of its world.
pub(crate) type Decide<'a> = &'a dyn Fn(&TupleCondition) -> Value;

/// A model and the tuples that count, stored and contextual alike.
pub(crate) struct Oracle<'a> {
    model: &'a Model,
    tuples: Vec<&'a Tuple>,
    objects: BTreeSet<Object>,
    decide: Decide<'a>,
}

/// What holds for one subject, by object and relation.
pub(crate) type Answers = BTreeMap<(Object, String), Value>;

impl<'a> Oracle<'a> {
    /// Tuples that do not fit the model are left out: they are silently ignored by every question.
    pub(crate) fn new(model: &'a Model, tuples: impl Iterator<Item = &'a Tuple>, decide: Decide<'a>) -> Self {
        let tuples: Vec<_> = tuples.filter(|t| fits(model, t)).collect();
        let mut objects = BTreeSet::new();
        for tuple in &tuples {
            objects.insert(tuple.object.clone());
            objects.extend(object_of(&tuple.subject));
        }
        Self { model, tuples, objects, decide }
    }

    /// Every object that a tuple names.
    pub(crate) fn objects(&self) -> &BTreeSet<Object> {
        &self.objects
    }

    /// Everything that is known for `subject`: the fixpoint.
    pub(crate) fn answers(&self, subject: &Subject) -> Answers {
        let mut answers = Answers::new();
        let paths = self.paths(subject);
        for object in self.objects.iter().cloned().chain(object_of(subject)) {
            for relation in self.model.object_type(&object.object_type).iter().flat_map(|t| &t.relations) {
                answers.insert((object.clone(), relation.name.clone()), Unknown);
            }
        }
        // What cannot be evaluated is not known: so nothing that is known is ever taken back, and the loop ends.
        loop {
            let mut next = answers.clone();
            for ((object, relation), value) in &mut next {
                let leads = paths.contains(&(object.object_type.clone(), relation.clone()));
                *value = if leads { self.relation(&answers, subject, object, relation) } else { False };
                if *value == Fault {
                    *value = Unknown;
                }
            }
            if next == answers {
                break;
            }
            answers = next;
        }
        self.blame(&mut answers, subject);
        answers
    }

    /// Tells what a fault hides from what only a cycle supports: what is not known is a fault's if one decides it with what
    /// is known, or with what is a fault's already.
    fn blame(&self, answers: &mut Answers, subject: &Subject) {
        loop {
            let faulty = |key: &&(Object, String)| self.relation(answers, subject, &key.0, &key.1) == Fault;
            let unknown = answers.iter().filter(|(_, value)| **value == Unknown).map(|(key, _)| key);
            let blamed: Vec<_> = unknown.filter(faulty).cloned().collect();
            if blamed.is_empty() {
                return;
            }
            answers.extend(blamed.into_iter().map(|key| (key, Fault)));
        }
    }

    /// The relations from which, by the model alone, a path leads to subjects of this kind. Any other is false without a
    /// look at the tuples, and so never unknown.
    fn paths(&self, subject: &Subject) -> BTreeSet<(String, String)> {
        let mut paths = BTreeSet::new();
        if let Subject::Userset { object, relation } = subject {
            paths.insert((object.object_type.clone(), relation.clone()));
        }
        loop {
            let before = paths.len();
            for ty in &self.model.types {
                for relation in &ty.relations {
                    if leads(ty, relation, &relation.rewrite, subject, &paths) {
                        paths.insert((ty.name.clone(), relation.name.clone()));
                    }
                }
            }
            if paths.len() == before {
                return paths;
            }
        }
    }

    /// The value of one question. An object that no tuple names has nothing but itself.
    pub(crate) fn check(&self, answers: &Answers, object: &Object, relation: &str) -> Value {
        answers.get(&(object.clone(), relation.to_owned())).copied().unwrap_or(False)
    }

    /// The ids of the objects of a type to which the subject of `answers` has the relation, and those that a fault hides.
    pub(crate) fn list_objects(&self, answers: &Answers, object_type: &str, relation: &str) -> [BTreeSet<String>; 2] {
        [True, Fault].map(|wanted| {
            let rows = answers.iter().filter(|((_, r), value)| r == relation && **value == wanted);
            rows.filter(|((o, _), _)| o.object_type == object_type).map(|((o, _), _)| o.id.clone()).collect()
        })
    }

    /// Subjects of a kind that the world names, the wildcard last: whoever ListUsers could return.
    pub(crate) fn candidates(&self, subject_type: &str, subject_relation: Option<&str>) -> Vec<Subject> {
        let objects = self.objects.iter().filter(|o| o.object_type == subject_type).cloned();
        match subject_relation {
            Some(relation) => {
                objects.map(|object| Subject::Userset { object, relation: relation.to_owned() }).collect()
            }
            None => {
                let wildcard = Subject::Wildcard { object_type: subject_type.to_owned() };
                objects.map(Subject::Object).chain([wildcard]).collect()
            }
        }
    }

    fn relation(&self, known: &Answers, subject: &Subject, object: &Object, relation: &str) -> Value {
        // `o#r` has `r` to `o` by itself.
        if matches!(subject, Subject::Userset { object: o, relation: r } if o == object && r == relation) {
            return True;
        }
        let definition = self.model.object_type(&object.object_type).and_then(|t| t.relation(relation));
        definition.map_or(False, |d| self.rewrite(known, subject, object, relation, &d.rewrite))
    }

    fn rewrite(&self, known: &Answers, subject: &Subject, object: &Object, relation: &str, rule: &Rewrite) -> Value {
        let part = |rule: &Rewrite| self.rewrite(known, subject, object, relation, rule);
        match rule {
            Rewrite::This => {
                let tuples = self.tuples.iter().filter(|t| t.object == *object && t.relation == relation);
                tuples.fold(False, |sum, tuple| sum.or(self.tuple(known, subject, tuple)))
            }
            Rewrite::ComputedUserset { relation } => self.check(known, object, relation),
            Rewrite::TupleToUserset { tupleset, relation } => {
                let tuples = self.tuples.iter().filter(|t| t.object == *object && t.relation == *tupleset);
                tuples.fold(False, |sum, tuple| match &tuple.subject {
                    Subject::Object(parent) => sum.or(self.condition(tuple).and(self.check(known, parent, relation))),
                    Subject::Userset { .. } | Subject::Wildcard { .. } => sum,
                })
            }
            Rewrite::Union(parts) => parts.iter().fold(False, |sum, rule| sum.or(part(rule))),
            Rewrite::Intersection(parts) => parts.iter().fold(True, |all, rule| all.and(part(rule))),
            Rewrite::Exclusion { base, subtract } => part(base).and(part(subtract).not()),
        }
    }

    fn tuple(&self, known: &Answers, subject: &Subject, tuple: &Tuple) -> Value {
        let named = match (&tuple.subject, subject) {
            (stored, asked) if stored == asked => True,
            (Subject::Wildcard { object_type }, Subject::Object(object)) if *object_type == object.object_type => True,
            (Subject::Userset { object, relation }, _) => self.check(known, object, relation),
            _ => False,
        };
        if named == False { False } else { named.and(self.condition(tuple)) }
    }

    fn condition(&self, tuple: &Tuple) -> Value {
        tuple.condition.as_ref().map_or(True, |condition| (self.decide)(condition))
    }
}

fn leads(
    ty: &TypeDefinition,
    relation: &RelationDefinition,
    rule: &Rewrite,
    subject: &Subject,
    paths: &BTreeSet<(String, String)>,
) -> bool {
    let known = |t: &String, r: &String| paths.contains(&(t.clone(), r.clone()));
    let named = match subject {
        Subject::Object(object) => Some(&object.object_type),
        Subject::Wildcard { object_type } => Some(object_type),
        Subject::Userset { .. } => None,
    };
    match rule {
        Rewrite::This => relation.subject_types.iter().any(|s| match &s.kind {
            SubjectKind::Object | SubjectKind::Wildcard => Some(&s.object_type) == named,
            SubjectKind::Userset(r) => known(&s.object_type, r),
        }),
        Rewrite::ComputedUserset { relation } => known(&ty.name, relation),
        Rewrite::TupleToUserset { tupleset, relation } => {
            ty.relation(tupleset).is_some_and(|t| t.subject_types.iter().any(|s| known(&s.object_type, relation)))
        }
        Rewrite::Union(parts) | Rewrite::Intersection(parts) => {
            parts.iter().any(|p| leads(ty, relation, p, subject, paths))
        }
        Rewrite::Exclusion { base, subtract } => {
            leads(ty, relation, base, subject, paths) || leads(ty, relation, subtract, subject, paths)
        }
    }
}

fn object_of(subject: &Subject) -> Option<Object> {
    match subject {
        Subject::Object(object) | Subject::Userset { object, .. } => Some(object.clone()),
        Subject::Wildcard { .. } => None,
    }
}

/// Whether a restriction of the model admits the tuple.
fn fits(model: &Model, tuple: &Tuple) -> bool {
    let Some(definition) = model.object_type(&tuple.object.object_type).and_then(|t| t.relation(&tuple.relation))
    else {
        return false;
    };
    let condition = tuple.condition.as_ref().map(|c| c.name.as_str());
    definition.subject_types.iter().any(|allowed| {
        let kind = match (&allowed.kind, &tuple.subject) {
            (SubjectKind::Object, Subject::Object(_)) | (SubjectKind::Wildcard, Subject::Wildcard { .. }) => true,
            (SubjectKind::Userset(relation), Subject::Userset { relation: r, .. }) => relation == r,
            _ => false,
        };
        kind && allowed.object_type == tuple.subject.as_ref().object_type() && allowed.condition.as_deref() == condition
    })
}
