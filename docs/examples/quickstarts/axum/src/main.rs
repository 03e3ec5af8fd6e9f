//! An API: one deal, for who shows a token of theirs and may see it.

use axum::{Router, extract::{FromRef, Path, State}, http::StatusCode, routing::get};
use axum_jwt_auth::{Claims, Decoder, RemoteJwksDecoder};
use jsonwebtoken::{Algorithm, Validation};
use std::{env::var, sync::Arc};

#[derive(Clone, serde::Deserialize)]
struct Token {
    sub: String,
    scope: String,
}

#[derive(Clone, FromRef)]
struct App {
    decoder: Decoder<Token>,
    check: String,
}

async fn deal(token: Claims<Token>, State(check): State<String>, Path(id): Path<String>) -> Result<String, StatusCode> {
    let Token { sub, scope } = token.claims;
    let key = serde_json::json!({"user": format!("user:{sub}"), "relation": "viewer", "object": format!("deal:{id}")});
    let asked = reqwest::Client::new().post(check).json(&serde_json::json!({"tuple_key": key})).send().await;
    let answer: serde_json::Value = asked.map_err(unreachable)?.json().await.map_err(unreachable)?;
    let may = answer["allowed"] == true && scope.split(' ').any(|name| name == "deals:read");
    if may { Ok(format!("the deal {id}")) } else { Err(StatusCode::FORBIDDEN) }
}

fn unreachable(_: reqwest::Error) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[var("ISSUER")?]);
    validation.set_audience(&[var("API")?]);
    let keys = RemoteJwksDecoder::builder().jwks_url(var("ISSUER")? + "/jwks").validation(validation).build()?;
    let decoder = Arc::new(keys);
    decoder.initialize().await?;
    let app = App { decoder, check: var("STORE_URL")? + "/check" };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", var("PORT")?.parse()?)).await?;
    println!("listening");
    Ok(axum::serve(listener, Router::new().route("/deals/{id}", get(deal)).with_state(app)).await?)
}
