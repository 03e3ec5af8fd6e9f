//! Which relations anything can ever grant. Both the store's rules and the editor's rest on it.

use super::ast::{Model, RelationDefinition, Rewrite, SubjectKind, TypeDefinition};
use std::collections::{HashMap, HashSet};

/// The relations that some tuple can grant: those with an *entry point*.
pub(super) struct Reach<'a> {
    types: HashMap<&'a str, &'a TypeDefinition>,
    open: HashSet<(&'a str, &'a str)>,
}

impl<'a> Reach<'a> {
    /// Applies the rules until nothing is added: what is left outside can never be granted, however long one looks.
    pub(super) fn of(model: &'a Model) -> Reach<'a> {
        let types = model.types.iter().map(|t| (t.name.as_str(), t)).collect();
        let mut reach = Reach { types, open: HashSet::new() };
        let mut left: Vec<(&TypeDefinition, &RelationDefinition)> =
            model.types.iter().flat_map(|ty| ty.relations.iter().map(move |relation| (ty, relation))).collect();
        // Each round but the last takes a relation away, so there are no more rounds than relations. Turning the list about
        // makes a chain of relations take two rounds, whichever way it was written.
        loop {
            let before = left.len();
            left.retain(|(ty, relation)| {
                let enters = reach.enters(ty, relation, &relation.rewrite);
                if enters {
                    reach.open.insert((&ty.name, &relation.name));
                }
                !enters
            });
            if left.len() == before {
                return reach;
            }
            left.reverse();
        }
    }

    /// Whether the relation can be granted.
    pub(super) fn has(&self, object_type: &str, relation: &str) -> bool {
        self.open.contains(&(object_type, relation))
    }

    fn enters(&self, ty: &TypeDefinition, relation: &RelationDefinition, rewrite: &Rewrite) -> bool {
        let mut each = |child: &Rewrite| self.enters(ty, relation, child);
        match rewrite {
            Rewrite::This => relation.subject_types.iter().any(|s| match &s.kind {
                SubjectKind::Object | SubjectKind::Wildcard => true,
                SubjectKind::Userset(r) => self.has(&s.object_type, r),
            }),
            Rewrite::ComputedUserset { relation } => self.has(&ty.name, relation),
            Rewrite::TupleToUserset { tupleset, relation } => self
                .types
                .get(ty.name.as_str())
                .and_then(|ty| ty.relation(tupleset))
                .is_some_and(|leading| leading.subject_types.iter().any(|s| self.has(&s.object_type, relation))),
            Rewrite::Union(children) => children.iter().any(&mut each),
            Rewrite::Intersection(children) => children.iter().all(each),
            Rewrite::Exclusion { base, subtract } => each(base) && each(subtract),
        }
    }

    /// Of the relations that nothing grants, those that are so because they are computed from themselves: loops rather
    /// than dead ends.
    pub(super) fn loops(&self, ty: &'a TypeDefinition) -> HashSet<&'a str> {
        rings(ty, |relation| {
            let mut targets = Vec::new();
            self.dead(ty, relation, &relation.rewrite, &mut targets);
            targets
        })
    }

    /// The computed relations that a search for the reason would follow: the first dead operand where all are needed.
    fn dead<'r>(
        &self,
        ty: &TypeDefinition,
        relation: &RelationDefinition,
        rewrite: &'r Rewrite,
        targets: &mut Vec<&'r str>,
    ) {
        let dead = |child: &&Rewrite| !self.enters(ty, relation, child);
        match rewrite {
            Rewrite::This | Rewrite::TupleToUserset { .. } => {}
            Rewrite::ComputedUserset { relation } => targets.push(relation),
            Rewrite::Union(children) => children.iter().for_each(|child| self.dead(ty, relation, child, targets)),
            Rewrite::Intersection(children) => {
                if let Some(child) = children.iter().find(dead) {
                    self.dead(ty, relation, child, targets);
                }
            }
            Rewrite::Exclusion { base, subtract } => {
                if let Some(child) = [base.as_ref(), subtract.as_ref()].into_iter().find(dead) {
                    self.dead(ty, relation, child, targets);
                }
            }
        }
    }
}

/// The relations from which following computed relations comes back to a relation on the way.
pub(super) fn cycles(ty: &TypeDefinition) -> HashSet<&str> {
    rings(ty, |relation| {
        let mut targets = Vec::new();
        computed(&relation.rewrite, &mut targets);
        targets
    })
}

fn computed<'r>(rewrite: &'r Rewrite, targets: &mut Vec<&'r str>) {
    match rewrite {
        Rewrite::This | Rewrite::TupleToUserset { .. } => {}
        Rewrite::ComputedUserset { relation } => targets.push(relation),
        Rewrite::Union(children) | Rewrite::Intersection(children) => {
            children.iter().for_each(|child| computed(child, targets));
        }
        Rewrite::Exclusion { base, subtract } => {
            computed(base, targets);
            computed(subtract, targets);
        }
    }
}

/// The relations from which `targets` lead into a ring: what remains when those that lead nowhere are taken away again and
/// again. No recursion, since a chain of relations may be as long as the model.
fn rings<'a>(ty: &'a TypeDefinition, targets: impl Fn(&'a RelationDefinition) -> Vec<&'a str>) -> HashSet<&'a str> {
    let mut sources: HashMap<&str, Vec<&'a str>> = HashMap::new();
    let mut open: HashMap<&'a str, usize> = HashMap::new();
    let mut ends = Vec::new();
    let names: HashSet<&str> = ty.relations.iter().map(|r| r.name.as_str()).collect();
    for relation in &ty.relations {
        let known: Vec<&str> = targets(relation).into_iter().filter(|t| names.contains(t)).collect();
        if known.is_empty() {
            ends.push(relation.name.as_str());
        }
        open.insert(&relation.name, known.len());
        for target in known {
            sources.entry(target).or_default().push(&relation.name);
        }
    }
    while let Some(end) = ends.pop() {
        open.remove(end);
        for source in sources.remove(end).unwrap_or_default() {
            if let Some(count) = open.get_mut(source) {
                *count -= 1;
                if *count == 0 {
                    ends.push(source);
                }
            }
        }
    }
    open.into_keys().collect()
}
