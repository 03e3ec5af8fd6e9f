//! The crate `openidauthzen`, unmodified, over TLS: it discovers the endpoints of a store, and asks all of them.
//! Usage: bailiwick-authzen-check https://127.0.0.1:PORT/stores/ID KEY

use openidauthzen::http::ReqwestClient;
use openidauthzen::search::Page;
use openidauthzen::{
    Action, ActionSearchRequest, AuthZenClient, Error, EvaluationItem, EvaluationRequest, EvaluationSemantic,
    EvaluationsOptions, EvaluationsRequest, Resource, ResourceSearchRequest, Subject, SubjectSearchRequest,
};
use serde_json::json;
use std::time::Duration;

type Failure = Box<dyn std::error::Error>;

/// What is asked about, and whether Sarah may see it.
const ASKED: [(&str, &str, bool); 3] = [
    ("crm", "//contacts/acme-corp", true),
    ("docs", "//proposals/templates", true),
    ("pricing", "//executive-discounts", false),
];

fn subject(id: Option<&str>) -> Subject {
    Subject { subject_type: "user".into(), id: id.map(Into::into), properties: None }
}

fn resource(object_type: &str, id: Option<&str>) -> Resource {
    Resource { resource_type: object_type.into(), id: id.map(Into::into), properties: None }
}

fn action(name: &str) -> Action {
    Action { name: name.into(), properties: None }
}

fn evaluation(object_type: &str, id: &str) -> EvaluationRequest {
    let (subject, resource) = (subject(Some("sarah")), resource(object_type, Some(id)));
    EvaluationRequest { subject, action: action("viewer"), resource, context: None }
}

fn batch(semantic: Option<EvaluationSemantic>, asked: &[(&str, &str, bool)]) -> EvaluationsRequest {
    let item = |(object_type, id, _): &(&str, &str, bool)| EvaluationItem {
        subject: None,
        action: None,
        resource: Some(resource(object_type, Some(id))),
        context: None,
    };
    EvaluationsRequest {
        subject: Some(subject(Some("sarah"))),
        action: Some(action("viewer")),
        resource: None,
        context: None,
        evaluations: asked.iter().map(item).collect(),
        options: semantic.map(|s| EvaluationsOptions { evaluations_semantic: Some(s), extra: None }),
    }
}

fn status<T>(answer: Result<T, Error>) -> u16 {
    match answer {
        Err(Error::HttpStatus { status, .. }) => status,
        Err(_) => 0,
        Ok(_) => 200,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (point, key) = (arguments.next().ok_or("no URL")?, arguments.next().ok_or("no key")?);
    let client = AuthZenClient::new(ReqwestClient::new(Duration::from_secs(10))?, Duration::from_secs(60));

    let found = client.discover(&point).await?;
    assert_eq!(found.access_evaluation_endpoint, format!("{point}/access/v1/evaluation"));
    assert_eq!(found.search_action_endpoint, Some(format!("{point}/access/v1/search/action")));

    for (object_type, id, allowed) in ASKED {
        let answer = client.evaluate(&point, &key, &evaluation(object_type, id)).await?;
        assert!(answer.decision == allowed && answer.context.is_none(), "{object_type} {id}");
    }
    assert_eq!(status(client.evaluate(&point, "another-key-of-nobody", &evaluation("crm", "1")).await), 401);
    assert_eq!(status(client.evaluate(&point, &key, &evaluation("spaceship", "1")).await), 400);
    assert_eq!(status(client.evaluate(&point, &key, &evaluation("crm", "crm://contacts/acme-corp")).await), 400);

    let decisions = |semantic, asked: &[_]| {
        let (request, client, point, key) = (batch(semantic, asked), &client, &point, &key);
        async move {
            let answer = client.evaluate_batch(point, key, &request).await?;
            Ok::<Vec<bool>, Error>(answer.evaluations.iter().map(|one| one.decision).collect())
        }
    };
    let [first, second, third] = ASKED;
    assert_eq!(decisions(None, &ASKED).await?, [true, true, false]);
    assert_eq!(decisions(Some(EvaluationSemantic::ExecuteAll), &[third, first]).await?, [false, true]);
    assert_eq!(decisions(Some(EvaluationSemantic::DenyOnFirstDeny), &[first, third, second]).await?, [true, false]);
    assert_eq!(decisions(Some(EvaluationSemantic::PermitOnFirstPermit), &[third, first, second]).await?, [false, true]);

    let who = SubjectSearchRequest {
        subject: subject(None),
        action: action("viewer"),
        resource: resource("pricing", Some("//executive-discounts")),
        context: None,
        page: None,
    };
    let who = client.search_subjects(&point, &key, &who).await?;
    assert_eq!(who.results, [subject(Some("eva"))]);
    assert_eq!(who.page.and_then(|page| page.total), Some(1));

    let mut which = ResourceSearchRequest {
        subject: subject(Some("sarah")),
        action: action("viewer"),
        resource: resource("docs", None),
        context: Some([("hour".to_owned(), json!(9))].into_iter().collect()),
        page: Some(Page { token: None, limit: Some(1), properties: None }),
    };
    let mut met = Vec::new();
    loop {
        let answer = client.search_resources(&point, &key, &which).await?;
        met.extend(answer.results.into_iter().filter_map(|resource| resource.id));
        let token = answer.page.and_then(|page| page.next_token).filter(|token| !token.is_empty());
        let Some(token) = token else { break };
        which.page = Some(Page { token: Some(token), limit: Some(1), properties: None });
        assert!(met.len() < 10, "pages without end");
    }
    assert_eq!(met, ["//negotiations/acme-corp", "//proposals/templates"]);

    let what = ActionSearchRequest {
        subject: subject(Some("sarah")),
        resource: resource("docs", Some("//proposals/templates")),
        context: None,
        page: None,
    };
    let what = client.search_actions(&point, &key, &what).await?;
    assert_eq!(what.results.iter().map(|action| action.name.as_str()).collect::<Vec<_>>(), ["viewer"]);
    println!("openidauthzen: discovery, evaluations and searches");
    Ok(())
}
