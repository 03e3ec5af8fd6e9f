//! Faults that point at text, and how they are shown: one plain line each for programs, or with the text for a person.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::fmt::Write as _;
use std::ops::Range;

/// Faults that are drawn with their text; the rest are counted. A person reads no more, and drawing is not free.
const DRAWN_MAX: usize = 50;

/// A text that a model came from, with the name of its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// `core.fga`; for messages only.
    pub name: String,
    /// What the file holds.
    pub text: String,
}

/// What a fault is about, with the code names that OpenFGA's language library uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultCode {
    /// Text that is not of the language.
    InvalidSyntax,
    /// No schema version.
    SchemaVersionRequired,
    /// A schema version that is none.
    InvalidSchema,
    /// A schema version that is not supported here.
    SchemaVersionUnsupported,
    /// A type named `self` or `this`.
    ReservedTypeKeywords,
    /// A relation named `self` or `this`.
    ReservedRelationKeywords,
    /// A name that breaks the rule for names.
    InvalidName,
    /// Something is there twice.
    DuplicatedError,
    /// A relation that the type does not have.
    MissingDefinition,
    /// A type that the model does not have.
    InvalidType,
    /// A relation that the other type does not have.
    InvalidRelationType,
    /// None of the types that a relation leads to has the relation asked of them.
    InvalidRelationOnTupleset,
    /// A relation after `from` that is not purely direct.
    TuplesetNotDirect,
    /// A direct relation without types.
    AssignableRelationMustHaveType,
    /// A restriction that is wildcard and userset at once.
    TypeWildcardRelation,
    /// A relation that nothing can ever grant.
    RelationNoEntryPoint,
    /// A condition that the model does not have.
    ConditionNotDefined,
    /// A condition that nothing names.
    ConditionNotUsed,
    /// A condition that does not compile.
    InvalidCondition,
    /// A condition under a key that is not its name.
    DifferentNestedConditionName,
    /// A file that mixes modules.
    MultipleModulesInFile,
    /// A fault of `fga.mod`, or of putting modules together.
    Module,
}

impl FaultCode {
    /// The name, `missing-definition`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FaultCode::InvalidSyntax => "invalid-syntax",
            FaultCode::SchemaVersionRequired => "schema-version-required",
            FaultCode::InvalidSchema => "invalid-schema",
            FaultCode::SchemaVersionUnsupported => "schema-version-unsupported",
            FaultCode::ReservedTypeKeywords => "reserved-type-keywords",
            FaultCode::ReservedRelationKeywords => "reserved-relation-keywords",
            FaultCode::InvalidName => "invalid-name",
            FaultCode::DuplicatedError => "duplicated-error",
            FaultCode::MissingDefinition => "missing-definition",
            FaultCode::InvalidType => "invalid-type",
            FaultCode::InvalidRelationType => "invalid-relation-type",
            FaultCode::InvalidRelationOnTupleset => "invalid-relation-on-tupleset",
            FaultCode::TuplesetNotDirect => "tupleuserset-not-direct",
            FaultCode::AssignableRelationMustHaveType => "assignable-relation-must-have-type",
            FaultCode::TypeWildcardRelation => "type-wildcard-relation",
            FaultCode::RelationNoEntryPoint => "relation-no-entry-point",
            FaultCode::ConditionNotDefined => "condition-not-defined",
            FaultCode::ConditionNotUsed => "condition-not-used",
            FaultCode::InvalidCondition => "invalid-condition",
            FaultCode::DifferentNestedConditionName => "different-nested-condition-name",
            FaultCode::MultipleModulesInFile => "multiple-modules-in-file",
            FaultCode::Module => "invalid-module",
        }
    }
}

/// Where in the sources a fault is: an index into them, and bytes of that text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Which source.
    pub source: usize,
    /// Which bytes of it.
    pub span: Range<usize>,
}

/// Something wrong with a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What kind.
    pub code: FaultCode,
    /// What is wrong, and where it helps what to do.
    pub message: String,
    /// Where; none when the model came from no text.
    pub place: Option<Place>,
}

/// Line and column (in characters) of a byte of a text, both from 1.
#[must_use]
pub fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let mut end = byte.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1; // ends at 0 at the latest, which is a boundary
    }
    let before = text.get(..end).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(start..).unwrap_or_default().chars().count();
    (before.matches('\n').count() + 1, column + 1)
}

/// One line for each fault: `file:line:column: message [code]`.
#[must_use]
pub(super) fn plain(faults: &[Fault], sources: &[Source]) -> String {
    let mut out = String::new();
    for fault in faults {
        let source = fault.place.as_ref().and_then(|place| Some((place, sources.get(place.source)?)));
        if let Some((place, source)) = source {
            let (line, column) = line_and_column(&source.text, place.span.start);
            let _ = write!(out, "{}:{line}:{column}: ", source.name); // writing to a String cannot fail
        }
        let _ = writeln!(out, "{} [{}]", fault.message, fault.code.as_str());
    }
    out
}

/// The faults drawn under the text they are about, for a person; in colours where the terminal has them.
#[must_use]
pub(super) fn drawn(faults: &[Fault], sources: &[Source], colours: bool) -> String {
    let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for fault in faults.iter().take(DRAWN_MAX) {
        let title = Level::ERROR.primary_title(&fault.message).id(fault.code.as_str());
        let source = fault.place.as_ref().and_then(|place| Some((place, sources.get(place.source)?)));
        let group = match source {
            Some((place, source)) => {
                let mark = AnnotationKind::Primary.span(within(&source.text, &place.span));
                let snippet = Snippet::source(source.text.as_str()).path(source.name.as_str()).annotation(mark);
                title.element(snippet)
            }
            None => annotate_snippets::Group::with_title(title),
        };
        out.push_str(&renderer.render(&[group]));
        out.push_str("\n\n");
    }
    if faults.len() > DRAWN_MAX {
        let _ = writeln!(out, "and {} more", faults.len() - DRAWN_MAX);
    }
    out
}

/// The span, moved to what the drawing needs: inside of the text, on the borders of characters.
fn within(text: &str, span: &Range<usize>) -> Range<usize> {
    let border = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1; // ends at 0 at the latest, which is a boundary
        }
        at
    };
    let start = border(span.start);
    start..border(span.end).max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_point_at_the_text() {
        let text = "type é\ntype group\n".to_owned();
        let at = text.find("group").unwrap();
        let sources = [Source { name: "core.fga".into(), text }];
        let place = Some(Place { source: 0, span: at..at + 5 });
        let fault = Fault { code: FaultCode::InvalidType, message: "`group` is not a valid type".into(), place };
        let about_all = Fault { code: FaultCode::Module, message: "no module".into(), place: None };
        let faults = [fault, about_all];
        let lines = "core.fga:2:6: `group` is not a valid type [invalid-type]\nno module [invalid-module]\n";
        assert_eq!(plain(&faults, &sources), lines);
        let picture = drawn(&faults, &sources, false);
        assert!(picture.contains("core.fga:2:6") && picture.contains("^^^^^"), "{picture}");
    }

    #[test]
    fn any_span_can_be_drawn() {
        let sources = [Source { name: "x".into(), text: "é\n".into() }];
        for (start, end) in [(0, 0), (1, 1), (1, 9), (3, 3), (9, 2), (2, 1)] {
            let place = Some(Place { source: 0, span: start..end });
            let fault = Fault { code: FaultCode::Module, message: "m".into(), place };
            assert!(drawn(std::slice::from_ref(&fault), &sources, false).contains('m'));
            assert!(plain(&[fault], &sources).starts_with("x:"));
        }
    }
}
