//! The modelling language as text: a parser by recursive descent that finds several faults in one text.
//!
//! After a fault it goes on at the next line that begins a definition. Some constructs are read on for a while, where that
//! makes the next fault more telling; the places are those that OpenFGA's own parser names.

use super::ast::{
    ConditionDefinition, Model, Origin, ParameterType, RelationDefinition, Rewrite, SchemaVersion, SubjectKind,
    SubjectType, TypeDefinition,
};
use super::diagnostic::{Place, line_and_column};
use super::lexer::{Kind, Lexer, Token};
use super::positions::{LeafAt, Positions, RelationAt, SubjectAt, TypeAt};
use std::ops::Range;

/// Deepest nesting of parentheses in one relation.
const NESTING_MAX: usize = 64;
/// Faults after which a text is given up.
const FAULTS_MAX: usize = 100;
/// Words that are not names where a name is expected.
const KEYWORDS: [&str; 6] = ["define", "condition", "and", "or", "from", "with"];
/// Words that begin a definition when they begin a line.
const BEGINNINGS: [&str; 5] = ["type", "extend", "condition", "define", "relations"];
/// Words that are types of parameters, and no names of them.
const PARAMETER_TYPES: [&str; 10] =
    ["bool", "string", "int", "uint", "double", "duration", "timestamp", "ipaddress", "map", "list"];

/// Text that is no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The bytes of the text that it is about.
    pub span: Range<usize>,
    /// What is wrong and what was expected.
    pub message: String,
}

/// What a text holds.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) model: Model,
    pub(super) positions: Positions,
    /// The module, when the text begins with `module`.
    pub(super) module: Option<String>,
    /// Relations for types that other modules define.
    pub(super) extensions: Vec<(TypeDefinition, TypeAt)>,
}

/// Reads a text; `source` is its index among several.
pub(super) fn parse(text: &str, source: usize) -> Result<Parsed, Vec<SyntaxError>> {
    let mut lexer = Lexer::new(text);
    let next = lexer.next();
    let model = Model { schema_version: SchemaVersion::V1_2, types: Vec::new(), conditions: Vec::new() };
    let out = Parsed { model, positions: Positions::default(), module: None, extensions: Vec::new() };
    let mut parser = Parser { text, source, lexer, next, end: 0, open: 0, depth: 0, faults: Vec::new(), out };
    if parser.header().is_ok() {
        parser.definitions();
    }
    if parser.faults.is_empty() {
        return Ok(parser.out);
    }
    Err(parser.faults)
}

/// A fault is recorded; the caller gives up what it reads.
struct Stop;
type Read<T> = Result<T, Stop>;

/// Where the head of a condition went wrong, which decides how to go on.
enum Head {
    Parameters,
    Elsewhere,
}

impl From<Stop> for Head {
    fn from(_: Stop) -> Head {
        Head::Elsewhere
    }
}

struct Parser<'a> {
    text: &'a str,
    source: usize,
    lexer: Lexer<'a>,
    next: Token<'a>,
    /// Where the last token ended.
    end: usize,
    /// Brackets and parentheses that are open: inside, lines may break.
    open: usize,
    depth: usize,
    faults: Vec<SyntaxError>,
    out: Parsed,
}

/// The parts of a relation, as they are collected.
#[derive(Default)]
struct Collected {
    subject_types: Vec<SubjectType>,
    at: RelationAt,
}

impl<'a> Parser<'a> {
    fn fault(&mut self, span: Range<usize>, message: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            let (line, column) = line_and_column(self.text, span.start);
            self.faults.push(SyntaxError { line, column, span, message: message.into() });
        }
    }

    /// A fault at the next token; where that is the end of a line, at the end of what was read.
    fn fault_here<T>(&mut self, expected: &str) -> Read<T> {
        let (span, found) = match self.peek() {
            Kind::Word(word) => (self.next.span.clone(), format!("found `{word}`")),
            Kind::Mark(mark) => (self.next.span.clone(), format!("found `{mark}`")),
            Kind::Newline => (self.end..self.end, "found the end of the line".into()),
            Kind::End => (self.next.span.clone(), "found the end of the text".into()),
        };
        self.fault(span, format!("expected {expected}, {found}"));
        Err(Stop)
    }

    fn peek(&mut self) -> Kind<'a> {
        while self.open > 0 && self.next.kind == Kind::Newline {
            self.next = self.lexer.next();
        }
        self.next.kind
    }

    fn take(&mut self) -> Token<'a> {
        self.peek();
        let next = self.lexer.next();
        let token = std::mem::replace(&mut self.next, next);
        if token.kind != Kind::Newline {
            self.end = token.span.end;
        }
        token
    }

    fn eats(&mut self, mark: char) -> bool {
        let found = self.peek() == Kind::Mark(mark);
        if found {
            self.take();
        }
        found
    }

    fn eats_word(&mut self, word: &str) -> bool {
        let found = self.peek() == Kind::Word(word);
        if found {
            self.take();
        }
        found
    }

    fn mark(&mut self, mark: char) -> Read<()> {
        if self.eats(mark) { Ok(()) } else { self.fault_here(&format!("`{mark}`")) }
    }

    /// Whether the next words are `but not`; `but` alone is a name.
    fn at_but_not(&mut self) -> bool {
        self.peek() == Kind::Word("but")
            && self.text.get(self.next.span.end..).is_some_and(|rest| {
                let rest = rest.trim_start_matches([' ', '\t']);
                let after = rest.strip_prefix("not").map(|r| r.chars().next());
                after.is_some_and(|c| c.is_none_or(char::is_whitespace))
            })
    }

    fn is_name(&mut self) -> bool {
        if self.at_but_not() {
            return false;
        }
        match self.peek() {
            Kind::Word(word) => {
                !KEYWORDS.contains(&word) && word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            }
            Kind::Mark(_) | Kind::Newline | Kind::End => false,
        }
    }

    fn name(&mut self, what: &str) -> Read<(String, Range<usize>)> {
        if !self.is_name() {
            return self.fault_here(what);
        }
        let token = self.take();
        let word = self.text.get(token.span.clone()).unwrap_or_default();
        Ok((word.to_owned(), token.span))
    }

    fn place(&self, span: Range<usize>) -> Place {
        Place { source: self.source, span }
    }

    /// The end of a line.
    fn finish(&mut self) -> Read<()> {
        match self.peek() {
            Kind::Newline => {
                self.take();
                Ok(())
            }
            Kind::End => Ok(()),
            Kind::Word(_) | Kind::Mark(_) => {
                let found = self.text.get(self.next.span.clone()).unwrap_or_default();
                let mixes = matches!(found, "or" | "and" | "but");
                let hint = if mixes { "; mixing `or`, `and` and `but not` needs parentheses" } else { "" };
                self.fault(
                    self.end..self.next.span.end,
                    format!("expected the end of the line, found `{found}`{hint}"),
                );
                Err(Stop)
            }
        }
    }

    /// Passes over everything up to a line that begins a definition.
    fn recover(&mut self) {
        (self.open, self.depth) = (0, 0);
        loop {
            let begins = matches!(self.next.kind, Kind::Word(w) if self.next.first && BEGINNINGS.contains(&w));
            if begins || self.next.kind == Kind::End {
                return;
            }
            self.take();
        }
    }

    fn header(&mut self) -> Read<()> {
        if self.peek() == Kind::Newline {
            self.take();
        }
        if self.eats_word("module") {
            return match self.name("the module's name") {
                Ok((name, _)) => {
                    self.out.module = Some(name);
                    if self.finish().is_err() {
                        self.recover();
                    }
                    Ok(())
                }
                Err(Stop) => {
                    self.recover();
                    Ok(())
                }
            };
        }
        if self.eats_word("model") {
            if self.schema().is_err() {
                self.recover();
            }
            return Ok(());
        }
        // Without a header nothing else can be judged: each word that stands in its place is named, up to the next line.
        while matches!(self.peek(), Kind::Word(_) | Kind::Mark(_)) {
            let _ = self.fault_here::<()>("`model` or `module` first");
            self.take();
        }
        self.take();
        self.fault_here("`model` or `module`")
    }

    fn schema(&mut self) -> Read<()> {
        if self.peek() == Kind::Newline {
            self.take();
        }
        if !self.eats_word("schema") {
            return self.fault_here("`schema 1.1` or `schema 1.2`");
        }
        self.out.model.schema_version = match self.peek() {
            Kind::Word("1.1") => SchemaVersion::V1_1,
            Kind::Word("1.2") => SchemaVersion::V1_2,
            Kind::Word(_) | Kind::Mark(_) | Kind::Newline | Kind::End => return self.fault_here("`1.1` or `1.2`"),
        };
        let span = self.take().span;
        self.out.positions.schema = Some(self.place(span));
        self.finish()
    }

    fn definitions(&mut self) {
        loop {
            let read = match self.peek() {
                Kind::End => return,
                Kind::Newline => {
                    self.take();
                    Ok(())
                }
                Kind::Word("type") => self.type_definition(false),
                Kind::Word("extend") => {
                    self.take();
                    if self.peek() == Kind::Word("type") {
                        self.type_definition(true)
                    } else {
                        self.fault_here("`type`")
                    }
                }
                Kind::Word("condition") => self.condition(),
                Kind::Word("define" | "relations") => {
                    let wrong = self.fault_here("`type` or `condition`");
                    self.take();
                    wrong
                }
                Kind::Word(_) | Kind::Mark(_) => self.fault_here("`type`, `define` or `condition`"),
            };
            if read.is_err() {
                self.recover();
            }
        }
    }

    fn type_definition(&mut self, extends: bool) -> Read<()> {
        let start = self.take().span;
        if !self.out.model.conditions.is_empty() {
            self.fault(start, "types come before conditions; move this one up");
        }
        let (name, span) = self.name("the type's name")?;
        if extends {
            self.check_extension(&name, &span);
        }
        if self.finish().is_err() {
            self.recover();
        }
        let origin = Origin { module: self.out.module.clone().unwrap_or_default(), file: String::new() };
        let mut ty = TypeDefinition { name, relations: Vec::new(), origin };
        let mut at = TypeAt { name: self.place(span), relations: Vec::new() };
        let read = self.relations(&mut ty, &mut at);
        if extends {
            self.out.extensions.push((ty, at));
        } else {
            self.out.model.types.push(ty);
            self.out.positions.types.push(at);
        }
        read
    }

    fn relations(&mut self, ty: &mut TypeDefinition, at: &mut TypeAt) -> Read<()> {
        let announced = self.next.first && self.eats_word("relations");
        if announced && self.finish().is_err() {
            self.recover();
        }
        let begins = |parser: &mut Self| parser.next.first && parser.peek() == Kind::Word("define");
        if announced && !begins(self) {
            return self.fault_here("`define`");
        }
        if !announced && begins(self) {
            let _ = self.fault_here::<()>("`relations` on a line of its own before the first relation");
        }
        while begins(self) {
            if self.define(ty, at).is_err() {
                self.recover();
            }
        }
        Ok(())
    }

    fn check_extension(&mut self, name: &str, span: &Range<usize>) {
        if self.out.module.is_none() {
            self.fault(span.clone(), "extend can only be used in a modular model");
        } else if self.out.extensions.iter().any(|(ty, _)| ty.name == name) {
            self.fault(span.clone(), format!("'{name}' is already extended in file."));
        }
    }

    fn define(&mut self, ty: &mut TypeDefinition, at: &mut TypeAt) -> Read<()> {
        self.take();
        let (name, span) = self.name("the relation's name")?;
        if ty.relation(&name).is_some() {
            self.fault(span.clone(), format!("'{name}' is already defined in '{}'", ty.name));
        }
        // Read on without the colon: `define viewer as self` is an old way to write, and wrong in more than this.
        let colon = self.mark(':');
        let mut collected = Collected::default();
        collected.at.name = self.place(span);
        let rewrite = self.expression(true, &mut collected)?;
        self.finish()?;
        colon?;
        let Collected { subject_types, at: relation } = collected;
        ty.relations.push(RelationDefinition { name, rewrite, subject_types, origin: Origin::default() });
        at.relations.push(relation);
        Ok(())
    }

    /// Operands and what joins them; `direct` says whether the first may be `[...]`.
    fn expression(&mut self, direct: bool, out: &mut Collected) -> Read<Rewrite> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return self.fault_here(&format!("at most {NESTING_MAX} parentheses in each other"));
        }
        let first = self.operand(direct, out)?;
        let rewrite = if self.peek() == Kind::Word("or") {
            Rewrite::Union(self.operands(first, "or", out)?)
        } else if self.peek() == Kind::Word("and") {
            Rewrite::Intersection(self.operands(first, "and", out)?)
        } else if self.at_but_not() {
            self.take();
            self.take();
            let subtract = self.operand(false, out)?;
            Rewrite::Exclusion { base: Box::new(first), subtract: Box::new(subtract) }
        } else {
            first
        };
        self.depth -= 1;
        Ok(rewrite)
    }

    fn operands(&mut self, first: Rewrite, word: &str, out: &mut Collected) -> Read<Vec<Rewrite>> {
        let mut list = vec![first];
        while self.eats_word(word) {
            list.push(self.operand(false, out)?);
        }
        Ok(list)
    }

    fn operand(&mut self, direct: bool, out: &mut Collected) -> Read<Rewrite> {
        if self.eats('(') {
            self.open += 1;
            let rewrite = self.expression(direct, out)?;
            self.close_parenthesis()?;
            return Ok(rewrite);
        }
        if self.peek() == Kind::Mark('[') {
            let start = self.next.span.clone();
            if direct {
                self.take();
                self.open += 1;
                let read = self.restrictions(out);
                self.open = self.open.saturating_sub(1);
                read?;
                out.at.leaves.push(LeafAt { whole: start.start..self.end, tupleset: None });
                return Ok(Rewrite::This);
            }
            self.fault(start, "`[...]` must come first in a relation, and only once");
            self.take();
        }
        let (relation, span) = self.name("`[`, `(` or a relation")?;
        if !self.eats_word("from") {
            out.at.leaves.push(LeafAt { whole: span, tupleset: None });
            return Ok(Rewrite::ComputedUserset { relation });
        }
        let (tupleset, from) = self.name("the relation that leads to the objects")?;
        out.at.leaves.push(LeafAt { whole: span.start..from.end, tupleset: Some(from) });
        Ok(Rewrite::TupleToUserset { tupleset, relation })
    }

    /// Each token that stands where `)` belongs is named.
    fn close_parenthesis(&mut self) -> Read<()> {
        while self.peek() != Kind::Mark(')') {
            let fault = self.fault_here::<()>("`)`; mixing `or`, `and` and `but not` needs parentheses");
            let lost = self.next.first || self.faults.len() >= FAULTS_MAX;
            if lost || matches!(self.peek(), Kind::Newline | Kind::End) {
                return fault;
            }
            if self.at_but_not() {
                self.take();
            }
            self.take();
        }
        // The line may not break after the last parenthesis.
        self.take();
        self.open = self.open.saturating_sub(1);
        Ok(())
    }

    fn restrictions(&mut self, out: &mut Collected) -> Read<()> {
        loop {
            if self.peek() == Kind::Mark(']') {
                let _ = self.fault_here::<()>("a type");
                if !out.subject_types.is_empty() {
                    break;
                }
                self.take();
            }
            if self.is_name() {
                let (subject, at) = self.restriction()?;
                out.subject_types.push(subject);
                out.at.subjects.push(at);
            } else {
                let _ = self.fault_here::<()>("a type");
                self.take();
            }
            match self.peek() {
                Kind::Mark(',') => {
                    self.take();
                }
                Kind::Mark(']') => break,
                Kind::Word(_) | Kind::Mark(_) | Kind::Newline | Kind::End => return self.fault_here("`,` or `]`"),
            }
        }
        self.take();
        Ok(())
    }

    fn restriction(&mut self) -> Read<(SubjectType, SubjectAt)> {
        let (object_type, span) = self.name("a type")?;
        let kind = if self.eats(':') {
            self.mark('*')?;
            SubjectKind::Wildcard
        } else if self.eats('#') {
            SubjectKind::Userset(self.name("a relation")?.0)
        } else {
            SubjectKind::Object
        };
        let mut at = SubjectAt { whole: span.start..self.end, condition: None };
        let mut condition = None;
        if self.eats_word("with") {
            let (name, span) = self.name("a condition")?;
            condition = Some(name);
            at.condition = Some(span);
        }
        Ok((SubjectType { object_type, kind, condition }, at))
    }

    fn condition(&mut self) -> Read<()> {
        self.take();
        let (name, span) = self.name("the condition's name")?;
        if self.out.model.condition(&name).is_some() {
            self.fault(span.clone(), format!("condition '{name}' is already defined in the model"));
        }
        let parameters = match self.parameters(&name) {
            Ok(parameters) => parameters,
            Err(Head::Elsewhere) => return Err(Stop),
            Err(Head::Parameters) => {
                self.open = 0;
                while !matches!(self.next.kind, Kind::Newline | Kind::End) {
                    self.take();
                }
                self.take();
                return self.fault_here("a condition whose parameters can be read before its expression");
            }
        };
        if self.peek() != Kind::Mark('{') {
            return self.fault_here("`{` and an expression");
        }
        let brace = self.next.span.clone();
        let Some(body) = self.lexer.body() else {
            self.fault(brace, "the `}` that closes this is missing");
            return Err(Stop);
        };
        self.next = self.lexer.next();
        let origin = Origin { module: self.out.module.clone().unwrap_or_default(), file: String::new() };
        let at = self.place(span);
        self.out.positions.conditions.push(at);
        let expression = body.trim().to_owned();
        self.out.model.conditions.push(ConditionDefinition { name, expression, parameters, origin });
        self.finish()
    }

    fn parameters(&mut self, condition: &str) -> Result<Vec<(String, ParameterType)>, Head> {
        self.mark('(')?;
        self.open += 1;
        let mut parameters: Vec<(String, ParameterType)> = Vec::new();
        loop {
            if matches!(self.peek(), Kind::Word(w) if PARAMETER_TYPES.contains(&w)) {
                let _ = self.fault_here::<()>("a parameter's name and `:` before its type");
                return Err(Head::Parameters);
            }
            let (name, span) = self.name("a parameter's name").map_err(|Stop| Head::Parameters)?;
            if parameters.iter().any(|(n, _)| *n == name) {
                self.fault(span, format!("parameter '{name}' is already defined in the condition '{condition}'"));
            }
            self.mark(':')?;
            parameters.push((name, self.parameter_type(false)?));
            if !self.eats(',') {
                break;
            }
        }
        self.mark(')')?;
        self.open = self.open.saturating_sub(1);
        Ok(parameters)
    }

    fn parameter_type(&mut self, simple: bool) -> Read<ParameterType> {
        let Kind::Word(word) = self.peek() else { return self.fault_here("the parameter's type") };
        let ty = match word {
            "bool" => ParameterType::Bool,
            "string" => ParameterType::String,
            "int" => ParameterType::Int,
            "uint" => ParameterType::Uint,
            "double" => ParameterType::Double,
            "duration" => ParameterType::Duration,
            "timestamp" => ParameterType::Timestamp,
            "ipaddress" => ParameterType::IpAddress,
            "map" | "list" if !simple => {
                self.take();
                self.mark('<')?;
                let inner = Box::new(self.parameter_type(true)?);
                self.mark('>')?;
                return Ok(if word == "map" { ParameterType::Map(inner) } else { ParameterType::List(inner) });
            }
            _ if simple => return self.fault_here("a simple type, since lists and maps do not nest"),
            _ => return self.fault_here(&format!("one of the types {}", PARAMETER_TYPES.join(", "))),
        };
        self.take();
        Ok(ty)
    }
}
