//! The modelling language as text: parse and print.
//!
//! Lines are found first (comments cut, conditions taken whole), then each `define` is read by recursive descent. Errors
//! name line and column, both from 1.

use super::ast::{
    ConditionDefinition, Model, Origin, ParameterType, RelationDefinition, Rewrite, SchemaVersion, SubjectKind,
    SubjectType, TypeDefinition,
};
use std::fmt::Write as _;

/// Deepest nesting of parentheses in one relation.
const NESTING_MAX: usize = 64;

/// Text that is no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong and what was expected.
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Name(String),
    Mark(char),
    End,
}

#[derive(Clone, Debug)]
struct Token {
    kind: Kind,
    column: usize,
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '.')
}

/// Splits a line; `column` is where `text` begins.
fn tokens(text: &str, line: usize, column: usize) -> Result<Vec<Token>, SyntaxError> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().zip(column..).peekable();
    while let Some((c, column)) = chars.next() {
        if c.is_whitespace() {
            continue;
        }
        if is_name(c) {
            let mut name = String::from(c);
            while let Some((next, _)) = chars.next_if(|(c, _)| is_name(*c)) {
                name.push(next);
            }
            tokens.push(Token { kind: Kind::Name(name), column });
        } else if matches!(c, ':' | ',' | '#' | '*' | '[' | ']' | '(' | ')' | '<' | '>' | '{' | '}') {
            tokens.push(Token { kind: Kind::Mark(c), column });
        } else {
            return Err(SyntaxError { line, column, message: format!("unexpected character `{c}`") });
        }
    }
    Ok(tokens)
}

/// The part of a line before its comment.
fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with('#') {
        return "";
    }
    line.split_once(" #").map_or(line, |(before, _)| before).trim_end()
}

struct Cursor {
    line: usize,
    end: usize,
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
    direct: Option<Vec<SubjectType>>,
}

type Parsed<T> = Result<T, SyntaxError>;

impl Cursor {
    fn new(text: &str, line: usize, column: usize) -> Parsed<Cursor> {
        let tokens = tokens(text, line, column)?;
        let end = column + text.chars().count();
        Ok(Cursor { line, end, tokens: tokens.into_iter().peekable(), depth: 0, direct: None })
    }

    fn fault<T>(&self, column: usize, message: impl Into<String>) -> Parsed<T> {
        Err(SyntaxError { line: self.line, column, message: message.into() })
    }

    fn peek(&mut self) -> (Kind, usize) {
        let end = self.end;
        self.tokens.peek().map_or((Kind::End, end), |t| (t.kind.clone(), t.column))
    }

    fn next(&mut self) -> (Kind, usize) {
        let end = self.end;
        self.tokens.next().map_or((Kind::End, end), |t| (t.kind, t.column))
    }

    fn name(&mut self, what: &str) -> Parsed<String> {
        match self.next() {
            (Kind::Name(name), _) => Ok(name),
            (_, column) => self.fault(column, format!("expected {what}")),
        }
    }

    fn mark(&mut self, mark: char) -> Parsed<()> {
        match self.next() {
            (Kind::Mark(found), _) if found == mark => Ok(()),
            (_, column) => self.fault(column, format!("expected `{mark}`")),
        }
    }

    fn eats(&mut self, mark: char) -> bool {
        self.tokens.next_if(|t| t.kind == Kind::Mark(mark)).is_some()
    }

    fn eats_word(&mut self, word: &str) -> bool {
        self.tokens.next_if(|t| matches!(&t.kind, Kind::Name(n) if n == word)).is_some()
    }

    fn finish(&mut self) -> Parsed<()> {
        match self.next() {
            (Kind::End, _) => Ok(()),
            (_, column) => self.fault(column, "unexpected text; mixing `or`, `and`, `but not` needs parentheses"),
        }
    }

    /// `relExpr` of the grammar.
    fn expression(&mut self) -> Parsed<Rewrite> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            let (_, column) = self.peek();
            return self.fault(column, format!("parentheses are nested deeper than {NESTING_MAX}"));
        }
        let first = self.operand(true)?;
        let rewrite = if self.eats_word("or") {
            Rewrite::Union(self.operands(first, "or")?)
        } else if self.eats_word("and") {
            Rewrite::Intersection(self.operands(first, "and")?)
        } else if self.eats_word("but") {
            if !self.eats_word("not") {
                let (_, column) = self.peek();
                return self.fault(column, "expected `not` after `but`");
            }
            let subtract = self.operand(false)?;
            Rewrite::Exclusion { base: Box::new(first), subtract: Box::new(subtract) }
        } else {
            first
        };
        self.depth -= 1;
        Ok(rewrite)
    }

    fn operands(&mut self, first: Rewrite, word: &str) -> Parsed<Vec<Rewrite>> {
        let mut list = vec![first, self.operand(false)?];
        while self.eats_word(word) {
            list.push(self.operand(false)?);
        }
        Ok(list)
    }

    fn operand(&mut self, first: bool) -> Parsed<Rewrite> {
        match self.next() {
            (Kind::Mark('('), _) => {
                let rewrite = self.expression()?;
                self.mark(')')?;
                Ok(rewrite)
            }
            (Kind::Mark('['), column) => {
                if !first || self.direct.is_some() {
                    return self.fault(column, "`[...]` must come first, and once, in a relation");
                }
                self.direct = Some(self.restrictions()?);
                Ok(Rewrite::This)
            }
            (Kind::Name(relation), _) => {
                if self.eats_word("from") {
                    let tupleset = self.name("the relation that leads to the objects")?;
                    return Ok(Rewrite::TupleToUserset { tupleset, relation });
                }
                Ok(Rewrite::ComputedUserset { relation })
            }
            (_, column) => self.fault(column, "expected `[`, `(` or a relation"),
        }
    }

    fn restrictions(&mut self) -> Parsed<Vec<SubjectType>> {
        let mut list = Vec::new();
        loop {
            let object_type = self.name("a type")?;
            let kind = if self.eats(':') {
                self.mark('*')?;
                SubjectKind::Wildcard
            } else if self.eats('#') {
                SubjectKind::Userset(self.name("a relation")?)
            } else {
                SubjectKind::Object
            };
            let condition = if self.eats_word("with") { Some(self.name("a condition")?) } else { None };
            list.push(SubjectType { object_type, kind, condition });
            if !self.eats(',') {
                break;
            }
        }
        self.mark(']')?;
        Ok(list)
    }

    fn parameter_type(&mut self, simple: bool) -> Parsed<ParameterType> {
        let (_, column) = self.peek();
        let name = self.name("a parameter type")?;
        Ok(match name.as_str() {
            "bool" => ParameterType::Bool,
            "string" => ParameterType::String,
            "int" => ParameterType::Int,
            "uint" => ParameterType::Uint,
            "double" => ParameterType::Double,
            "duration" => ParameterType::Duration,
            "timestamp" => ParameterType::Timestamp,
            "ipaddress" => ParameterType::IpAddress,
            "map" | "list" if !simple => {
                self.mark('<')?;
                let inner = Box::new(self.parameter_type(true)?);
                self.mark('>')?;
                if name == "map" { ParameterType::Map(inner) } else { ParameterType::List(inner) }
            }
            _ => return self.fault(column, format!("`{name}` is no parameter type")),
        })
    }
}

/// Reads a model. One error is reported: the first.
pub(super) fn parse(text: &str) -> Result<Model, Vec<SyntaxError>> {
    Reader { lines: text.lines().collect(), at: 0, module: String::new() }.model().map_err(|error| vec![error])
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    at: usize,
    module: String,
}

impl<'a> Reader<'a> {
    /// The next line that says something, with its number; brackets join it with the lines that follow.
    fn line(&mut self) -> Option<(usize, String)> {
        while let Some(raw) = self.lines.get(self.at) {
            self.at += 1;
            let mut text = without_comment(raw).to_owned();
            if text.trim().is_empty() {
                continue;
            }
            let number = self.at;
            let open = |t: &str| t.matches(['[', '(']).count() > t.matches([']', ')']).count();
            while open(&text) {
                let Some(more) = self.lines.get(self.at) else { break };
                self.at += 1;
                text.push(' ');
                text.push_str(without_comment(more).trim());
            }
            return Some((number, text));
        }
        None
    }

    fn model(mut self) -> Parsed<Model> {
        let fault = |line, message: &str| SyntaxError { line, column: 1, message: message.into() };
        let (number, header) = self.line().ok_or_else(|| fault(1, "expected `model`"))?;
        let mut version = SchemaVersion::V1_2;
        if let Some(module) = header.trim().strip_prefix("module ") {
            self.module = module.trim().to_owned();
        } else if header.trim() == "model" {
            let (number, schema) = self.line().ok_or_else(|| fault(number + 1, "expected `schema 1.1`"))?;
            version = match schema.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["schema", "1.1"] => SchemaVersion::V1_1,
                ["schema", "1.2"] => SchemaVersion::V1_2,
                _ => return Err(fault(number, "expected `schema 1.1` or `schema 1.2`")),
            };
        } else {
            return Err(fault(number, "expected `model`"));
        }
        let mut model = Model { schema_version: version, types: Vec::new(), conditions: Vec::new() };
        while let Some((number, text)) = self.line() {
            self.definition(&mut model, number, &text)?;
        }
        Ok(model)
    }

    fn definition(&mut self, model: &mut Model, line: usize, text: &str) -> Parsed<()> {
        let indent = text.chars().take_while(|c| c.is_whitespace()).count() + 1;
        let fault = |message: String| SyntaxError { line, column: indent, message };
        let origin = Origin { module: self.module.clone(), file: String::new() };
        let (word, rest) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
        match word {
            "type" => {
                let mut cursor = Cursor::new(rest, line, indent + 5)?;
                let name = cursor.name("a type's name")?;
                cursor.finish()?;
                model.types.push(TypeDefinition { name, relations: Vec::new(), origin });
            }
            "relations" if rest.is_empty() && !model.types.is_empty() => {}
            "define" => {
                let mut cursor = Cursor::new(rest, line, indent + 7)?;
                let name = cursor.name("a relation's name")?;
                cursor.mark(':')?;
                let rewrite = cursor.expression()?;
                cursor.finish()?;
                let subject_types = cursor.direct.take().unwrap_or_default();
                let ty = model.types.last_mut().ok_or_else(|| fault("`define` belongs under a type".into()))?;
                if ty.relation(&name).is_some() {
                    return Err(fault(format!("'{name}' is already defined in '{}'", ty.name)));
                }
                ty.relations.push(RelationDefinition { name, rewrite, subject_types, origin: Origin::default() });
            }
            "condition" => {
                let condition = self.condition(line, text, rest, indent + 10, origin)?;
                if model.condition(&condition.name).is_some() {
                    return Err(fault(format!("condition '{}' is already defined in the model", condition.name)));
                }
                model.conditions.push(condition);
            }
            _ => return Err(fault(format!("unexpected `{word}`; expected `type`, `define` or `condition`"))),
        }
        Ok(())
    }

    /// Reads a condition: its head from this line, its body up to the brace that closes it.
    fn condition(
        &mut self,
        line: usize,
        text: &str,
        rest: &str,
        column: usize,
        origin: Origin,
    ) -> Parsed<ConditionDefinition> {
        let fault = |message: &str| SyntaxError { line, column, message: message.into() };
        let (head, first) = rest.split_once('{').ok_or_else(|| fault("expected `{` and an expression"))?;
        let mut cursor = Cursor::new(head, line, column)?;
        let name = cursor.name("a condition's name")?;
        cursor.mark('(')?;
        let mut parameters: Vec<(String, ParameterType)> = Vec::new();
        loop {
            let name = cursor.name("a parameter's name")?;
            cursor.mark(':')?;
            let parameter = cursor.parameter_type(false)?;
            if parameters.iter().any(|(n, _)| *n == name) {
                return Err(fault(&format!("parameter '{name}' is already defined in the condition")));
            }
            parameters.push((name, parameter));
            if !cursor.eats(',') {
                break;
            }
        }
        cursor.mark(')')?;
        cursor.finish()?;
        // The body verbatim: from the raw line, since `line()` cut comments that belong to CEL.
        let raw = self.lines.get(line - 1).copied().unwrap_or(text);
        let mut body = raw.split_once('{').map_or(first, |(_, after)| after).to_owned();
        self.at = self.at.max(line);
        let mut depth = 1_i32;
        let mut closed = close(&body, &mut depth);
        while closed.is_none() {
            let next = self.lines.get(self.at).ok_or_else(|| fault("the condition's `}` is missing"))?;
            self.at += 1;
            let offset = body.len() + 1;
            body.push('\n');
            body.push_str(next);
            closed = close(next, &mut depth).map(|at| at + offset);
        }
        let expression = body.get(..closed.unwrap_or_default()).unwrap_or_default().trim().to_owned();
        Ok(ConditionDefinition { name, expression, parameters, origin })
    }
}

/// Where the brace that brings `depth` to 0 stands, outside of strings.
fn close(text: &str, depth: &mut i32) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => *depth += 1,
            (None, '}') => {
                *depth -= 1;
                if *depth == 0 {
                    return Some(at);
                }
            }
            (None, _) => {}
        }
    }
    None
}

/// Prints a model as text.
pub(super) fn print(model: &Model) -> String {
    let mut out = format!("model\n  schema {}\n", model.schema_version.as_str());
    for ty in &model.types {
        let _ = write!(out, "\ntype {}\n", ty.name); // writing to a String cannot fail
        if !ty.relations.is_empty() {
            out.push_str("  relations\n");
        }
        for relation in &ty.relations {
            let _ = writeln!(out, "    define {}: {}", relation.name, expression(&relation.rewrite, relation, true));
        }
    }
    for condition in &model.conditions {
        let list: Vec<String> = condition.parameters.iter().map(|(n, t)| format!("{n}: {}", parameter(t))).collect();
        let _ = write!(
            out,
            "\ncondition {}({}) {{\n  {}\n}}\n",
            condition.name,
            list.join(", "),
            condition.expression.trim()
        );
    }
    out
}

fn expression(rewrite: &Rewrite, relation: &RelationDefinition, top: bool) -> String {
    let join = |children: &[Rewrite], word: &str| {
        // The language wants `[...]` first.
        let mut list: Vec<&Rewrite> = children.iter().collect();
        list.sort_by_key(|c| **c != Rewrite::This);
        list.into_iter().map(|c| expression(c, relation, false)).collect::<Vec<_>>().join(word)
    };
    let (text, compound) = match rewrite {
        Rewrite::This => {
            let list: Vec<String> = relation.subject_types.iter().map(restriction).collect();
            (format!("[{}]", list.join(", ")), false)
        }
        Rewrite::ComputedUserset { relation } => (relation.clone(), false),
        Rewrite::TupleToUserset { tupleset, relation } => (format!("{relation} from {tupleset}"), false),
        Rewrite::Union(children) => (join(children, " or "), true),
        Rewrite::Intersection(children) => (join(children, " and "), true),
        Rewrite::Exclusion { base, subtract } => {
            let (base, subtract) = (expression(base, relation, false), expression(subtract, relation, false));
            (format!("{base} but not {subtract}"), true)
        }
    };
    if compound && !top { format!("({text})") } else { text }
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

fn parameter(ty: &ParameterType) -> String {
    match ty {
        ParameterType::Any => "any".into(),
        ParameterType::Bool => "bool".into(),
        ParameterType::String => "string".into(),
        ParameterType::Int => "int".into(),
        ParameterType::Uint => "uint".into(),
        ParameterType::Double => "double".into(),
        ParameterType::Duration => "duration".into(),
        ParameterType::Timestamp => "timestamp".into(),
        ParameterType::IpAddress => "ipaddress".into(),
        ParameterType::Map(inner) => format!("map<{}>", parameter(inner)),
        ParameterType::List(inner) => format!("list<{}>", parameter(inner)),
    }
}
