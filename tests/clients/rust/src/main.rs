//! The crate `openfga-client`, unmodified, over gRPC: every call. Usage: bailiwick-client-check http://127.0.0.1:PORT

use openfga_client::client::*;
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

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let endpoint = std::env::args().nth(1).ok_or("which server?")?;
    let mut raw = OpenFgaServiceClient::connect(endpoint).await?;
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
    raw.delete_store(DeleteStoreRequest { store_id: id.clone() }).await?;
    assert!(raw.get_store(GetStoreRequest { store_id: id }).await.is_err());
    println!("openfga-client (Rust, gRPC): every call works");
    Ok(())
}
