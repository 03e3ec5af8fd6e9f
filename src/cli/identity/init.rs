//! `bailiwick init`: a key ring, a settings file, a tenant and its first administrator.

use super::super::Failure;
use super::super::ring;
use super::super::show::{Look, note};
use super::{env, open, show};
use crate::config::FILE_DEFAULT;
use bailiwick::engine::Engine;
use bailiwick::identity::{TenantSettings, check_tenant};
use bailiwick::secrets::{KEY_BYTES, KeyRing};
use bailiwick::wire::random;
use clap::Args;
use serde_json::{Map, json};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How long the first link is good.
const LINK_LIFE_S: u64 = 24 * 3_600;

/// `bailiwick init`
#[derive(Args)]
pub(crate) struct Init {
    /// The URL of the issuer, as `https://id.example.com` or `http://127.0.0.1:8082`
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// The name of the tenant
    #[arg(long, default_value = "main")]
    tenant: String,
    /// What the first administrator logs in with
    #[arg(long, value_name = "LOGIN")]
    admin: String,
    /// The database's directory, made when it is not there
    #[arg(long, value_name = "DIR", default_value = "bailiwick-data")]
    data: PathBuf,
    /// The file of the keys that seal secrets, made when it is not there
    #[arg(long, value_name = "FILE", default_value = "bailiwick.keys")]
    identity_key_ring: PathBuf,
    #[command(flatten)]
    look: Look,
}

impl Init {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        // What cannot be is said before anything is written.
        check_tenant(&self.tenant, &self.issuer)?;
        if !self.identity_key_ring.exists() {
            write_ring(&self.identity_key_ring)?;
            note(format!(
                "made the key ring {}; keep a copy apart from the database",
                self.identity_key_ring.display()
            ));
        }
        let ring = ring::of_file(&self.identity_key_ring)?;
        let identity = open(Engine::open(&self.data)?, ring)?;
        let env = env();
        let tenant = identity.create_tenant(&self.tenant, &self.issuer, &TenantSettings::default(), &env)?;
        let mut change = tenant.change(&env);
        let user = tenant.add_user(&mut change, &env.id(), &[&self.admin], Map::new(), &env)?;
        tenant.add_administrator(&mut change, &user.subject(), &env);
        change.commit()?;
        let link = tenant.url(&format!("/invite?code={}", tenant.invite(&user.id, LINK_LIFE_S, &env)?));
        self.settings_file()?;
        show(
            self.look,
            &json!({
                "tenant": tenant.name(), "issuer": tenant.issuer(), "administrator": user.id, "link": link,
            }),
        );
        note(
            "serve with `bailiwick serve`; the link sets up the administrator's first way to log in, once, within a day",
        );
        Ok(ExitCode::SUCCESS)
    }

    fn settings_file(&self) -> Result<(), Failure> {
        let path = Path::new(FILE_DEFAULT);
        let text = format!(
            "data: {}\nidentity-key-ring: {}\n",
            json!(self.data.display().to_string()),
            json!(self.identity_key_ring.display().to_string())
        );
        if path.exists() {
            note(format!("{FILE_DEFAULT} is there already and was left as it is; it needs:\n{text}"));
            return Ok(());
        }
        std::fs::write(path, text).map_err(|reason| Failure::File { path: path.to_owned(), reason })
    }
}

/// Makes a key ring of one key that only its owner can read.
fn write_ring(path: &Path) -> Result<(), Failure> {
    let unwritable = |reason| Failure::File { path: path.to_owned(), reason };
    let mut key = [0; KEY_BYTES];
    random(&mut key);
    let env = env();
    let line = KeyRing::key_line("k1", env.seconds(), &key).map_err(|error| Failure::Said(error.to_string()))?;
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(unwritable)?;
    file.write_all(KeyRing::head().as_bytes()).and_then(|()| file.write_all(line.as_bytes())).map_err(unwritable)?;
    file.sync_all().map_err(unwritable)
}
