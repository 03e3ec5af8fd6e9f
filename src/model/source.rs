//! A model together with the texts it came from, so that what is wrong with it can be shown where it stands.

use super::ast::Model;
use super::diagnostic::{self, Fault, FaultCode, Place, Source};
use super::positions::Positions;
use super::{lint, module, parse};

/// A model and its texts.
#[derive(Clone, Debug)]
pub struct SourceModel {
    model: Model,
    sources: Vec<Source>,
    positions: Positions,
}

/// What is wrong, with the texts it is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.plain().trim_end())]
pub struct Faults {
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// The texts.
    pub sources: Vec<Source>,
}

impl Faults {
    /// One line for each: `file:line:column: message [code]`.
    #[must_use]
    pub fn plain(&self) -> String {
        diagnostic::plain(&self.faults, &self.sources)
    }

    /// Drawn under the text, for a person.
    #[must_use]
    pub fn drawn(&self, colours: bool) -> String {
        diagnostic::drawn(&self.faults, &self.sources, colours)
    }
}

impl SourceModel {
    /// Reads the modelling language from one file.
    pub fn from_dsl(name: &str, text: &str) -> Result<SourceModel, Faults> {
        let sources = vec![Source { name: name.to_owned(), text: text.to_owned() }];
        match parse::parse(text, 0) {
            Ok(parsed) => match parsed.extensions.first() {
                None => Ok(SourceModel { model: parsed.model, sources, positions: parsed.positions }),
                Some((ty, at)) => {
                    let message =
                        format!("'{}' is extended here; read the modules together, through their `fga.mod`", ty.name);
                    let fault = Fault { code: FaultCode::Module, message, place: Some(at.name.clone()) };
                    Err(Faults { faults: vec![fault], sources })
                }
            },
            Err(errors) => Err(Faults { faults: errors.into_iter().map(|e| syntax(e, 0)).collect(), sources }),
        }
    }

    /// Reads OpenFGA's JSON.
    pub fn from_json(name: &str, text: &str) -> Result<SourceModel, Faults> {
        let sources = vec![Source { name: name.to_owned(), text: text.to_owned() }];
        let fault = |message: String, at: usize| {
            let place = Some(Place { source: 0, span: at..at });
            Fault { code: FaultCode::InvalidSyntax, message, place }
        };
        let value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => {
                let line = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
                let at = line + error.column().saturating_sub(1);
                return Err(Faults { faults: vec![fault(format!("no JSON: {error}"), at)], sources });
            }
        };
        match Model::from_json(&value) {
            Ok(model) => Ok(SourceModel { model, sources, positions: Positions::default() }),
            Err(error) => Err(Faults { faults: vec![fault(error.to_string(), 0)], sources }),
        }
    }

    /// Reads an `fga.mod` and the modules it names; `read` gives the text of a file, or says why it cannot. All faults of
    /// all files are gathered.
    pub fn from_modules(
        name: &str,
        text: &str,
        read: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<SourceModel, Faults> {
        let mut sources = vec![Source { name: name.to_owned(), text: text.to_owned() }];
        let file = match module::parse_module_file(text, 0) {
            Ok(file) => file,
            Err(faults) => return Err(Faults { faults, sources }),
        };
        let mut unread = Vec::new();
        for (path, span) in file.contents {
            match read(&path) {
                Ok(text) => sources.push(Source { name: path, text }),
                Err(why) => {
                    let message = format!("cannot read `{path}`: {why}");
                    unread.push(Fault { code: FaultCode::Module, message, place: Some(Place { source: 0, span }) });
                }
            }
        }
        let merged = module::merge(&sources, 1..sources.len());
        let mut faults = unread;
        faults.extend(merged.faults);
        if faults.is_empty() {
            return Ok(SourceModel { model: merged.model, sources, positions: merged.positions });
        }
        faults.extend(lint::names(&merged.model, &merged.positions));
        Err(Faults { faults, sources })
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The model alone.
    #[must_use]
    pub fn into_model(self) -> Model {
        self.model
    }

    /// Checks the editor's rules, which are stricter than a store's: names that lead nowhere, duplicates, relations that
    /// nothing can grant, conditions that nothing uses, conditions that do not compile.
    pub fn lint(&self) -> Result<(), Faults> {
        let faults = lint::lint(&self.model, &self.positions);
        if faults.is_empty() { Ok(()) } else { Err(Faults { faults, sources: self.sources.clone() }) }
    }
}

fn syntax(error: parse::SyntaxError, source: usize) -> Fault {
    let place = Some(Place { source, span: error.span });
    Fault { code: FaultCode::InvalidSyntax, message: error.message, place }
}
