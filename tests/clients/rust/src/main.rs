//! The crate `openfga-client`, unmodified, over gRPC and TLS: every call.
//! Usage: bailiwick-client-check https://127.0.0.1:PORT; SSL_CERT_FILE is the authority that the server is known by.

use openfga_client::client::*;
use openfga_client::migration::{AuthorizationModelVersion, MigrationFn, TupleModelManager};
use openfga_client::tonic::transport::{Certificate, Channel, ClientTlsConfig};
use tokio_stream::StreamExt as _;

type Failure = Box<dyn std::error::Error>;

fn model(store_id: &str) -> WriteAuthorizationModelRequest {
    let text = r#"{"schema_version": "1.1", "type_definitions": [
        {"type": "user"},
        {"type": "document",
         "relations": {"owner": {"this": {}}, "viewer": {"union": {"child": [{"this": {}}, {"computedUserset": {"relation": "owner"}}]}}},
         "metadata": {"relations": {
            "owner": {"directly_related_user_types": [{"type": "user"}]},
            "viewer": {"directly_related_user_types": [{"type": "user"}, {"type": "user", "wildcard": {}}]}}}}]}"#;
    let model: AuthorizationModel = serde_json::from_str(text).unwrap();
    WriteAuthorizationModelRequest {
        store_id: store_id.into(),
        type_definitions: model.type_definitions,
        schema_version: model.schema_version,
        conditions: model.conditions,
    }
}

fn key(user: &str, relation: &str, object: &str) -> TupleKey {
    TupleKey { user: user.into(), relation: relation.into(), object: object.into(), condition: None }
}

fn bare(tuple: &TupleKey) -> TupleKeyWithoutCondition {
    TupleKeyWithoutCondition {
        user: tuple.user.clone(),
        relation: tuple.relation.clone(),
        object: tuple.object.clone(),
    }
}

/// What the client adds to the service: options of writes, pages, sweeping deletes.
async fn helpers(fga: OpenFgaClient<Channel>) -> Result<(), Failure> {
    let fga = fga.set_consistency(ConsistencyPreference::HigherConsistency).set_max_tuples_per_write(40);
    assert_eq!(fga.consistency(), ConsistencyPreference::HigherConsistency);
    let tuples: Vec<TupleKey> = (0..40).map(|n| key(&format!("user:{n}"), "owner", "document:many")).collect();
    fga.write(tuples.clone(), None).await?;
    assert!(fga.write(tuples.clone(), None).await.is_err());
    fga.write_with_options(tuples.clone(), None, WriteOptions::new_idempotent()).await?;
    fga.write(None, vec![bare(&tuples[0])]).await?;
    assert!(fga.write(None, vec![bare(&tuples[0])]).await.is_err());
    fga.write_with_options(None, vec![bare(&tuples[0])], WriteOptions::new_idempotent()).await?;
    let of_object = ReadRequestTupleKey { object: "document:many".into(), ..Default::default() };
    let page = fga.read(10, of_object.clone(), None).await?.into_inner();
    assert!(page.tuples.len() == 10 && !page.continuation_token.is_empty());
    assert_eq!(fga.read_all_pages(Some(of_object), 10, 10).await?.len(), 39);
    let checks = tuples.iter().take(20).enumerate().map(|(n, tuple)| BatchCheckItem {
        tuple_key: Some(CheckRequestTupleKey {
            user: tuple.user.clone(),
            relation: "viewer".into(),
            object: tuple.object.clone(),
        }),
        correlation_id: n.to_string(),
        ..Default::default()
    });
    assert_eq!(fga.batch_check(checks).await?.len(), 20);
    let asked = ExpandRequestTupleKey { relation: "owner".into(), object: "document:many".into() };
    assert!(fga.expand(asked, None).await?.is_some());
    assert!(fga.exists_relation_to("document:many").await?);
    fga.delete_relations_to_object("document:many").await?;
    assert!(!fga.exists_relation_to("document:many").await?);
    Ok(())
}

/// The client's own manager of models, which keeps its state in tuples.
async fn migrations(mut raw: OpenFgaServiceClient<Channel>) -> Result<(), Failure> {
    let name = format!("migrated-{}", std::process::id());
    let text = r#"{"schema_version": "1.1", "type_definitions": [
        {"type": "auth_model_id"},
        {"type": "model_version",
         "relations": {"openfga_id": {"this": {}}, "exists": {"this": {}}},
         "metadata": {"relations": {
            "openfga_id": {"directly_related_user_types": [{"type": "auth_model_id"}]},
            "exists": {"directly_related_user_types": [{"type": "auth_model_id", "wildcard": {}}]}}}}]}"#;
    for _ in 0..2 {
        // The second run finds all done.
        let mut manager = TupleModelManager::new(raw.clone(), &name, "check")
            .add_model(
                serde_json::from_str(text)?,
                AuthorizationModelVersion::new(1, 0),
                None::<MigrationFn<_, _>>,
                None::<MigrationFn<_, _>>,
            )
            .add_model(
                serde_json::from_str(text)?,
                AuthorizationModelVersion::new(1, 1),
                None::<MigrationFn<_, _>>,
                None::<MigrationFn<_, _>>,
            );
        manager.migrate(()).await?;
        assert_eq!(manager.get_existing_versions().await?.len(), 2);
        assert!(manager.get_authorization_model_id(AuthorizationModelVersion::new(1, 1)).await?.is_some());
    }
    let store = raw.get_store_by_name(&name).await?.ok_or("the store of the migration is not there")?;
    assert_eq!(raw.get_or_create_store(&name).await?.id, store.id);
    raw.delete_store(DeleteStoreRequest { store_id: store.id }).await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let endpoint = std::env::args().nth(1).ok_or("which server?")?;
    let authority = Certificate::from_pem(std::fs::read(std::env::var("SSL_CERT_FILE")?)?);
    let tls = ClientTlsConfig::new().ca_certificate(authority);
    let mut raw = OpenFgaServiceClient::new(Channel::from_shared(endpoint)?.tls_config(tls)?.connect().await?);
    let store = raw.create_store(CreateStoreRequest { name: "rust-client".into() }).await?.into_inner();
    let id = store.id.clone();
    let got = raw.get_store(GetStoreRequest { store_id: id.clone() }).await?.into_inner();
    assert_eq!(got.name, "rust-client");
    let stores = raw.list_stores(ListStoresRequest {
        page_size: None,
        continuation_token: String::new(),
        name: "rust-client".into(),
    });
    assert_eq!(stores.await?.into_inner().stores.len(), 1);
    let written = raw.write_authorization_model(model(&id)).await?.into_inner().authorization_model_id;
    let read =
        raw.read_authorization_model(ReadAuthorizationModelRequest { store_id: id.clone(), id: written.clone() });
    assert_eq!(read.await?.into_inner().authorization_model.unwrap().type_definitions.len(), 2);
    let all =
        ReadAuthorizationModelsRequest { store_id: id.clone(), page_size: Some(10), continuation_token: String::new() };
    assert_eq!(raw.read_authorization_models(all).await?.into_inner().authorization_models.len(), 1);

    let fga = OpenFgaClient::new(raw.clone(), &id, &written);
    let tuples = vec![key("user:anne", "owner", "document:1"), key("user:*", "viewer", "document:2")];
    fga.write(tuples.clone(), None).await?;
    let again = fga.write(tuples.clone(), None).await;
    assert!(again.is_err_and(|e| format!("{e:?}").contains("already exists")), "a duplicate was taken");
    let ask = |user: &str, object: &str| CheckRequestTupleKey {
        user: user.into(),
        relation: "viewer".into(),
        object: object.into(),
    };
    assert!(fga.check_simple(ask("user:anne", "document:1")).await?);
    assert!(!fga.check_simple(ask("user:bob", "document:1")).await?);
    assert!(fga.check_simple(ask("user:bob", "document:2")).await?);
    assert!(
        fga.check(ask("user:bob", "document:1"), Some(vec![key("user:bob", "owner", "document:1")]), None, false)
            .await?
    );
    let wrong =
        fga.check_simple(CheckRequestTupleKey { relation: "nope".into(), ..ask("user:bob", "document:1") }).await;
    assert!(format!("{:?}", wrong.unwrap_err()).contains("document#nope"));

    let batch = BatchCheckRequest {
        store_id: id.clone(),
        checks: vec![BatchCheckItem {
            tuple_key: Some(ask("user:anne", "document:1")),
            contextual_tuples: None,
            context: None,
            correlation_id: "a".into(),
        }],
        authorization_model_id: written.clone(),
        consistency: 0,
    };
    assert_eq!(raw.batch_check(batch).await?.into_inner().result.len(), 1);
    let mut objects = fga.list_objects("document", "viewer", "user:anne", None, None).await?.into_inner().objects;
    objects.sort();
    assert_eq!(objects, ["document:1", "document:2"]);
    let request = StreamedListObjectsRequest {
        store_id: id.clone(),
        r#type: "document".into(),
        relation: "viewer".into(),
        user: "user:anne".into(),
        ..Default::default()
    };
    let mut stream = raw.streamed_list_objects(request).await?.into_inner();
    let mut count = 0;
    while let Some(item) = stream.next().await {
        item?;
        count += 1;
    }
    assert_eq!(count, 2);
    let users = ListUsersRequest {
        store_id: id.clone(),
        object: Some(Object { r#type: "document".into(), id: "1".into() }),
        relation: "viewer".into(),
        user_filters: vec![UserTypeFilter { r#type: "user".into(), relation: String::new() }],
        ..Default::default()
    };
    assert_eq!(raw.list_users(users).await?.into_inner().users.len(), 1);
    let expanded = ExpandRequest {
        store_id: id.clone(),
        tuple_key: Some(ExpandRequestTupleKey { relation: "viewer".into(), object: "document:1".into() }),
        ..Default::default()
    };
    assert!(raw.expand(expanded).await?.into_inner().tree.is_some());
    assert_eq!(
        raw.read(ReadRequest { store_id: id.clone(), ..Default::default() }).await?.into_inner().tuples.len(),
        2
    );
    let changes = ReadChangesRequest { store_id: id.clone(), ..Default::default() };
    assert_eq!(raw.read_changes(changes).await?.into_inner().changes.len(), 2);
    let assertion = Assertion {
        tuple_key: Some(AssertionTupleKey {
            object: "document:1".into(),
            relation: "viewer".into(),
            user: "user:anne".into(),
        }),
        expectation: true,
        ..Default::default()
    };
    let put = WriteAssertionsRequest {
        store_id: id.clone(),
        authorization_model_id: written.clone(),
        assertions: vec![assertion],
    };
    raw.write_assertions(put).await?;
    let get = ReadAssertionsRequest { store_id: id.clone(), authorization_model_id: written };
    assert_eq!(raw.read_assertions(get).await?.into_inner().assertions.len(), 1);
    helpers(fga).await?;
    migrations(raw.clone()).await?;
    raw.delete_store(DeleteStoreRequest { store_id: id.clone() }).await?;
    assert!(raw.get_store(GetStoreRequest { store_id: id }).await.is_err());
    println!("openfga-client (Rust, gRPC): every call works");
    Ok(())
}
