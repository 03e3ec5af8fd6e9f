//! How the questions refuse; `wire.rs` says how to read a row.

use crate::wire::Row;

pub(crate) const CHECK: &[Row] = &[
    ("Check", r#"{"store_id":"abc"}"#, "!CheckRequest.StoreId: {ulid}"),
    ("Check", r#"{"store_id":"01hvmmbck0000000000000000x"}"#, "!CheckRequest.StoreId: {ulid}"),
    ("Check", r#"{"store_id":"$STORE"}"#, "!CheckRequest.TupleKey: value is required => tuple_key_value_not_specified"),
    ("Check", r#"{"store_id":"$STORE","tuple_key":{}}"#, "!CheckRequest.TupleKey > CheckRequestTupleKey.User: {cuser}"),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"a"}}"#,
        "!CheckRequest.TupleKey > CheckRequestTupleKey.User: {cuser}",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"user:a b"}}"#,
        "!CheckRequest.TupleKey > CheckRequestTupleKey.User: {cuser}",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"user:$A508"}}"#,
        "!CheckRequest.TupleKey > CheckRequestTupleKey.User: {cuser}",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"user:a"}}"#,
        "!CheckRequest.TupleKey > CheckRequestTupleKey.Relation: {rel}",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"user:a","relation":"a#b"}}"#,
        "!CheckRequest.TupleKey > CheckRequestTupleKey.Relation: {rel}",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"user:a","relation":"$A51"}}"#,
        "!CheckRequest.TupleKey > CheckRequestTupleKey.Relation: {rel}",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"user:a","relation":"viewer"}}"#,
        "!CheckRequest.TupleKey > CheckRequestTupleKey.Object: {obj}",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"user:a","relation":"viewer","object":"document:$A248"}}"#,
        "!CheckRequest.TupleKey > CheckRequestTupleKey.Object: {obj}",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE",$KEY,"authorization_model_id":"x"}"#,
        "!CheckRequest.AuthorizationModelId: {ulid}",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE",$KEY,"contextual_tuples":{"tuple_keys":[{},{"user":"$A513"}]}}"#,
        "!CheckRequest.ContextualTuples > ContextualTupleKeys.TupleKeys[1] > TupleKey.User: value length must be at most 512 bytes",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE",$KEY,"contextual_tuples":{"tuple_keys":[{"relation":"a:b"}]}}"#,
        "!CheckRequest.ContextualTuples > ContextualTupleKeys.TupleKeys[0] > TupleKey.Relation: {rel}",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE",$KEY,"contextual_tuples":{"tuple_keys":[{"object":"a"}]}}"#,
        "!CheckRequest.ContextualTuples > ContextualTupleKeys.TupleKeys[0] > TupleKey.Object: {obj}",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE",$KEY,"contextual_tuples":{"tuple_keys":[{"condition":{"name":"c"}}]}}"#,
        "!CheckRequest.ContextualTuples > ContextualTupleKeys.TupleKeys[0] > TupleKey.Condition > RelationshipCondition.Name: {obj}",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE",$KEY,"contextual_tuples":{"tuple_keys":[$MANY101]}}"#,
        "!CheckRequest.ContextualTuples > ContextualTupleKeys.TupleKeys: value must contain no more than 100 item(s)",
    ),
    (
        "Check",
        r#"{"store_id":"$MISSING",$KEY}"#,
        "2020 latest_authorization_model_not_found: No authorization models found for store '$MISSING'",
    ),
    (
        "Check",
        r#"{"store_id":"$EMPTY",$KEY}"#,
        "2020 latest_authorization_model_not_found: No authorization models found for store '$EMPTY'",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE",$KEY,"authorization_model_id":"$MISSING"}"#,
        "2001 authorization_model_not_found: Authorization Model '$MISSING' not found",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE",$KEY,"authorization_model_id":"ZZZZZZZZZZZZZZZZZZZZZZZZZZ"}"#,
        "2001 authorization_model_not_found: Authorization Model 'ZZZZZZZZZZZZZZZZZZZZZZZZZZ' not found",
    ),
    ("Check", r#"{"store_id":"$STORE",$KEY}"#, "ok"),
    ("Check", r#"{"store_id":"$STORE",$KEY,"consistency":"HIGHER_CONSISTENCY"}"#, "ok"),
    ("Check", r#"{"store_id":"$STORE",$KEY,"consistency":100,"trace":true}"#, "ok"),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"anne","relation":"viewer","object":"document:1"}}"#,
        "2000 validation_error: {nouser}",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"a:b:c","relation":"viewer","object":"document:1"}}"#,
        "2000 validation_error: the 'user' field is malformed",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"user:a","relation":"viewer","object":"document"}}"#,
        "2000 validation_error: invalid 'object' field format",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"user:a","relation":"viewer","object":"document:*"}}"#,
        "2000 validation_error: the 'object' field cannot reference a typed wildcard",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"user:a\u0001","relation":"viewer","object":"document:1"}}"#,
        "2000 validation_error: request tuple_key contains forbidden characters",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"ghost:a","relation":"nope","object":"nope:1"}}"#,
        "2000 validation_error: type 'ghost' not found",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"group:a#nope","relation":"viewer","object":"document:1"}}"#,
        "2000 validation_error: relation 'group#nope' not found",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"user:a","relation":"viewer","object":"nope:1"}}"#,
        "2000 validation_error: type 'nope' not found",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"user:a","relation":"nope","object":"document:1"}}"#,
        "2000 validation_error: relation 'document#nope' not found",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE",$KEY,"contextual_tuples":{"tuple_keys":[{"user":"folder:1","relation":"viewer","object":"document:1"}]}}"#,
        "2027 invalid_tuple: Invalid tuple 'document:1#viewer@folder:1'. Reason: type 'folder' is not an allowed type restriction for 'document#viewer'",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE",$KEY,"contextual_tuples":{"tuple_keys":[{"user":"group:1#member","relation":"editor","object":"document:1"}]}}"#,
        "2027 invalid_tuple: Invalid tuple 'document:1#editor@group:1#member'. Reason: 'group#member' is not an allowed type restriction for 'document#editor'",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE",$KEY,"contextual_tuples":{"tuple_keys":[{"user":"user:*","relation":"editor","object":"document:1"}]}}"#,
        "2027 invalid_tuple: Invalid tuple 'document:1#editor@user:*'. Reason: the typed wildcard 'user:*' is not an allowed type restriction for 'document#editor'",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE",$KEY,"contextual_tuples":{"tuple_keys":[{"user":"user:a","relation":"","object":"document:1"}]}}"#,
        "2027 invalid_tuple: Invalid tuple 'document:1#@user:a'. Reason: the 'relation' field is malformed",
    ),
    (
        "Check",
        r#"{"store_id":"$STORE","tuple_key":{"user":"user:cond","relation":"conditional","object":"document:1"}}"#,
        "2000 validation_error: *failed to evaluate relationship condition: 'cond'",
    ),
];

pub(crate) const BATCH: &[Row] = &[
    ("BatchCheck", r#"{"store_id":"x"}"#, "!BatchCheckRequest.StoreId: {ulid}"),
    ("BatchCheck", r#"{"store_id":"$STORE"}"#, "!BatchCheckRequest.Checks: value must contain at least 1 item(s)"),
    (
        "BatchCheck",
        r#"{"store_id":"$STORE","checks":[{"correlation_id":"a"}]}"#,
        "!BatchCheckRequest.Checks[0] > BatchCheckItem.TupleKey: value is required => tuple_key_value_not_specified",
    ),
    (
        "BatchCheck",
        r#"{"store_id":"$STORE","checks":[{$KEY,"correlation_id":"a"},{$KEY}]}"#,
        "!BatchCheckRequest.Checks[1] > BatchCheckItem.CorrelationId: {corr}",
    ),
    (
        "BatchCheck",
        r#"{"store_id":"$STORE","checks":[{$KEY,"correlation_id":"a b"}]}"#,
        "!BatchCheckRequest.Checks[0] > BatchCheckItem.CorrelationId: {corr}",
    ),
    (
        "BatchCheck",
        r#"{"store_id":"$STORE","checks":[{$KEY,"correlation_id":"$A37"}]}"#,
        "!BatchCheckRequest.Checks[0] > BatchCheckItem.CorrelationId: {corr}",
    ),
    (
        "BatchCheck",
        r#"{"store_id":"$STORE","checks":[{"tuple_key":{"user":"a"},"correlation_id":"a"}]}"#,
        "!BatchCheckRequest.Checks[0] > BatchCheckItem.TupleKey > CheckRequestTupleKey.User: {cuser}",
    ),
    (
        "BatchCheck",
        r#"{"store_id":"$STORE","checks":[{$KEY,"correlation_id":"a"}],"authorization_model_id":"x"}"#,
        "!BatchCheckRequest.AuthorizationModelId: {ulid}",
    ),
    (
        "BatchCheck",
        r#"{"store_id":"$STORE","checks":[{$KEY,"correlation_id":"a"},{$KEY,"correlation_id":"a"}]}"#,
        "2000 validation_error: received duplicate correlation id: a",
    ),
    (
        "BatchCheck",
        r#"{"store_id":"$STORE","checks":[$CHECKS51]}"#,
        "2000 validation_error: batchCheck received 51 checks, the maximum allowed is 50 ",
    ),
    ("BatchCheck", r#"{"store_id":"$STORE","checks":[$CHECKS50]}"#, "ok"),
    (
        "BatchCheck",
        r#"{"store_id":"$EMPTY","checks":[$CHECKS51]}"#,
        "2020 latest_authorization_model_not_found: No authorization models found for store '$EMPTY'",
    ),
];

pub(crate) const LISTS: &[Row] = &[
    ("ListObjects", r#"{"store_id":"x"}"#, "!ListObjectsRequest.StoreId: {ulid}"),
    (
        "ListObjects",
        r#"{"store_id":"$STORE","authorization_model_id":"x"}"#,
        "!ListObjectsRequest.AuthorizationModelId: {ulid}",
    ),
    ("ListObjects", r#"{"store_id":"$STORE"}"#, "!ListObjectsRequest.Type: {type} => type_invalid_pattern"),
    ("ListObjects", r#"{"store_id":"$STORE","type":"document"}"#, "!ListObjectsRequest.Relation: {rel}"),
    (
        "ListObjects",
        r#"{"store_id":"$STORE","type":"document","relation":"viewer"}"#,
        "!ListObjectsRequest.User: value length must be between 1 and 512 bytes, inclusive",
    ),
    (
        "ListObjects",
        r#"{"store_id":"$STORE","type":"document","relation":"viewer","user":"$A513"}"#,
        "!ListObjectsRequest.User: value length must be between 1 and 512 bytes, inclusive",
    ),
    ("ListObjects", r#"{"store_id":"$STORE","type":"document","relation":"viewer","user":"user:a"}"#, "ok"),
    (
        "ListObjects",
        r#"{"store_id":"$STORE","type":"nope","relation":"viewer","user":"user:a"}"#,
        "2021 type_not_found: type 'nope' not found",
    ),
    (
        "ListObjects",
        r#"{"store_id":"$STORE","type":"document","relation":"nope","user":"user:a"}"#,
        "2022 relation_not_found: relation 'document#nope' not found",
    ),
    (
        "ListObjects",
        r#"{"store_id":"$STORE","type":"document","relation":"viewer","user":"ghost:a"}"#,
        "2000 validation_error: invalid 'user' value: type 'ghost' not found",
    ),
    (
        "ListObjects",
        r#"{"store_id":"$STORE","type":"document","relation":"viewer","user":"anne"}"#,
        "2000 validation_error: invalid 'user' value: {nouser}",
    ),
    (
        "ListObjects",
        r#"{"store_id":"$STORE","type":"document","relation":"viewer","user":"a:b:c"}"#,
        "2000 validation_error: invalid 'user' value: the 'user' field is malformed",
    ),
    (
        "ListObjects",
        r#"{"store_id":"$EMPTY","type":"document","relation":"viewer","user":"user:a"}"#,
        "2020 latest_authorization_model_not_found: No authorization models found for store '$EMPTY'",
    ),
    (
        "ListObjects",
        r#"{"store_id":"$STORE","type":"document","relation":"conditional","user":"user:cond"}"#,
        "2000 validation_error: *failed to evaluate relationship condition: 'cond'",
    ),
    (
        "StreamedListObjects",
        r#"{"store_id":"$STORE","type":"a:b"}"#,
        "!StreamedListObjectsRequest.Type: {type} => type_invalid_pattern",
    ),
    (
        "StreamedListObjects",
        r#"{"store_id":"$STORE","type":"document","relation":"nope","user":"user:a"}"#,
        "2022 relation_not_found: relation 'document#nope' not found",
    ),
    ("StreamedListObjects", r#"{"store_id":"$STORE","type":"document","relation":"viewer","user":"user:a"}"#, "ok"),
    ("ListUsers", r#"{"store_id":"$STORE","relation":"viewer"}"#, "!ListUsersRequest.Object: value is required"),
    (
        "ListUsers",
        r#"{"store_id":"$STORE","object":{"id":"1"}}"#,
        "!ListUsersRequest.Object > Object.Type: {type} => type_invalid_pattern",
    ),
    (
        "ListUsers",
        r#"{"store_id":"$STORE","object":{"type":"document"}}"#,
        "!ListUsersRequest.Object > Object.Id: value does not match regex pattern \"[^#:\\\\s]+$\"",
    ),
    (
        "ListUsers",
        r#"{"store_id":"$STORE","object":{"type":"document","id":"1"}}"#,
        "!ListUsersRequest.Relation: {rel}",
    ),
    (
        "ListUsers",
        r#"{"store_id":"$STORE","object":{"type":"document","id":"1"},"relation":"viewer"}"#,
        "!ListUsersRequest.UserFilters: value must contain exactly 1 item(s)",
    ),
    (
        "ListUsers",
        r#"{"store_id":"$STORE","object":{"type":"document","id":"1"},"relation":"viewer","user_filters":[{"type":"user"},{"type":"group"}]}"#,
        "!ListUsersRequest.UserFilters: value must contain exactly 1 item(s)",
    ),
    (
        "ListUsers",
        r#"{"store_id":"$STORE","object":{"type":"document","id":"1"},"relation":"viewer","user_filters":[{}]}"#,
        "!ListUsersRequest.UserFilters[0] > UserTypeFilter.Type: {type} => type_invalid_pattern",
    ),
    (
        "ListUsers",
        r#"{"store_id":"$STORE","object":{"type":"document","id":"1"},"relation":"viewer","user_filters":[{"type":"user","relation":"a b"}]}"#,
        "!ListUsersRequest.UserFilters[0] > UserTypeFilter.Relation: {rel}",
    ),
    (
        "ListUsers",
        r#"{"store_id":"$STORE","object":{"type":"document","id":"1"},"relation":"viewer","user_filters":[{"type":"user"}],"contextual_tuples":[$MANY101]}"#,
        "!ListUsersRequest.ContextualTuples: value must contain no more than 100 item(s)",
    ),
    (
        "ListUsers",
        r#"{"store_id":"$STORE","object":{"type":"document","id":"1"},"relation":"viewer","user_filters":[{"type":"user"}],"contextual_tuples":[{"object":"a"}]}"#,
        "!ListUsersRequest.ContextualTuples[0] > TupleKey.Object: {obj}",
    ),
    (
        "ListUsers",
        r#"{"store_id":"$STORE","object":{"type":"document","id":"1"},"relation":"viewer","user_filters":[{"type":"nope"}]}"#,
        "2021 type_not_found: type 'nope' not found",
    ),
    (
        "ListUsers",
        r#"{"store_id":"$STORE","object":{"type":"document","id":"1"},"relation":"viewer","user_filters":[{"type":"group","relation":"nope"}]}"#,
        "2022 relation_not_found: relation 'group#nope' not found",
    ),
    (
        "ListUsers",
        r#"{"store_id":"$STORE","object":{"type":"nope","id":"1"},"relation":"viewer","user_filters":[{"type":"user"}]}"#,
        "2021 type_not_found: type 'nope' not found",
    ),
    (
        "ListUsers",
        r#"{"store_id":"$STORE","object":{"type":"document","id":"1"},"relation":"nope","user_filters":[{"type":"user"}]}"#,
        "2022 relation_not_found: relation 'document#nope' not found",
    ),
    (
        "ListUsers",
        r#"{"store_id":"$STORE","object":{"type":"document","id":"1"},"relation":"viewer","user_filters":[{"type":"user"}]}"#,
        "ok",
    ),
    (
        "Expand",
        r#"{"store_id":"$STORE"}"#,
        "!ExpandRequest.TupleKey: value is required => tuple_key_value_not_specified",
    ),
    (
        "Expand",
        r#"{"store_id":"$STORE","tuple_key":{"relation":"a b"}}"#,
        "!ExpandRequest.TupleKey > ExpandRequestTupleKey.Relation: {rel}",
    ),
    (
        "Expand",
        r#"{"store_id":"$STORE","tuple_key":{"object":"a"}}"#,
        "!ExpandRequest.TupleKey > ExpandRequestTupleKey.Object: {obj}",
    ),
    (
        "Expand",
        r#"{"store_id":"$EMPTY","tuple_key":{}}"#,
        "2020 latest_authorization_model_not_found: No authorization models found for store '$EMPTY'",
    ),
    ("Expand", r#"{"store_id":"$STORE","tuple_key":{}}"#, "2010 invalid_expand_input: {expand}"),
    ("Expand", r#"{"store_id":"$STORE","tuple_key":{"relation":"viewer"}}"#, "2010 invalid_expand_input: {expand}"),
    ("Expand", r#"{"store_id":"$STORE","tuple_key":{"object":"document:1"}}"#, "2010 invalid_expand_input: {expand}"),
    (
        "Expand",
        r#"{"store_id":"$STORE","tuple_key":{"object":"document","relation":"viewer"}}"#,
        "2000 validation_error: invalid 'object' field format",
    ),
    (
        "Expand",
        r#"{"store_id":"$STORE","tuple_key":{"object":"nope:1","relation":"viewer"}}"#,
        "2000 validation_error: type 'nope' not found",
    ),
    (
        "Expand",
        r#"{"store_id":"$STORE","tuple_key":{"object":"document:1","relation":"nope"}}"#,
        "2000 validation_error: relation 'document#nope' not found",
    ),
    ("Expand", r#"{"store_id":"$STORE","tuple_key":{"object":"document:1","relation":"viewer"}}"#, "ok"),
];
