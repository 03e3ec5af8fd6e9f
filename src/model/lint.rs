//! The editor's rules: those of OpenFGA's language library, with its texts and code names, each fault at its place.
//!
//! They are stricter than a store's (`validate.rs`): a model may break them and still be written. Like the library, later
//! groups of rules are judged only when the earlier ones hold, so that one mistake is not reported in five ways.

use super::ast::{Model, RelationDefinition, Rewrite, SubjectKind, SubjectType, TypeDefinition};
use super::condition::CompiledCondition;
use super::diagnostic::{Fault, FaultCode, Place};
use super::positions::{LeafAt, Positions, RelationAt, SubjectAt, TypeAt};
use super::reach::Reach;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

/// Longest name of a type, in characters.
const TYPE_NAME_MAX: usize = 254;
/// Longest name of a relation or condition, in characters.
const RELATION_NAME_MAX: usize = 50;

/// All faults of a model.
pub(super) fn lint(model: &Model, positions: &Positions) -> Vec<Fault> {
    let mut faults = names(model, positions);
    if !faults.is_empty() {
        return faults;
    }
    let mut lint = Lint::new(model, positions);
    lint.each(Lint::references);
    if lint.faults.is_empty() {
        lint.duplicate_types();
        lint.each(Lint::duplicates);
    }
    if lint.faults.is_empty() {
        lint.entry_points();
    }
    lint.conditions();
    lint.modules();
    faults.append(&mut lint.faults);
    faults
}

/// The faults of names alone, which can be judged in a model that is not whole.
pub(super) fn names(model: &Model, positions: &Positions) -> Vec<Fault> {
    let mut lint = Lint::new(model, positions);
    let fits = |name: &str, max: usize, others: bool| {
        let forbidden = |c: char| c.is_whitespace() || c == '*' || others && matches!(c, ':' | '#' | '@');
        (1..=max).contains(&name.chars().count()) && !name.contains(forbidden)
    };
    for (ty, at) in lint.types() {
        let name = &ty.name;
        let place = at.map(|at| at.name.clone());
        if matches!(name.as_str(), "self" | "this") {
            let text = "a type cannot be named 'self' or 'this'.";
            lint.fault(FaultCode::ReservedTypeKeywords, place.clone(), text.into());
        }
        if !fits(name, TYPE_NAME_MAX, true) {
            let text = format!("type '{name}' does not match naming rule: '^[^:#@\\*\\s]{{1,{TYPE_NAME_MAX}}}$'.");
            lint.fault(FaultCode::InvalidName, place, text);
        }
        for (relation, at) in relations(ty, at) {
            let r = &relation.name;
            let place = at.map(|at| at.name.clone());
            if matches!(r.as_str(), "self" | "this") {
                let text = "a relation cannot be named 'self' or 'this'.";
                lint.fault(FaultCode::ReservedRelationKeywords, place, text.into());
            } else if !fits(r, RELATION_NAME_MAX, true) {
                let rule = format!("'^[^:#@\\*\\s]{{1,{RELATION_NAME_MAX}}}$'");
                let text = format!("relation '{r}' of type '{name}' does not match naming rule: {rule}.");
                lint.fault(FaultCode::InvalidName, place, text);
            }
        }
    }
    for (index, condition) in model.conditions.iter().enumerate() {
        if !fits(&condition.name, RELATION_NAME_MAX, false) {
            let rule = format!("'^[^\\*\\s]{{1,{RELATION_NAME_MAX}}}$'");
            let text = format!("condition '{}' does not match naming rule: {rule}.", condition.name);
            lint.fault(FaultCode::InvalidName, positions.conditions.get(index).cloned(), text);
        }
    }
    lint.faults
}

/// The leaves of a rewrite, from left to right, as the parser counts them.
fn leaves<'a>(rewrite: &'a Rewrite, out: &mut Vec<&'a Rewrite>) {
    match rewrite {
        Rewrite::This | Rewrite::ComputedUserset { .. } | Rewrite::TupleToUserset { .. } => out.push(rewrite),
        Rewrite::Union(children) | Rewrite::Intersection(children) => children.iter().for_each(|c| leaves(c, out)),
        Rewrite::Exclusion { base, subtract } => {
            leaves(base, out);
            leaves(subtract, out);
        }
    }
}

fn relations<'a>(
    ty: &'a TypeDefinition,
    at: Option<&'a TypeAt>,
) -> impl Iterator<Item = (&'a RelationDefinition, Option<&'a RelationAt>)> {
    ty.relations.iter().enumerate().map(move |(i, relation)| (relation, at.and_then(|at| at.relations.get(i))))
}

fn restriction(subject: &SubjectType) -> String {
    let kind = match &subject.kind {
        SubjectKind::Object => String::new(),
        SubjectKind::Wildcard => ":*".into(),
        SubjectKind::Userset(relation) => format!("#{relation}"),
    };
    let with = subject.condition.as_ref().map(|c| format!(" with {c}")).unwrap_or_default();
    format!("{}{kind}{with}", subject.object_type)
}

struct Lint<'a> {
    model: &'a Model,
    positions: &'a Positions,
    named: HashMap<&'a str, &'a TypeDefinition>,
    faults: Vec<Fault>,
}

/// The relation that is judged.
#[derive(Clone, Copy)]
struct Judged<'a> {
    ty: &'a TypeDefinition,
    relation: &'a RelationDefinition,
    at: Option<&'a RelationAt>,
}

impl Judged<'_> {
    fn place(&self, span: Option<Range<usize>>) -> Option<Place> {
        let name = &self.at?.name;
        Some(span.map_or_else(|| name.clone(), |span| Place { source: name.source, span }))
    }

    fn leaf(&self, leaf: Option<&LeafAt>) -> Option<Place> {
        self.place(leaf.map(|l| l.whole.clone()))
    }

    fn subject(&self, subject: Option<&SubjectAt>) -> Option<Place> {
        self.place(subject.map(|s| s.whole.clone()))
    }
}

impl<'a> Lint<'a> {
    fn new(model: &'a Model, positions: &'a Positions) -> Lint<'a> {
        let named = model.types.iter().map(|t| (t.name.as_str(), t)).collect();
        Lint { model, positions, named, faults: Vec::new() }
    }

    fn fault(&mut self, code: FaultCode, place: Option<Place>, message: String) {
        self.faults.push(Fault { code, message, place });
    }

    fn types(&self) -> impl Iterator<Item = (&'a TypeDefinition, Option<&'a TypeAt>)> + use<'a> {
        let positions = self.positions;
        self.model.types.iter().enumerate().map(move |(i, ty)| (ty, positions.types.get(i)))
    }

    fn each(&mut self, judge: impl Fn(&mut Self, Judged<'a>)) {
        for (ty, at) in self.types() {
            for (relation, at) in relations(ty, at) {
                judge(self, Judged { ty, relation, at });
            }
        }
    }

    fn has(&self, object_type: &str, relation: &str) -> bool {
        self.named.get(object_type).is_some_and(|ty| ty.relation(relation).is_some())
    }

    /// Every name leads to something.
    fn references(&mut self, judged: Judged<'a>) {
        let mut list = Vec::new();
        leaves(&judged.relation.rewrite, &mut list);
        for (index, leaf) in list.into_iter().enumerate() {
            let at = judged.at.and_then(|at| at.leaves.get(index));
            match leaf {
                Rewrite::This => self.restrictions(judged, at),
                Rewrite::ComputedUserset { relation } if judged.ty.relation(relation).is_none() => {
                    let text = format!("the relation `{relation}` does not exist.");
                    self.fault(FaultCode::MissingDefinition, judged.leaf(at), text);
                }
                Rewrite::TupleToUserset { tupleset, relation } => self.arrow(judged, at, tupleset, relation),
                Rewrite::ComputedUserset { .. }
                | Rewrite::Union(_)
                | Rewrite::Intersection(_)
                | Rewrite::Exclusion { .. } => {}
            }
        }
    }

    fn restrictions(&mut self, judged: Judged<'a>, leaf: Option<&LeafAt>) {
        let relation = judged.relation;
        if relation.subject_types.is_empty() {
            let text = format!("assignable relation '{}' must have types", relation.name);
            self.fault(FaultCode::AssignableRelationMustHaveType, judged.leaf(leaf), text);
        }
        for (index, subject) in relation.subject_types.iter().enumerate() {
            let at = judged.at.and_then(|at| at.subjects.get(index));
            let object_type = &subject.object_type;
            let known = self.named.contains_key(object_type.as_str());
            if !known {
                let text = format!("`{object_type}` is not a valid type.");
                self.fault(FaultCode::InvalidType, judged.subject(at), text);
            }
            if let Some(condition) = &subject.condition
                && self.model.condition(condition).is_none()
            {
                let place = judged.place(at.and_then(|at| at.condition.clone()));
                let text = format!("`{condition}` is not a defined condition in the model.");
                self.fault(FaultCode::ConditionNotDefined, place, text);
            }
            if let SubjectKind::Userset(r) = &subject.kind
                && known
                && !self.has(object_type, r)
            {
                let text = format!("`{r}` is not a valid relation for `{object_type}`.");
                self.fault(FaultCode::InvalidRelationType, judged.subject(at), text);
            }
        }
    }

    fn arrow(&mut self, judged: Judged<'a>, leaf: Option<&LeafAt>, tupleset: &str, relation: &str) {
        let Some(leading) = judged.ty.relation(tupleset) else {
            let text = format!("`{tupleset}` is not a valid relation for `{}`.", judged.ty.name);
            return self.fault(FaultCode::InvalidRelationType, judged.leaf(leaf), text);
        };
        let plain = |s: &&SubjectType| s.kind == SubjectKind::Object;
        if leading.rewrite != Rewrite::This || !leading.subject_types.iter().all(|s| plain(&s)) {
            let place = judged.place(leaf.and_then(|l| l.tupleset.clone()));
            let text = format!("`{tupleset}` relation used inside from allows only direct relation.");
            self.fault(FaultCode::TuplesetNotDirect, place, text);
        }
        if leading.rewrite != Rewrite::This
            || leading.subject_types.iter().any(|s| !plain(&s) || self.has(&s.object_type, relation))
        {
            return;
        }
        for subject in &leading.subject_types {
            let text = format!(
                "the `{relation}` relation definition on type `{}` is not valid: `{relation}` does not exist on \
                 `{tupleset}`, which is of type `{}`.",
                judged.ty.name, subject.object_type
            );
            self.fault(FaultCode::InvalidRelationOnTupleset, judged.leaf(leaf), text);
        }
    }

    fn duplicate_types(&mut self) {
        let mut seen = HashSet::new();
        for (ty, at) in self.types() {
            if !seen.insert(&ty.name) {
                let text = format!("the type `{}` is a duplicate.", ty.name);
                self.fault(FaultCode::DuplicatedError, at.map(|at| at.name.clone()), text);
            }
        }
    }

    /// Nothing is said twice in one relation.
    fn duplicates(&mut self, judged: Judged<'a>) {
        let mut seen = HashSet::new();
        for (index, subject) in judged.relation.subject_types.iter().enumerate() {
            if !seen.insert(subject) {
                let at = judged.at.and_then(|at| at.subjects.get(index));
                let (text, name) = (restriction(subject), &judged.relation.name);
                let text = format!("the type restriction `{text}` is a duplicate in the relation `{name}`.");
                self.fault(FaultCode::DuplicatedError, judged.subject(at), text);
            }
        }
        self.duplicate_operands(judged, &judged.relation.rewrite, &mut 0);
    }

    fn duplicate_operands(&mut self, judged: Judged<'a>, rewrite: &'a Rewrite, leaf: &mut usize) {
        let children: Vec<&Rewrite> = match rewrite {
            Rewrite::This | Rewrite::ComputedUserset { .. } | Rewrite::TupleToUserset { .. } => {
                *leaf += 1;
                return;
            }
            Rewrite::Union(children) | Rewrite::Intersection(children) => children.iter().collect(),
            Rewrite::Exclusion { base, subtract } => vec![base, subtract],
        };
        let mut seen = HashSet::new();
        for child in children {
            let text = match child {
                Rewrite::ComputedUserset { relation } => Some(relation.clone()),
                Rewrite::TupleToUserset { tupleset, relation } => Some(format!("{relation} from {tupleset}")),
                Rewrite::This | Rewrite::Union(_) | Rewrite::Intersection(_) | Rewrite::Exclusion { .. } => None,
            };
            if let Some(text) = text.filter(|text| !seen.insert(text.clone())) {
                let place = judged.leaf(judged.at.and_then(|at| at.leaves.get(*leaf)));
                let name = &judged.relation.name;
                let text = format!("the partial relation definition `{text}` is a duplicate in the relation `{name}`.");
                self.fault(FaultCode::DuplicatedError, place, text);
            }
            self.duplicate_operands(judged, child, leaf);
        }
    }

    fn entry_points(&mut self) {
        let reach = Reach::of(self.model);
        for (ty, at) in self.types() {
            let loops = reach.loops(ty);
            for (relation, at) in relations(ty, at).filter(|(r, _)| !reach.has(&ty.name, &r.name)) {
                let why = if loops.contains(relation.name.as_str()) { "potential loop" } else { "no entrypoint" };
                let text = format!("`{}` is an impossible relation for `{}` ({why}).", relation.name, ty.name);
                self.fault(FaultCode::RelationNoEntryPoint, at.map(|at| at.name.clone()), text);
            }
        }
    }

    /// Conditions are used, and compile.
    fn conditions(&mut self) {
        let relations = self.model.types.iter().flat_map(|ty| &ty.relations);
        let used: HashSet<&str> =
            relations.flat_map(|r| &r.subject_types).filter_map(|s| s.condition.as_deref()).collect();
        for (index, condition) in self.model.conditions.iter().enumerate() {
            let name = &condition.name;
            let place = self.positions.conditions.get(index).cloned();
            if !used.contains(name.as_str()) {
                let text = format!("`{name}` condition is not used in the model.");
                self.fault(FaultCode::ConditionNotUsed, place.clone(), text);
            }
            if let Err(why) = CompiledCondition::compile(condition) {
                self.fault(FaultCode::InvalidCondition, place, format!("`{name}` condition does not compile: {why}"));
            }
        }
    }

    /// A file belongs to one module.
    fn modules(&mut self) {
        let types = self.model.types.iter();
        let parts = types.flat_map(|ty| ty.relations.iter().map(|r| &r.origin).chain([&ty.origin]));
        let origins = parts.chain(self.model.conditions.iter().map(|c| &c.origin));
        let mut files: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for origin in origins.filter(|o| !o.file.is_empty() && !o.module.is_empty()) {
            files.entry(&origin.file).or_default().insert(&origin.module);
        }
        for (file, modules) in files.into_iter().filter(|(_, modules)| modules.len() > 1) {
            let list = modules.into_iter().collect::<Vec<_>>().join(", ");
            let text =
                format!("file {file} would contain multiple module definitions ({list}); give each its own file");
            self.fault(FaultCode::MultipleModulesInFile, None, text);
        }
    }
}
