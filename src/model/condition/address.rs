//! The type `ipaddress`: a value of its own in CEL, with `in_cidr`.

use cel::common::types::{CelBool, CelString, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};
use std::any::Any;
use std::net::IpAddr;

static ADDRESS: Type = Type::new_unspecified_type("IPAddress");

/// An address; one of IPv4 that is written as IPv6 (`::ffff:10.0.0.1`) is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address(IpAddr);

impl Address {
    /// Reads an address; a zone (`fe80::1%eth0`) is none.
    pub(super) fn parse(text: &str) -> Option<Address> {
        text.parse().ok().map(|address: IpAddr| Address(address.to_canonical()))
    }
}

impl Val for Address {
    fn get_type(&self) -> &Type {
        &ADDRESS
    }
    fn cel_type() -> &'static Type {
        &ADDRESS
    }
    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Address>() == Some(self)
    }
    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(*self)
    }
    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Address {}

/// Declares `ipaddress(string)` and `ipaddress.in_cidr(string)`.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    use cel::common::types::STRING_TYPE;
    env.add_overload("ipaddress", "string_to_ipaddress", vec![STRING_TYPE], from_string)?;
    env.add_member_overload("in_cidr", "ipaddr_in_cidr", ADDRESS.to_owned(), vec![STRING_TYPE], in_cidr)
}

fn text<'b>(args: &'b [CowVal<'_, '_>], at: usize, function: &str) -> Result<&'b str, ExecutionError> {
    let value = args.get(at).and_then(|v| v.downcast_ref::<CelString<'_>>());
    value.map(|v| v.inner()).ok_or_else(|| ExecutionError::function_error(function, "expected a string"))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that cel wants of a function")]
fn from_string<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = text(&args, 0, "ipaddress")?;
    let fault = || ExecutionError::function_error("ipaddress", format!("`{text}` is no IP address"));
    Ok(CowVal::owned(Address::parse(text).ok_or_else(fault)?))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that cel wants of a function")]
fn in_cidr<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let cidr = text(&args, 1, "in_cidr")?;
    let fault = || ExecutionError::function_error("in_cidr", format!("'{cidr}' is a malformed CIDR string"));
    let network: ipnet::IpNet = cidr.parse().map_err(|_| fault())?;
    let address = args.first().and_then(|v| v.downcast_ref::<Address>()).ok_or_else(fault)?;
    Ok(CowVal::owned(CelBool::from(network.contains(&address.0))))
}
