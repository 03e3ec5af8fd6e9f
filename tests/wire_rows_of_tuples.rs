//! How the calls about tuples, models, assertions and stores refuse; `wire.rs` says how to read a row.

use crate::wire::Row;

pub(crate) const STORES: &[Row] = &[
    ("CreateStore", r#"{}"#, "!CreateStoreRequest.Name: {name}"),
    ("CreateStore", r#"{"name":"ab"}"#, "!CreateStoreRequest.Name: {name}"),
    ("CreateStore", r#"{"name":"$A65"}"#, "!CreateStoreRequest.Name: {name}"),
    ("CreateStore", r#"{"name":"a!b"}"#, "!CreateStoreRequest.Name: {name}"),
    ("CreateStore", r#"{"name":"naïve"}"#, "!CreateStoreRequest.Name: {name}"),
    ("CreateStore", r#"{"name":"a b/c^d_e&f@g.h-i"}"#, "ok"),
    ("CreateStore", r#"{"name":"$A64"}"#, "ok"),
    ("GetStore", r#"{"store_id":"$MISSING"}"#, "5002 store_id_not_found: Store ID not found"),
    ("GetStore", r#"{"store_id":"abc"}"#, "!GetStoreRequest.StoreId: {ulid}"),
    ("GetStore", r#"{"store_id":"$STORE"}"#, "ok"),
    ("DeleteStore", r#"{"store_id":"abc"}"#, "!DeleteStoreRequest.StoreId: {ulid}"),
    ("DeleteStore", r#"{"store_id":"$MISSING"}"#, "ok"),
    ("UpdateStore", r#"{"store_id":"abc","name":"abc"}"#, "!UpdateStoreRequest.StoreId: {ulid}"),
    ("UpdateStore", r#"{"store_id":"$STORE","name":"a"}"#, "!UpdateStoreRequest.Name: {name}"),
    ("UpdateStore", r#"{"store_id":"$STORE","name":"abc"}"#, "12 unimplemented: method UpdateStore not implemented"),
    ("ListStores", r#"{"page_size":0}"#, "!ListStoresRequest.PageSize: {range} => page_size_invalid"),
    ("ListStores", r#"{"page_size":101}"#, "!ListStoresRequest.PageSize: {range} => page_size_invalid"),
    ("ListStores", r#"{"page_size":100}"#, "ok"),
    ("ListStores", r#"{"name":"a"}"#, "!ListStoresRequest.Name: {name}"),
    ("ListStores", r#"{"continuation_token":"a.b"}"#, "!ListStoresRequest.ContinuationToken: {token}"),
    (
        "ListStores",
        r#"{"continuation_token":"$A5121"}"#,
        "!ListStoresRequest.ContinuationToken: value length must be at most 5120 bytes",
    ),
    ("ListStores", r#"{"continuation_token":"abcd"}"#, "2007 invalid_continuation_token: Invalid continuation token"),
];

pub(crate) const WRITE: &[Row] = &[
    ("Write", r#"{"store_id":"x"}"#, "!WriteRequest.StoreId: {ulid}"),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{}}"#,
        "!WriteRequest.Writes > WriteRequestWrites.TupleKeys: value must contain at least 1 item(s)",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","deletes":{"tuple_keys":[]}}"#,
        "!WriteRequest.Deletes > WriteRequestDeletes.TupleKeys: value must contain at least 1 item(s)",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[{"relation":"a b"}]}}"#,
        "!WriteRequest.Writes > WriteRequestWrites.TupleKeys[0] > TupleKey.Relation: {rel}",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","deletes":{"tuple_keys":[{"object":"a"}]}}"#,
        "!WriteRequest.Deletes > WriteRequestDeletes.TupleKeys[0] > TupleKeyWithoutCondition.Object: {obj}",
    ),
    ("Write", r#"{"store_id":"$STORE","authorization_model_id":"x"}"#, "!WriteRequest.AuthorizationModelId: {ulid}"),
    (
        "Write",
        r#"{"store_id":"$STORE"}"#,
        "2003 invalid_write_input: Invalid input. Make sure you provide at least one write, or at least one delete",
    ),
    (
        "Write",
        r#"{"store_id":"$EMPTY"}"#,
        "2020 latest_authorization_model_not_found: No authorization models found for store '$EMPTY'",
    ),
    (
        "Write",
        r#"{"store_id":"$EMPTY","deletes":{"tuple_keys":[$T1]}}"#,
        "2020 latest_authorization_model_not_found: No authorization models found for store '$EMPTY'",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[$T1],"on_duplicate":"maybe"}}"#,
        "2000 validation_error: invalid on_duplicate option: maybe",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","deletes":{"tuple_keys":[$T1],"on_missing":"maybe"}}"#,
        "2000 validation_error: invalid on_missing option: maybe",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[{"user":"anne","relation":"viewer","object":"document:1"}]}}"#,
        "2000 validation_error: Invalid tuple 'document:1#viewer@anne'. Reason: {nouser}",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[{"relation":"viewer","object":"document:1"}]}}"#,
        "2000 validation_error: Invalid tuple 'document:1#viewer@'. Reason: the 'user' field is malformed",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[{"user":"user:a","relation":"viewer"}]}}"#,
        "2000 validation_error: Invalid tuple '#viewer@user:a'. Reason: invalid 'object' field format",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[{"user":"user:a","relation":"viewer","object":"nope:1"}]}}"#,
        "2000 validation_error: Invalid tuple 'nope:1#viewer@user:a'. Reason: type 'nope' not found",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[{"user":"user:a","relation":"nope","object":"document:1"}]}}"#,
        "2000 validation_error: Invalid tuple 'document:1#nope@user:a'. Reason: relation 'document#nope' not found",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[{"user":"folder:1","relation":"viewer","object":"document:1"}]}}"#,
        "2000 validation_error: Invalid tuple 'document:1#viewer@folder:1'. Reason: type 'folder' is not an allowed type restriction for 'document#viewer'",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[{"user":"group:1#member","relation":"member","object":"group:1"}]}}"#,
        "2000 validation_error: Invalid tuple 'group:1#member@group:1#member'. Reason: cannot write a tuple that is implicit",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[{"user":"folder:1#viewer","relation":"parent","object":"document:1"}]}}"#,
        "2000 validation_error: Invalid tuple 'document:1#parent@folder:1#viewer'. Reason: unexpected user 'folder:1#viewer' with tupleset relation 'document#parent'",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[{"user":"folder:*","relation":"parent","object":"document:1"}]}}"#,
        "2000 validation_error: Invalid tuple 'document:1#parent@folder:*'. Reason: unexpected wildcard relationship with tupleset relation 'document#parent'",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[{"user":"user:a","relation":"conditional","object":"document:1"}]}}"#,
        "2000 validation_error: Invalid tuple 'document:1#conditional@user:a'. Reason: condition is missing",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[{"user":"user:a","relation":"conditional","object":"document:1","condition":{"name":"nope"}}]}}"#,
        "2000 validation_error: Invalid tuple 'document:1#conditional@user:a (condition nope)'. Reason: undefined condition",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[{"user":"user:a","relation":"viewer","object":"document:1","condition":{"name":"cond"}}]}}"#,
        "2000 validation_error: Invalid tuple 'document:1#viewer@user:a (condition cond)'. Reason: invalid condition for type restriction",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[{"user":"user:a","relation":"conditional","object":"document:1","condition":{"name":"cond","context":{"y":1}}}]}}"#,
        "2000 validation_error: Invalid tuple 'document:1#conditional@user:a (condition cond)'. Reason: found invalid context parameter: y",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[{"user":"user:a","relation":"conditional","object":"document:1","condition":{"name":"cond","context":{"x":"$A32768"}}}]}}"#,
        "2000 validation_error: *condition context size limit exceeded: 32",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[$T9,$T9]}}"#,
        "2004 cannot_allow_duplicate_tuples_in_one_request: duplicate tuple in write: user: 'user:t9', relation: 'viewer', object: 'document:1'",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[$T1]},"deletes":{"tuple_keys":[$T1]}}"#,
        "2004 cannot_allow_duplicate_tuples_in_one_request: duplicate tuple in write: user: 'user:t1', relation: 'viewer', object: 'document:1'",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[$MANY101]}}"#,
        "2053 exceeded_entity_limit: The number of write operations exceeds the allowed limit of 100",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[$T1]}}"#,
        "2017 write_failed_due_to_invalid_input: cannot write a tuple which already exists: user: 'user:t1', relation: 'viewer', object: 'document:1': tuple to be written already existed or the tuple to be deleted did not exist",
    ),
    ("Write", r#"{"store_id":"$STORE","writes":{"tuple_keys":[$T1],"on_duplicate":"ignore"}}"#, "ok"),
    (
        "Write",
        r#"{"store_id":"$STORE","deletes":{"tuple_keys":[$T9]}}"#,
        "2017 write_failed_due_to_invalid_input: cannot delete a tuple which does not exist: user: 'user:t9', relation: 'viewer', object: 'document:1': tuple to be written already existed or the tuple to be deleted did not exist",
    ),
    ("Write", r#"{"store_id":"$STORE","deletes":{"tuple_keys":[$T9],"on_missing":"ignore"}}"#, "ok"),
    (
        "Write",
        r#"{"store_id":"$STORE","deletes":{"tuple_keys":[{"user":"a:b:c","relation":"viewer","object":"document:1"}]}}"#,
        "2000 validation_error: Invalid tuple 'document:1#viewer@a:b:c'. Reason: the 'user' field is malformed",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","deletes":{"tuple_keys":[{"user":"user:a","relation":"viewer","object":"document"}]}}"#,
        "2017 write_failed_due_to_invalid_input: cannot delete a tuple which does not exist: user: 'user:a', relation: 'viewer', object: 'document': tuple to be written already existed or the tuple to be deleted did not exist",
    ),
    (
        "Write",
        r#"{"store_id":"$STORE","writes":{"tuple_keys":[{"user":"user:cond","relation":"conditional","object":"document:1","condition":{"name":"cond","context":{"x":5}}}],"on_duplicate":"ignore"}}"#,
        "10 Aborted: *transactional write failed due to conflict",
    ),
];

pub(crate) const READ: &[Row] = &[
    ("Read", r#"{"store_id":"x"}"#, "!ReadRequest.StoreId: {ulid}"),
    (
        "Read",
        r#"{"store_id":"$STORE","tuple_key":{"user":"anne"}}"#,
        "!ReadRequest.TupleKey > ReadRequestTupleKey.User: {ruser}",
    ),
    (
        "Read",
        r#"{"store_id":"$STORE","tuple_key":{"user":"user:$A508"}}"#,
        "!ReadRequest.TupleKey > ReadRequestTupleKey.User: value length must be at most 512 bytes",
    ),
    (
        "Read",
        r#"{"store_id":"$STORE","tuple_key":{"relation":"a b"}}"#,
        "!ReadRequest.TupleKey > ReadRequestTupleKey.Relation: {rel}",
    ),
    (
        "Read",
        r#"{"store_id":"$STORE","tuple_key":{"object":"a"}}"#,
        "!ReadRequest.TupleKey > ReadRequestTupleKey.Object: {obj}",
    ),
    ("Read", r#"{"store_id":"$STORE","page_size":0}"#, "!ReadRequest.PageSize: {range} => page_size_invalid"),
    ("Read", r#"{"store_id":"$STORE","page_size":101}"#, "!ReadRequest.PageSize: {range} => page_size_invalid"),
    ("Read", r#"{"store_id":"$STORE","continuation_token":"=="}"#, "!ReadRequest.ContinuationToken: {token}"),
    (
        "Read",
        r#"{"store_id":"$STORE","continuation_token":"bm90IG91cnM="}"#,
        "2007 invalid_continuation_token: Invalid continuation token",
    ),
    ("Read", r#"{"store_id":"$STORE","tuple_key":{}}"#, "2000 validation_error: {readkey}"),
    ("Read", r#"{"store_id":"$STORE","tuple_key":{"object":"document:"}}"#, "2000 validation_error: {readkey}"),
    ("Read", r#"{"store_id":"$STORE","tuple_key":{"user":"user:a","object":"document:"}}"#, "ok"),
    ("Read", r#"{"store_id":"$STORE"}"#, "ok"),
    ("Read", r#"{"store_id":"$MISSING"}"#, "ok"),
    ("ReadChanges", r#"{"store_id":"x"}"#, "!ReadChangesRequest.StoreId: {ulid}"),
    (
        "ReadChanges",
        r#"{"store_id":"$STORE","type":"a:b"}"#,
        "!ReadChangesRequest.Type: value does not match regex pattern \"^[^:#\\\\s]{1,254}$\" => type_invalid_pattern",
    ),
    (
        "ReadChanges",
        r#"{"store_id":"$STORE","page_size":0}"#,
        "!ReadChangesRequest.PageSize: value must be greater than or equal to 1",
    ),
    ("ReadChanges", r#"{"store_id":"$STORE","page_size":1000}"#, "ok"),
    (
        "ReadChanges",
        r#"{"store_id":"$STORE","continuation_token":"a.b"}"#,
        "!ReadChangesRequest.ContinuationToken: {token}",
    ),
    (
        "ReadChanges",
        r#"{"store_id":"$STORE","continuation_token":"bm90IG91cnM"}"#,
        "2007 invalid_continuation_token: Invalid continuation token",
    ),
    ("ReadChanges", r#"{"store_id":"$STORE","continuation_token":"$CHANGES"}"#, "ok"),
    (
        "ReadChanges",
        r#"{"store_id":"$STORE","type":"folder","continuation_token":"$CHANGES"}"#,
        "2052 query_string_type_continuation_token_mismatch: The type in the querystring and the continuation token don't match",
    ),
    (
        "ReadChanges",
        r#"{"store_id":"$STORE","start_time":"1969-12-31T23:59:59Z"}"#,
        "2059 invalid_start_time: Invalid start time",
    ),
    (
        "ReadChanges",
        r#"{"store_id":"$STORE","start_time":"1969-12-31T23:59:59Z","continuation_token":"$CHANGES"}"#,
        "ok",
    ),
    (
        "ReadChanges",
        r#"{"store_id":"$STORE","start_time":"2999-01-01T00:00:00Z"}"#,
        "!ReadChangesRequest.StartTime: value must be less than now",
    ),
    ("ReadChanges", r#"{"store_id":"$MISSING"}"#, "ok"),
];

pub(crate) const MODELS: &[Row] = &[
    ("ReadAuthorizationModel", r#"{"store_id":"$STORE","id":"x"}"#, "!ReadAuthorizationModelRequest.Id: {ulid}"),
    (
        "ReadAuthorizationModel",
        r#"{"store_id":"$STORE","id":"$MISSING"}"#,
        "2001 authorization_model_not_found: Authorization Model '$MISSING' not found",
    ),
    (
        "ReadAuthorizationModel",
        r#"{"store_id":"$MISSING","id":"$MODEL"}"#,
        "2001 authorization_model_not_found: Authorization Model '$MODEL' not found",
    ),
    ("ReadAuthorizationModel", r#"{"store_id":"$STORE","id":"$MODEL"}"#, "ok"),
    (
        "ReadAuthorizationModels",
        r#"{"store_id":"$STORE","page_size":101}"#,
        "!ReadAuthorizationModelsRequest.PageSize: {range} => page_size_invalid",
    ),
    (
        "ReadAuthorizationModels",
        r#"{"store_id":"$STORE","continuation_token":"abcd"}"#,
        "2007 invalid_continuation_token: Invalid continuation token",
    ),
    ("ReadAuthorizationModels", r#"{"store_id":"$MISSING"}"#, "ok"),
    (
        "WriteAuthorizationModel",
        r#"{"store_id":"$STORE"}"#,
        "!WriteAuthorizationModelRequest.TypeDefinitions: value must contain at least 1 item(s) => type_definitions_too_few_items",
    ),
    (
        "WriteAuthorizationModel",
        r#"{"store_id":"$STORE","type_definitions":[{}]}"#,
        "!WriteAuthorizationModelRequest.TypeDefinitions[0] > TypeDefinition.Type: {type} => type_invalid_pattern",
    ),
    (
        "WriteAuthorizationModel",
        r#"{"store_id":"$STORE","type_definitions":[{"type":"user"}]}"#,
        "!WriteAuthorizationModelRequest.SchemaVersion: value must be in list [1.0 1.1 1.2]",
    ),
    (
        "WriteAuthorizationModel",
        r#"{"store_id":"$STORE","type_definitions":[{"type":"user","relations":{"a b":{}}}]}"#,
        "!WriteAuthorizationModelRequest.TypeDefinitions[0] > key for TypeDefinition.Relations[a b]: {rel} => relations_invalid_pattern",
    ),
    (
        "WriteAuthorizationModel",
        r#"{"store_id":"$STORE","type_definitions":[{"type":"user","relations":{"r":{"computed_userset":{"relation":"$A51"}}}}]}"#,
        "!WriteAuthorizationModelRequest.TypeDefinitions[0] > TypeDefinition.Relations[r] > Userset.ComputedUserset > ObjectRelation.Relation: value length must be at most 50 bytes => relation_too_long",
    ),
    (
        "WriteAuthorizationModel",
        r#"{"store_id":"$STORE","type_definitions":[{"type":"user","relations":{"r":{"difference":{"subtract":{"this":{}}}}}}]}"#,
        "!WriteAuthorizationModelRequest.TypeDefinitions[0] > TypeDefinition.Relations[r] > Userset.Difference > Difference.Base: value is required => difference_base_missing_value",
    ),
    (
        "WriteAuthorizationModel",
        r#"{"store_id":"$STORE","type_definitions":[{"type":"user","relations":{"r":{"difference":{"base":{"this":{}}}}}}]}"#,
        "!WriteAuthorizationModelRequest.TypeDefinitions[0] > TypeDefinition.Relations[r] > Userset.Difference > Difference.Subtract: value is required => subtract_base_missing_value",
    ),
    (
        "WriteAuthorizationModel",
        r#"{"store_id":"$STORE","type_definitions":[{"type":"user","relations":{"r":{"union":{"child":[{"this":{}},{"tuple_to_userset":{}}]}}}}]}"#,
        "!WriteAuthorizationModelRequest.TypeDefinitions[0] > TypeDefinition.Relations[r] > Userset.Union > Usersets.Child[1] > Userset.TupleToUserset > TupleToUserset.Tupleset: value is required",
    ),
    (
        "WriteAuthorizationModel",
        r#"{"store_id":"$STORE","type_definitions":[{"type":"user","metadata":{"relations":{"r":{"directly_related_user_types":[{"type":"a b"}]}}}}]}"#,
        "!WriteAuthorizationModelRequest.TypeDefinitions[0] > TypeDefinition.Metadata > Metadata.Relations[r] > RelationMetadata.DirectlyRelatedUserTypes[0] > RelationReference.Type: {type} => type_invalid_pattern",
    ),
    (
        "WriteAuthorizationModel",
        r#"{"store_id":"$STORE","schema_version":"1.1","type_definitions":[{"type":"user"}],"conditions":{"c":{"name":"c","expression":"$A513"}}}"#,
        "!WriteAuthorizationModelRequest.Conditions[c] > Condition.Expression: value length must be at most 512 bytes",
    ),
    (
        "WriteAuthorizationModel",
        r#"{"store_id":"$STORE","schema_version":"1.1","type_definitions":[{"type":"user"}],"conditions":{$CONDITIONS26}}"#,
        "!WriteAuthorizationModelRequest.Conditions: value must contain no more than 25 pair(s)",
    ),
    (
        "WriteAuthorizationModel",
        r#"{"store_id":"$STORE","schema_version":"1.1","type_definitions":[$TYPES101]}"#,
        "2053 exceeded_entity_limit: The number of type definitions in an authorization model exceeds the allowed limit of 100",
    ),
    (
        "WriteAuthorizationModel",
        r#"{"store_id":"$STORE","schema_version":"1.1","type_definitions":[{"type":"user","relations":{$RELATIONS5000}}]}"#,
        "2053 exceeded_entity_limit: *model exceeds size limit: ",
    ),
    (
        "WriteAuthorizationModel",
        r#"{"store_id":"$STORE","schema_version":"1.1","type_definitions":[{"type":"d","relations":{"r":{"computed_userset":{"relation":"nope"}}}}]}"#,
        "2056 invalid_authorization_model: *nope",
    ),
    (
        "WriteAuthorizationModel",
        r#"{"store_id":"$OTHER","schema_version":"1.1","type_definitions":[{"type":"user"}]}"#,
        "ok",
    ),
    (
        "WriteAssertions",
        r#"{"store_id":"$STORE","authorization_model_id":"x"}"#,
        "!WriteAssertionsRequest.AuthorizationModelId: {ulid}",
    ),
    (
        "WriteAssertions",
        r#"{"store_id":"$STORE","authorization_model_id":"$MODEL","assertions":[$ASSERTIONS101]}"#,
        "!WriteAssertionsRequest.Assertions: value must contain no more than 100 item(s) => assertions_too_many_items",
    ),
    (
        "WriteAssertions",
        r#"{"store_id":"$STORE","authorization_model_id":"$MODEL","assertions":[{}]}"#,
        "!WriteAssertionsRequest.Assertions[0] > Assertion.TupleKey: value is required => tuple_key_value_not_specified",
    ),
    (
        "WriteAssertions",
        r#"{"store_id":"$STORE","authorization_model_id":"$MODEL","assertions":[{"tuple_key":{"user":"a"}}]}"#,
        "!WriteAssertionsRequest.Assertions[0] > Assertion.TupleKey > AssertionTupleKey.Object: {obj}",
    ),
    (
        "WriteAssertions",
        r#"{"store_id":"$STORE","authorization_model_id":"$MODEL","assertions":[{$KEY,"contextual_tuples":[$MANY21]}]}"#,
        "!WriteAssertionsRequest.Assertions[0] > Assertion.ContextualTuples: value must contain no more than 20 item(s)",
    ),
    (
        "WriteAssertions",
        r#"{"store_id":"$STORE","authorization_model_id":"$MISSING","assertions":[]}"#,
        "2001 authorization_model_not_found: Authorization Model '$MISSING' not found",
    ),
    (
        "WriteAssertions",
        r#"{"store_id":"$STORE","authorization_model_id":"$MODEL","assertions":[{"tuple_key":{"user":"user:a","relation":"viewer","object":"nope:1"}}]}"#,
        "2000 validation_error: type 'nope' not found",
    ),
    (
        "WriteAssertions",
        r#"{"store_id":"$STORE","authorization_model_id":"$MODEL","assertions":[{"tuple_key":{"user":"user:a","relation":"nope","object":"document:1"}}]}"#,
        "2000 validation_error: relation 'document#nope' not found",
    ),
    (
        "WriteAssertions",
        r#"{"store_id":"$STORE","authorization_model_id":"$MODEL","assertions":[{$KEY,"expectation":true,"context":{"x":"$A64000"}}]}"#,
        "2053 exceeded_entity_limit: The number of bytes exceeds the allowed limit of 64000",
    ),
    (
        "WriteAssertions",
        r#"{"store_id":"$STORE","authorization_model_id":"$MODEL","assertions":[{$KEY,"expectation":true}]}"#,
        "ok",
    ),
    (
        "ReadAssertions",
        r#"{"store_id":"$STORE","authorization_model_id":"x"}"#,
        "!ReadAssertionsRequest.AuthorizationModelId: {ulid}",
    ),
    ("ReadAssertions", r#"{"store_id":"$STORE","authorization_model_id":"$MISSING"}"#, "ok"),
];
