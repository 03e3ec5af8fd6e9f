//! `bailiwick model` on files: check models, turn one form into another.
//!
//! A model comes as the modelling language (`.fga`), as OpenFGA's JSON (`.json`), or as an `fga.mod` with its modules.

use super::{Failure, say};
use bailiwick::model::{Faults, Model, SourceModel};
use clap::{Args, Subcommand, ValueEnum};
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Longest file of a model, in bytes. A store takes far less; this only keeps a wrong file from filling the memory.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[derive(Subcommand)]
pub(super) enum ModelCommand {
    /// Check a model by the editor's rules, which are stricter than a store's.
    Validate(Validate),
    /// Print a model in another form.
    Transform(Transform),
}

#[derive(Args)]
pub(super) struct Validate {
    /// The file: `.fga`, `.json` or `fga.mod`.
    file: PathBuf,
    /// Check only what a store demands before it takes a model.
    #[arg(long)]
    store_rules: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    /// The modelling language.
    Fga,
    /// OpenFGA's JSON.
    Json,
}

#[derive(Args)]
pub(super) struct Transform {
    /// The file: `.fga`, `.json` or `fga.mod`.
    file: PathBuf,
    /// The form to print.
    #[arg(long, value_enum)]
    to: Form,
    /// Say in comments which module and file each part is from.
    #[arg(long)]
    origins: bool,
}

impl ModelCommand {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        match self {
            ModelCommand::Validate(validate) => validate.run(),
            ModelCommand::Transform(transform) => transform.run(),
        }
    }
}

impl Validate {
    fn run(&self) -> Result<ExitCode, Failure> {
        let source = read_source(&self.file)?;
        if !self.store_rules {
            source.lint().map_err(|faults| wrong(&faults))?;
        }
        let model = source.model();
        model.validate().map_err(|fault| Failure::Said(format!("{}: {}", self.file.display(), fault.reason)))?;
        let relations: usize = model.types.iter().map(|ty| ty.relations.len()).sum();
        let (file, types, conditions) = (self.file.display(), model.types.len(), model.conditions.len());
        say(format!("{file}: valid; {types} types, {relations} relations, {conditions} conditions"));
        Ok(ExitCode::SUCCESS)
    }
}

impl Transform {
    fn run(&self) -> Result<ExitCode, Failure> {
        let source = read_source(&self.file)?;
        let model = source.model();
        match self.to {
            Form::Fga if self.origins => say(model.to_dsl_with_origins().trim_end()),
            Form::Fga => say(model.to_dsl().trim_end()),
            Form::Json => say(format!("{:#}", model.to_json())),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads a model in any of its forms.
pub(super) fn read_model(path: &Path) -> Result<Model, Failure> {
    Ok(read_source(path)?.into_model())
}

fn read_source(path: &Path) -> Result<SourceModel, Failure> {
    let text = read_text(path).map_err(|reason| Failure::File { path: path.to_owned(), reason })?;
    let name = path.display().to_string();
    let read = if path.extension().is_some_and(|e| e == "json") {
        SourceModel::from_json(&name, &text)
    } else if path.extension().is_some_and(|e| e == "mod") {
        let folder = path.parent().unwrap_or(Path::new(""));
        SourceModel::from_modules(&name, &text, &mut |file| {
            read_text(&folder.join(file)).map_err(|error| error.to_string())
        })
    } else {
        SourceModel::from_dsl(&name, &text)
    };
    read.map_err(|faults| wrong(&faults))
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let why = format!("longer than {FILE_BYTES_MAX} bytes; is it a model?");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, why));
    }
    Ok(text)
}

/// The faults, drawn for a person at a terminal, one line each elsewhere.
fn wrong(faults: &Faults) -> Failure {
    let count = faults.faults.len();
    let what = if count == 1 { "the model has a fault".into() } else { format!("the model has {count} faults") };
    let listed = if std::io::stderr().is_terminal() { faults.drawn(true) } else { faults.plain() };
    Failure::Said(format!("{what}\n{}", listed.trim_end()))
}
