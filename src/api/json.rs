//! Wire messages as JSON, by the rules of protobuf's JSON mapping: unset scalars and lists are printed, unset messages too,
//! as `null`; unknown fields are ignored.

use crate::wire::{Code, Problem};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, ReflectMessage as _, SerializeOptions,
};
use serde_json::Value;
use std::sync::LazyLock;

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(super::DESCRIPTORS).ok());

fn internal<T>(_: T) -> Problem {
    Problem::new(Code::Internal, "Internal Server Error")
}

fn descriptor(name: &str) -> Result<MessageDescriptor, Problem> {
    let found = POOL.as_ref().and_then(|pool| pool.get_message_by_name(&format!("openfga.v1.{name}")));
    found.ok_or_else(|| internal(()))
}

/// Reads a message.
pub(super) fn from_json<T: Message + Default>(name: &str, value: &Value) -> Result<T, Problem> {
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let message = DynamicMessage::deserialize_with_options(descriptor(name)?, value, &options)
        .map_err(|error| Problem::new(Code::InvalidArgument, error.to_string()))?;
    T::decode(message.encode_to_vec().as_slice()).map_err(internal)
}

/// A message as a JSON value.
pub(super) fn to_value<T: Message>(name: &str, message: &T) -> Result<Value, Problem> {
    let message = DynamicMessage::decode(descriptor(name)?, message.encode_to_vec().as_slice()).map_err(internal)?;
    let options = SerializeOptions::new().skip_default_fields(false);
    let mut value = message.serialize_with_options(serde_json::value::Serializer, &options).map_err(internal)?;
    unset(&message.descriptor(), &mut value);
    Ok(value)
}

/// Adds `null` for messages that are not set, outside of `oneof`s.
fn unset(descriptor: &MessageDescriptor, value: &mut Value) {
    if descriptor.full_name().starts_with("google.") {
        return;
    }
    let Some(map) = value.as_object_mut() else { return };
    for field in descriptor.fields() {
        let kind = field.kind();
        let Some(inner) = kind.as_message() else { continue };
        match map.get_mut(field.json_name()) {
            None if field.containing_oneof().is_none() && !field.is_list() && !field.is_map() => {
                map.insert(field.json_name().into(), Value::Null);
            }
            None => {}
            Some(Value::Array(list)) if field.is_list() => list.iter_mut().for_each(|v| unset(inner, v)),
            Some(Value::Object(entries)) if field.is_map() => {
                let of = inner.map_entry_value_field().kind();
                if let Some(of) = of.as_message() {
                    entries.values_mut().for_each(|v| unset(of, v));
                }
            }
            Some(one) => unset(inner, one),
        }
    }
}
