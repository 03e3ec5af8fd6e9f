//! Models in several files: the list in `fga.mod`, and how modules become one model.

use super::ast::{Model, Origin, SchemaVersion, TypeDefinition};
use super::diagnostic::{Fault, FaultCode, Place, Source};
use super::parse::{self, Parsed};
use super::positions::{Positions, TypeAt};
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use std::ops::Range;

/// Most modules of one model; there cannot be more types than this, and a module without any is of no use.
pub(super) const MODULES_MAX: usize = 1000;

/// What an `fga.mod` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleFile {
    /// The schema version, always 1.2.
    pub schema: String,
    /// Where that stands.
    pub schema_span: Range<usize>,
    /// The files of the modules in order, relative to the `fga.mod`, with where each is named.
    pub contents: Vec<(String, Range<usize>)>,
}

/// Reads an `fga.mod`; `source` is its index among the sources, for the places of faults.
pub fn parse_module_file(text: &str, source: usize) -> Result<ModuleFile, Vec<Fault>> {
    let mut reader = Reader { text, source, faults: Vec::new() };
    let documents = match MarkedYaml::load_from_str(text) {
        Ok(documents) => documents,
        Err(error) => {
            reader.fault(0..0, format!("not YAML: {error}"));
            return Err(reader.faults);
        }
    };
    let root = documents.first();
    let field = |key: &str| root.and_then(|r| r.data.as_mapping_get(key));
    let (mut schema, mut schema_span) = (String::new(), 0..0);
    match field("schema").map(|node| (node, &node.data)) {
        None => reader.fault(0..0, "missing schema field"),
        Some((node, YamlData::Value(Scalar::String(value)))) => {
            schema_span = reader.span(node);
            if value != "1.2" {
                let text = "unsupported schema version, fga.mod only supported in version `1.2`";
                reader.fault(schema_span.clone(), text);
            }
            schema = value.to_string();
        }
        Some((node, _)) => reader.unexpected(node, "unexpected schema type, expected string"),
    }
    let mut contents = Vec::new();
    match field("contents").map(|node| (node, &node.data)) {
        None => reader.fault(0..0, "missing contents field"),
        Some((node, YamlData::Sequence(items))) if items.len() > MODULES_MAX => {
            let span = reader.span(node);
            reader.fault(span, format!("at most {MODULES_MAX} modules make a model"));
        }
        Some((_, YamlData::Sequence(items))) => contents.extend(items.iter().filter_map(|item| reader.item(item))),
        Some((node, _)) => reader.unexpected(node, "unexpected contents type, expected list of strings"),
    }
    if reader.faults.is_empty() { Ok(ModuleFile { schema, schema_span, contents }) } else { Err(reader.faults) }
}

struct Reader<'a> {
    text: &'a str,
    source: usize,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn fault(&mut self, span: Range<usize>, message: impl Into<String>) {
        let place = Some(Place { source: self.source, span });
        self.faults.push(Fault { code: FaultCode::Module, message: message.into(), place });
    }

    /// The bytes of a node; YAML's reader counts characters.
    fn span(&self, node: &MarkedYaml<'_>) -> Range<usize> {
        let byte = |index: usize| self.text.char_indices().nth(index).map_or(self.text.len(), |(at, _)| at);
        byte(node.span.start.index())..byte(node.span.end.index())
    }

    fn unexpected(&mut self, node: &MarkedYaml<'_>, what: &str) {
        let span = self.span(node);
        let value = self.text.get(span.clone()).unwrap_or_default().trim().to_owned();
        self.fault(span, format!("{what} got value {value}"));
    }

    /// A file of the contents: inside of the folder, and a module by its name. Looked at as a file system or a browser
    /// might read it, so that no spelling of `..` leads out.
    fn item(&mut self, node: &MarkedYaml<'_>) -> Option<(String, Range<usize>)> {
        let YamlData::Value(Scalar::String(value)) = &node.data else {
            self.unexpected(node, "unexpected contents item type, expected string");
            return None;
        };
        let span = self.span(node);
        let path = percent_decoded(value).replace('\\', "/");
        if path.starts_with('/') || path.split('/').any(|part| part == "..") || path.contains('\0') {
            self.fault(span, format!("invalid contents item {value}"));
            return None;
        }
        if !path.ends_with(".fga") {
            self.fault(span, format!("contents items should use fga file extension, got {value}"));
            return None;
        }
        Some((path, span))
    }
}

/// `%2e` as `.`; what is no such escape stays.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high * 16 + low);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Modules as they are put together.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) model: Model,
    pub(super) positions: Positions,
    pub(super) faults: Vec<Fault>,
}

/// Puts modules together, in order; each source is one.
pub(super) fn merge(sources: &[Source], modules: Range<usize>) -> Merged {
    let model = Model { schema_version: SchemaVersion::V1_2, types: Vec::new(), conditions: Vec::new() };
    let mut merged = Merged { model, positions: Positions::default(), faults: Vec::new() };
    let mut extensions = Vec::new();
    for (index, source) in sources.iter().enumerate().take(modules.end).skip(modules.start) {
        match parse::parse(&source.text, index) {
            Ok(parsed) => merged.add(parsed, index, &source.name, &mut extensions),
            Err(errors) => merged.faults.extend(errors.into_iter().map(|error| {
                let place = Some(Place { source: index, span: error.span });
                Fault { code: FaultCode::InvalidSyntax, message: error.message, place }
            })),
        }
    }
    for (ty, at) in extensions {
        merged.extend(ty, at);
    }
    merged
}

impl Merged {
    fn fault(&mut self, place: &Place, message: String) {
        self.faults.push(Fault { code: FaultCode::Module, message, place: Some(place.clone()) });
    }

    fn add(&mut self, parsed: Parsed, index: usize, file: &str, extensions: &mut Vec<(TypeDefinition, TypeAt)>) {
        let Some(module) = parsed.module else {
            self.fault(&Place { source: index, span: 0..0 }, "file is not a module".into());
            return;
        };
        let origin = Origin { module, file: file.to_owned() };
        for (mut ty, at) in parsed.model.types.into_iter().zip(parsed.positions.types) {
            if self.model.object_type(&ty.name).is_some() {
                self.fault(&at.name, format!("duplicate type definition {}", ty.name));
                continue;
            }
            ty.origin = origin.clone();
            self.model.types.push(ty);
            self.positions.types.push(at);
        }
        for (mut condition, at) in parsed.model.conditions.into_iter().zip(parsed.positions.conditions) {
            if self.model.condition(&condition.name).is_some() {
                self.fault(&at, format!("duplicate condition {}", condition.name));
                continue;
            }
            condition.origin = origin.clone();
            self.model.conditions.push(condition);
            self.positions.conditions.push(at);
        }
        for (mut ty, at) in parsed.extensions {
            for relation in &mut ty.relations {
                relation.origin = origin.clone();
            }
            extensions.push((ty, at));
        }
    }

    fn extend(&mut self, extension: TypeDefinition, at: TypeAt) {
        let index = self.model.types.iter().position(|ty| ty.name == extension.name);
        let known = index.and_then(|i| Some((self.model.types.get_mut(i)?, self.positions.types.get_mut(i)?)));
        let Some((ty, places)) = known else {
            self.fault(&at.name, format!("extended type {} does not exist", extension.name));
            return;
        };
        let mut twice = Vec::new();
        for (relation, at) in extension.relations.into_iter().zip(at.relations) {
            if ty.relation(&relation.name).is_some() {
                twice.push((at.name, format!("relation {} already exists on type {}", relation.name, ty.name)));
                continue;
            }
            ty.relations.push(relation);
            places.relations.push(at);
        }
        for (place, message) in twice {
            self.fault(&place, message);
        }
    }
}
