//! `bailiwick model`: write models into a store and read them again. What concerns files alone is beside this file.

use super::Failure;
use super::model::{ModelCommand, read_model};
use super::place::{InStore, Place};
use super::question::with_token;
use super::show::{Look, count, note, rows, say, terminal};
use bailiwick::api::proto as pb;
use bailiwick::api::{model_of, model_request};
use bailiwick::wire::Problem;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

/// A page of models.
const PAGE: i32 = 50;

/// Authorization models.
#[derive(Subcommand)]
pub(super) enum Model {
    #[command(flatten)]
    File(ModelCommand),
    /// Write a model, which from then on is the store's latest, and print its id
    #[command(after_help = "Example: bailiwick model write model.fga")]
    Write(Write),
    /// Print a model: the latest when none is named
    #[command(
        after_help = "Examples: bailiwick model get\n          bailiwick model get --json 01ARZ3NDEKTSV4RRFFQ69G5FAV"
    )]
    Get(Get),
    /// List the models of a store, the latest first
    List(List),
}

#[derive(Args)]
pub(super) struct Write {
    /// The file: `.fga`, `.json` or `fga.mod`
    file: PathBuf,
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
pub(super) struct Get {
    /// The model's id
    id: Option<String>,
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    look: Look,
}

fn said(problem: Problem) -> Failure {
    Failure::Said(problem.message)
}

impl Model {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        match self {
            Model::File(file) => return file.run(),
            Model::Write(write) => write.run()?,
            Model::Get(get) => get.run()?,
            Model::List(list) => list.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Write {
    fn run(&self) -> Result<(), Failure> {
        // The file is read before the place is opened: its faults are the likelier ones.
        let model = read_model(&self.file)?;
        let (place, store) = self.place.open()?;
        let request = model_request(&store, &model).map_err(said)?;
        let answer = place.ask(async |mut client| client.write_authorization_model(request).await)?;
        let id = &answer.message.authorization_model_id;
        if self.look.json {
            say(with_token(json!({"authorization_model_id": id}), &answer));
        } else {
            say(id);
        }
        Ok(())
    }
}

/// Models of a store, the latest first, as long as `more` wants more.
fn models(
    place: &Place,
    store: &str,
    page: i32,
    mut more: impl FnMut(pb::AuthorizationModel) -> bool,
) -> Result<(), Failure> {
    let mut continuation_token = String::new();
    loop {
        let request = pb::ReadAuthorizationModelsRequest {
            store_id: store.to_owned(),
            page_size: Some(page),
            continuation_token,
        };
        let answer = place.ask(async |mut client| client.read_authorization_models(request).await)?.message;
        if !answer.authorization_models.into_iter().all(&mut more) || answer.continuation_token.is_empty() {
            return Ok(());
        }
        continuation_token = answer.continuation_token;
    }
}

impl Get {
    fn run(&self) -> Result<(), Failure> {
        let (place, store) = self.place.open()?;
        let message = match self.id.clone() {
            Some(id) => {
                let request = pb::ReadAuthorizationModelRequest { store_id: store, id };
                let answer = place.ask(async |mut client| client.read_authorization_model(request).await)?;
                answer.message.authorization_model
            }
            None => {
                let mut latest = None;
                models(&place, &store, 1, |model| {
                    latest = Some(model);
                    false
                })?;
                latest
            }
        };
        let none = "the store has no model yet; write one with `bailiwick model write FILE`";
        let message = message.ok_or_else(|| Failure::Said(none.into()))?;
        let model = model_of(&message).map_err(said)?;
        if self.look.json {
            let mut value = model.to_json();
            if let Some(map) = value.as_object_mut() {
                map.insert("id".into(), message.id.into());
            }
            say(value);
        } else {
            say(model.to_dsl().trim_end());
        }
        Ok(())
    }
}

/// When a model was written: its id begins with the time.
fn written(id: &str) -> String {
    let ms = ulid::Ulid::from_string(id).map(|id| id.timestamp_ms()).unwrap_or(0);
    prost_types::Timestamp::from(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let (place, store) = self.place.open()?;
        let mut found: Vec<(String, usize, usize)> = Vec::new();
        models(&place, &store, PAGE, |model| {
            found.push((model.id, model.type_definitions.len(), model.conditions.len()));
            true
        })?;
        if self.look.json {
            let list: Vec<Value> = found
                .iter()
                .map(|(id, types, conditions)| {
                    json!({"id": id, "written": written(id), "types": types, "conditions": conditions})
                })
                .collect();
            say(json!({"models": list}));
            return Ok(());
        }
        let line = |(id, types, conditions): &(String, usize, usize)| {
            vec![id.clone(), written(id), types.to_string(), conditions.to_string()]
        };
        rows(&["id", "written", "types", "conditions"], &found.iter().map(line).collect::<Vec<_>>());
        if terminal() {
            note(count(found.len() as u64, "model"));
        }
        Ok(())
    }
}
