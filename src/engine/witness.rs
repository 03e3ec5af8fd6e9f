//! Witness: by which tuples does a subject have a relation to an object? A Check says yes or no; this says why, for people.
//!
//! It walks from the object to the subject, and asks Check before each step, so that it goes no way in vain: a step costs one
//! Check for each branch. It names one way where there are several, the first as the model is written.

use super::types::{CheckQuery, ExpandNode, ExpandQuery, Given, Limits, QuestionError};
use super::{Decision, View};
use crate::tuple::{ObjectRef, SubjectRef, TupleKeyRef};

/// Most Checks of one question: a way is found long before, or the world is too wide to tell of.
const CHECKS_MAX: u32 = 10_000;

struct Walk<'a> {
    view: &'a View,
    subject: SubjectRef<'a>,
    given: Given<'a>,
    limits: &'a Limits<'a>,
    checks: u32,
    /// The usersets that lead here, so that a ring is not walked.
    above: Vec<String>,
    found: Vec<String>,
}

/// Answers the question.
pub(crate) fn witness(
    view: &View,
    query: &CheckQuery<'_>,
    limits: &Limits<'_>,
) -> Result<Option<Vec<String>>, QuestionError> {
    let TupleKeyRef { object, relation, subject } = query.key;
    let mut walk = Walk { view, subject, given: query.given, limits, checks: 0, above: Vec::new(), found: Vec::new() };
    Ok(walk.relation(object, relation)?.then_some(walk.found))
}

impl Walk<'_> {
    /// Whether the subject has the relation; if so, the tuples are found.
    fn relation(&mut self, object: ObjectRef<'_>, relation: &str) -> Result<bool, QuestionError> {
        self.checks += 1;
        if self.checks > CHECKS_MAX {
            return Err(QuestionError::VisitsExceeded { visits_max: u64::from(CHECKS_MAX) });
        }
        let key = TupleKeyRef { object, relation, subject: self.subject };
        let node = format!("{object}#{relation}");
        let allowed = self.view.check(&CheckQuery { key, given: self.given }, self.limits)? == Decision::Allow;
        if !allowed || self.above.contains(&node) {
            return Ok(false);
        }
        if self.subject.to_string() == node {
            return Ok(true); // a userset is of itself
        }
        let query = ExpandQuery { object, relation, given: self.given };
        let tree = self.view.expand_met(&query, self.limits)?;
        self.above.push(node.clone());
        let found = self.tree(&node, &tree);
        self.above.pop();
        found
    }

    fn tree(&mut self, node: &str, tree: &ExpandNode) -> Result<bool, QuestionError> {
        match tree {
            ExpandNode::Users(subjects) => self.users(node, subjects),
            ExpandNode::Computed(userset) => self.userset(userset),
            ExpandNode::TupleToUserset { tupleset, computed } => {
                for userset in computed {
                    let at = self.found.len();
                    let parent = userset.rsplit_once('#').map_or(userset.as_str(), |(parent, _)| parent);
                    self.found.push(format!("{tupleset}@{parent}"));
                    if self.userset(userset)? {
                        return Ok(true);
                    }
                    self.found.truncate(at);
                }
                Ok(false)
            }
            ExpandNode::Union(all) => {
                for one in all {
                    if self.tree(node, one)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            ExpandNode::Intersection(all) => {
                let at = self.found.len();
                for one in all {
                    if !self.tree(node, one)? {
                        self.found.truncate(at);
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            // That the second does not hold is what Check has answered for the whole.
            ExpandNode::Difference(base, _) => self.tree(node, base),
        }
    }

    /// A tuple that names the subject, or all of its type, or a userset that it is of.
    fn users(&mut self, node: &str, subjects: &[crate::tuple::Subject]) -> Result<bool, QuestionError> {
        let all_of = match self.subject {
            SubjectRef::Object(object) => Some(format!("{}:*", object.object_type)),
            SubjectRef::Userset { .. } | SubjectRef::Wildcard { .. } => None,
        };
        let subject = self.subject.to_string();
        let texts: Vec<String> = subjects.iter().map(ToString::to_string).collect();
        let direct = texts.iter().find(|text| **text == subject || Some(*text) == all_of.as_ref());
        if let Some(text) = direct {
            self.found.push(format!("{node}@{text}"));
            return Ok(true);
        }
        for text in texts.iter().filter(|text| text.contains('#')) {
            let at = self.found.len();
            self.found.push(format!("{node}@{text}"));
            if self.userset(text)? {
                return Ok(true);
            }
            self.found.truncate(at);
        }
        Ok(false)
    }

    fn userset(&mut self, text: &str) -> Result<bool, QuestionError> {
        // What Expand answers is text that the model and stored tuples made.
        let Ok(SubjectRef::Userset { object, relation }) = SubjectRef::parse(text) else {
            return Err(QuestionError::Storage);
        };
        self.relation(object, relation)
    }
}
