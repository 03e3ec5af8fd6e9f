//! Starts all applications around the story, and remembers where they are.

use super::super::keys::secret;
use super::super::people::Elsewhere;
use super::apis::Api;
use super::mcp::{SERVERS, Server};
use super::portal::Portal;
use super::provider::Provider;
use super::push::PushService;
use super::{bound, serve};
use crate::cli::Failure;
use serde_json::json;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// An MCP server that knows nothing of permissions.
pub(in super::super) struct Behind {
    pub(in super::super) name: &'static str,
    pub(in super::super) url: String,
    pub(in super::super) server: Arc<Server>,
}

/// The applications.
pub(in super::super) struct Apps {
    /// The agent's own application.
    pub(in super::super) portal: Arc<Portal>,
    pub(in super::super) portal_url: String,
    /// What carries notices to phones.
    pub(in super::super) phones: Arc<PushService>,
    pub(in super::super) phones_url: String,
    /// Google, with which Sarah signs in and which keeps her files, mail and calendar; and Sarah there.
    pub(in super::super) google: Arc<Provider>,
    pub(in super::super) at_google: Elsewhere,
    pub(in super::super) workspace: Arc<Api>,
    pub(in super::super) workspace_url: String,
    /// The authorization server of the CRM, the CRM, and Sarah there.
    pub(in super::super) crm_login: Arc<Provider>,
    pub(in super::super) at_crm: Elsewhere,
    pub(in super::super) crm: Arc<Api>,
    pub(in super::super) crm_url: String,
    /// By which the CRM lets its list of accounts be read.
    pub(in super::super) directory_key: String,
    /// Servers of tools and resources.
    pub(in super::super) behind: Vec<Behind>,
    /// Where the pricing service will be: it is started when its authorization server knows it.
    pub(in super::super) prices: Option<TcpListener>,
    pub(in super::super) prices_url: String,
}

impl Apps {
    pub(in super::super) fn start(runtime: &Runtime) -> Result<Apps, Failure> {
        let portal = Arc::new(Portal::default());
        let (listener, portal_url) = bound(runtime)?;
        serve(runtime, listener, portal.routes());

        let phones = Arc::new(PushService::default());
        let (listener, phones_url) = bound(runtime)?;
        serve(runtime, listener, phones.routes());

        let account = |name, login: &str| Elsewhere { name, login: login.to_owned(), password: secret() };
        let at_google = account("Google", "sarah.chen@gmail.example");
        let (listener, google_url) = bound(runtime)?;
        let claims = json!({"sub": "110248495921238986420", "name": "Sarah Chen", "email": at_google.login,
                            "email_verified": true});
        let google = Provider::new(&google_url, at_google.clone(), &claims)?;
        serve(runtime, listener, google.routes());
        let workspace = Api::workspace(&google);
        let (listener, workspace_url) = bound(runtime)?;
        serve(runtime, listener, workspace.routes());

        let at_crm = account("the CRM", "schen");
        let (listener, crm_login_url) = bound(runtime)?;
        let crm_login = Provider::new(&crm_login_url, at_crm.clone(), &json!({"sub": "0058d"}))?;
        serve(runtime, listener, crm_login.routes());
        let directory_key = secret();
        let crm = Api::crm(&crm_login, &directory_key);
        let (listener, crm_url) = bound(runtime)?;
        serve(runtime, listener, crm.routes());

        let mut behind = Vec::new();
        for (name, resources) in SERVERS {
            let server = Server::new(resources);
            let (listener, url) = bound(runtime)?;
            serve(runtime, listener, server.routes());
            behind.push(Behind { name, url: format!("{url}/mcp"), server });
        }
        let (prices, prices_url) = bound(runtime)?;
        let prices = Some(prices);
        Ok(Apps {
            portal,
            portal_url,
            phones,
            phones_url,
            google,
            at_google,
            workspace,
            workspace_url,
            crm_login,
            at_crm,
            crm,
            crm_url,
            directory_key,
            behind,
            prices,
            prices_url,
        })
    }
}
