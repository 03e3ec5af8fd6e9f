//! What the resources are made of (RFC 7643): the tables by which bodies are read, paths are found and `/Schemas` is answered.

use serde_json::{Value, json};

/// Of which type a value is (RFC 7643 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Boolean,
    Integer,
    DateTime,
    Reference,
    Complex,
}

/// Who may write it (RFC 7643 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutability {
    ReadWrite,
    ReadOnly,
    Immutable,
}

/// When it is answered (RFC 7643 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returned {
    Always,
    Default,
    Request,
}

/// One attribute, and those within it.
#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) kind: Type,
    pub(super) many: bool,
    pub(super) required: bool,
    pub(super) case_exact: bool,
    pub(super) mutability: Mutability,
    pub(super) returned: Returned,
    pub(super) unique: bool,
    pub(super) within: &'static [Attribute],
    values: &'static [&'static str],
    refers: &'static [&'static str],
    description: &'static str,
}

impl PartialEq for Attribute {
    fn eq(&self, other: &Attribute) -> bool {
        std::ptr::eq(self, other) || (self.name == other.name && self.description == other.description)
    }
}

const fn of(name: &'static str, kind: Type, description: &'static str) -> Attribute {
    Attribute {
        name,
        kind,
        many: false,
        required: false,
        case_exact: false,
        mutability: Mutability::ReadWrite,
        returned: Returned::Default,
        unique: false,
        within: &[],
        values: &[],
        refers: &[],
        description,
    }
}

const fn text(name: &'static str, description: &'static str) -> Attribute {
    of(name, Type::Text, description)
}

const fn flag(name: &'static str, description: &'static str) -> Attribute {
    of(name, Type::Boolean, description)
}

const fn complex(name: &'static str, within: &'static [Attribute], description: &'static str) -> Attribute {
    Attribute { within, ..of(name, Type::Complex, description) }
}

const fn refers(name: &'static str, refers: &'static [&'static str], description: &'static str) -> Attribute {
    Attribute { refers, case_exact: true, ..of(name, Type::Reference, description) }
}

impl Attribute {
    const fn many(self) -> Attribute {
        Attribute { many: true, ..self }
    }

    const fn required(self) -> Attribute {
        Attribute { required: true, ..self }
    }

    const fn exact(self) -> Attribute {
        Attribute { case_exact: true, ..self }
    }

    const fn read_only(self) -> Attribute {
        Attribute { mutability: Mutability::ReadOnly, ..self }
    }

    const fn immutable(self) -> Attribute {
        Attribute { mutability: Mutability::Immutable, ..self }
    }

    const fn unique(self) -> Attribute {
        Attribute { unique: true, ..self }
    }

    const fn always(self) -> Attribute {
        Attribute { returned: Returned::Always, ..self }
    }

    const fn on_request(self) -> Attribute {
        Attribute { returned: Returned::Request, ..self }
    }

    const fn one_of(self, values: &'static [&'static str]) -> Attribute {
        Attribute { values, ..self }
    }

    /// The attribute within it of a name; small and large letters are the same (RFC 7643 2.1).
    pub(super) fn inner(&self, name: &str) -> Option<&'static Attribute> {
        self.within.iter().find(|inner| inner.name.eq_ignore_ascii_case(name))
    }

    /// As `/Schemas` has it (RFC 7643 7).
    fn json(&self) -> Value {
        let kind = match self.kind {
            Type::Text => "string",
            Type::Boolean => "boolean",
            Type::Integer => "integer",
            Type::DateTime => "dateTime",
            Type::Reference => "reference",
            Type::Complex => "complex",
        };
        let mutability = match self.mutability {
            Mutability::ReadWrite => "readWrite",
            Mutability::ReadOnly => "readOnly",
            Mutability::Immutable => "immutable",
        };
        let returned = match self.returned {
            Returned::Always => "always",
            Returned::Default => "default",
            Returned::Request => "request",
        };
        let mut json = json!({
            "name": self.name, "type": kind, "multiValued": self.many, "description": self.description,
            "required": self.required, "caseExact": self.case_exact, "mutability": mutability, "returned": returned,
            "uniqueness": if self.unique { "server" } else { "none" },
        });
        if let Some(members) = json.as_object_mut() {
            if !self.within.is_empty() {
                let within: Vec<Value> = self.within.iter().map(Attribute::json).collect();
                members.insert("subAttributes".to_owned(), within.into());
            }
            if !self.values.is_empty() {
                members.insert("canonicalValues".to_owned(), json!(self.values));
            }
            if !self.refers.is_empty() {
                members.insert("referenceTypes".to_owned(), json!(self.refers));
            }
        }
        json
    }
}

/// A schema: its URN, its attributes, and what they are for.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) urn: &'static str,
    name: &'static str,
    pub(super) attributes: &'static [Attribute],
    description: &'static str,
}

impl Schema {
    /// The attribute of a name; small and large letters are the same.
    pub(super) fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        self.attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
    }
}

const PRIMARY: Attribute = flag("primary", "Whether it is the one that is meant when none is named; at most one is.");
const DISPLAY: Attribute = text("display", "What people call it.");

const NAME: &[Attribute] = &[
    text("formatted", "The full name, as it is shown."),
    text("familyName", "The family name."),
    text("givenName", "The given name."),
    text("middleName", "The middle names."),
    text("honorificPrefix", "What stands before the name."),
    text("honorificSuffix", "What stands behind the name."),
];
const KIND: Attribute = text("type", "What it is for.");
const EMAIL: &[Attribute] = &[text("value", "The address."), DISPLAY, KIND.one_of(&["work", "home", "other"]), PRIMARY];
const PHONE: &[Attribute] = &[
    text("value", "The number."),
    DISPLAY,
    KIND.one_of(&["work", "home", "mobile", "fax", "pager", "other"]),
    PRIMARY,
];
const PHOTO: &[Attribute] =
    &[refers("value", &["external"], "Where the picture is."), DISPLAY, KIND.one_of(&["photo", "thumbnail"]), PRIMARY];
const LABEL: &[Attribute] = &[text("value", "What it is."), DISPLAY, KIND, PRIMARY];
const ADDRESS: &[Attribute] = &[
    text("formatted", "All of it, as it is written on a letter."),
    text("streetAddress", "Street and number."),
    text("locality", "The town."),
    text("region", "The state or region."),
    text("postalCode", "The postal code."),
    text("country", "The country."),
    KIND.one_of(&["work", "home", "other"]),
    PRIMARY,
];
const GROUP_OF_USER: &[Attribute] = &[
    text("value", "The id of the group.").exact().read_only(),
    refers("$ref", &["Group"], "Where the group is.").read_only(),
    text("display", "What the group is called.").read_only(),
    text("type", "Whether they are in it by themselves or by another group.")
        .one_of(&["direct", "indirect"])
        .read_only(),
];

const USER: Schema = Schema {
    urn: "urn:ietf:params:scim:schemas:core:2.0:User",
    name: "User",
    description: "A person.",
    attributes: &[
        text("userName", "What they log in with.").required().unique(),
        complex("name", NAME, "The parts of their name."),
        text("displayName", "What they are called."),
        text("nickName", "What they are called by friends."),
        refers("profileUrl", &["external"], "Where more about them is."),
        text("title", "What they are at work."),
        text("userType", "What they are to the company."),
        text("preferredLanguage", "The language that they like best."),
        text("locale", "How they write dates and numbers."),
        text("timezone", "Their time zone, as in the database of IANA."),
        flag("active", "Whether they may do anything. It always has a value: true when nobody said otherwise.")
            .required(),
        complex("emails", EMAIL, "Their mail addresses.").many(),
        complex("phoneNumbers", PHONE, "Their telephone numbers.").many(),
        complex("ims", LABEL, "Their addresses for messages.").many(),
        complex("photos", PHOTO, "Pictures of them.").many(),
        complex("addresses", ADDRESS, "Where they live and work.").many(),
        complex("groups", GROUP_OF_USER, "The groups they are in; changed at the groups.").many().read_only(),
        complex("entitlements", LABEL, "What the directory says that they may have; it decides nothing here.").many(),
        complex("roles", LABEL, "What the directory says that they are; it decides nothing here.").many(),
    ],
};

const MANAGER: &[Attribute] = &[
    text("value", "The id of the manager.").exact(),
    refers("$ref", &["User"], "Where the manager is."),
    text("displayName", "What the manager is called.").read_only().on_request(),
];

const ENTERPRISE: Schema = Schema {
    urn: "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    name: "EnterpriseUser",
    description: "A person at a company.",
    attributes: &[
        text("employeeNumber", "Their number at the company."),
        text("costCenter", "Who pays."),
        text("organization", "Their organization."),
        text("division", "Their division."),
        text("department", "Their department."),
        complex("manager", MANAGER, "Their manager, who decides where a rule asks for one."),
    ],
};

const MEMBER: &[Attribute] = &[
    text("value", "The id of the member.").exact().immutable(),
    refers("$ref", &["User", "Group"], "Where the member is.").immutable(),
    text("type", "What the member is.").one_of(&["User", "Group"]).immutable(),
];

const GROUP: Schema = Schema {
    urn: "urn:ietf:params:scim:schemas:core:2.0:Group",
    name: "Group",
    description: "A team.",
    attributes: &[
        text("displayName", "What it is called.").required(),
        complex("members", MEMBER, "Who is in it: people, and other groups.").many(),
    ],
};

const META: &[Attribute] = &[
    text("resourceType", "What it is.").exact().read_only(),
    of("created", Type::DateTime, "When it was made.").read_only(),
    of("lastModified", Type::DateTime, "When SCIM last changed it.").read_only(),
    refers("location", &["uri"], "Where it is.").read_only(),
    text("version", "Its version, as in ETag.").exact().read_only(),
];

/// What every resource has (RFC 7643 3.1). `schemas` is apart.
const COMMON: &[Attribute] = &[
    text("id", "Its id, which is given once.").exact().read_only().always(),
    text("externalId", "Its id at the client.").exact(),
    complex("meta", META, "What is known of it.").read_only(),
];

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// People.
    User,
    /// Teams.
    Group,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::User => "User",
            Kind::Group => "Group",
        }
    }

    /// Where those of it are, below `/scim/v2`.
    #[must_use]
    pub fn endpoint(self) -> &'static str {
        match self {
            Kind::User => "/Users",
            Kind::Group => "/Groups",
        }
    }

    pub(super) fn schema(self) -> &'static Schema {
        match self {
            Kind::User => &USER,
            Kind::Group => &GROUP,
        }
    }

    pub(super) fn extension(self) -> Option<&'static Schema> {
        match self {
            Kind::User => Some(&ENTERPRISE),
            Kind::Group => None,
        }
    }

    /// An attribute of the resource itself: its own or a common one.
    pub(super) fn attribute(self, name: &str) -> Option<&'static Attribute> {
        let common = || COMMON.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name));
        self.schema().attribute(name).or_else(common)
    }

    fn json(self, base: &str) -> Value {
        let mut json = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": self.name(), "name": self.name(), "endpoint": self.endpoint(),
            "description": self.schema().description, "schema": self.schema().urn,
            "meta": {"resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{}", self.name())},
        });
        if let (Some(extension), Some(members)) = (self.extension(), json.as_object_mut()) {
            members.insert("schemaExtensions".to_owned(), json!([{"schema": extension.urn, "required": false}]));
        }
        json
    }
}

const SUPPORTED: &[Attribute] = &[flag("supported", "Whether it is.").read_only().required()];
const BULK: &[Attribute] = &[
    flag("supported", "Whether it is.").read_only().required(),
    of("maxOperations", Type::Integer, "Most operations.").read_only().required(),
    of("maxPayloadSize", Type::Integer, "Most bytes.").read_only().required(),
];
const FILTER: &[Attribute] = &[
    flag("supported", "Whether it is.").read_only().required(),
    of("maxResults", Type::Integer, "Most resources of an answer.").read_only().required(),
];
const SCHEME: &[Attribute] = &[
    text("type", "Which.").read_only().required(),
    text("name", "What it is called.").read_only().required(),
    text("description", "What it is.").read_only().required(),
    refers("specUri", &["external"], "Its standard.").read_only(),
    refers("documentationUri", &["external"], "How it is used here.").read_only(),
];
const CONFIG: Schema = Schema {
    urn: "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig",
    name: "ServiceProviderConfig",
    description: "What of SCIM is served.",
    attributes: &[
        refers("documentationUri", &["external"], "Where it is described.").read_only(),
        complex("patch", SUPPORTED, "PATCH.").read_only().required(),
        complex("bulk", BULK, "Bulk requests.").read_only().required(),
        complex("filter", FILTER, "Filters.").read_only().required(),
        complex("changePassword", SUPPORTED, "Passwords by SCIM.").read_only().required(),
        complex("sort", SUPPORTED, "Sorted lists.").read_only().required(),
        complex("etag", SUPPORTED, "Versions.").read_only().required(),
        complex("authenticationSchemes", SCHEME, "How clients show who they are.").many().read_only().required(),
    ],
};
const EXTENSION: &[Attribute] = &[
    refers("schema", &["uri"], "The URN of the extension.").read_only().required(),
    flag("required", "Whether a resource must have it.").read_only().required(),
];
const RESOURCE_TYPE: Schema = Schema {
    urn: "urn:ietf:params:scim:schemas:core:2.0:ResourceType",
    name: "ResourceType",
    description: "A kind of resource.",
    attributes: &[
        text("name", "Its name.").read_only().required(),
        text("description", "What it is.").read_only(),
        refers("endpoint", &["uri"], "Where those of it are.").read_only().required(),
        refers("schema", &["uri"], "The URN of its schema.").read_only().required().exact(),
        complex("schemaExtensions", EXTENSION, "What it may have besides.").many().read_only(),
    ],
};
const INNER: &[Attribute] = &[
    text("name", "Its name.").read_only().required().exact(),
    text("type", "Of which type it is.").read_only().required(),
    flag("multiValued", "Whether it has several values.").read_only().required(),
    text("description", "What it is.").read_only(),
    flag("required", "Whether it must be there.").read_only(),
    text("canonicalValues", "Values that are meant.").many().read_only().exact(),
    flag("caseExact", "Whether small and large letters differ.").read_only(),
    text("mutability", "Who may write it.").read_only().exact(),
    text("returned", "When it is answered.").read_only().exact(),
    text("uniqueness", "Whether two may have the same.").read_only().exact(),
    text("referenceTypes", "What it may refer to.").many().read_only().exact(),
];
const OUTER: &[Attribute] = &[
    text("name", "Its name.").read_only().required().exact(),
    text("type", "Of which type it is.").read_only().required(),
    flag("multiValued", "Whether it has several values.").read_only().required(),
    text("description", "What it is.").read_only(),
    flag("required", "Whether it must be there.").read_only(),
    text("canonicalValues", "Values that are meant.").many().read_only().exact(),
    flag("caseExact", "Whether small and large letters differ.").read_only(),
    text("mutability", "Who may write it.").read_only().exact(),
    text("returned", "When it is answered.").read_only().exact(),
    text("uniqueness", "Whether two may have the same.").read_only().exact(),
    text("referenceTypes", "What it may refer to.").many().read_only().exact(),
    complex("subAttributes", INNER, "Those within it.").many().read_only(),
];
const SCHEMA: Schema = Schema {
    urn: "urn:ietf:params:scim:schemas:core:2.0:Schema",
    name: "Schema",
    description: "What a resource is made of.",
    attributes: &[
        text("name", "Its name.").read_only().required(),
        text("description", "What it is.").read_only(),
        complex("attributes", OUTER, "Its attributes.").many().read_only().required(),
    ],
};

const SCHEMAS: [&Schema; 6] = [&USER, &ENTERPRISE, &GROUP, &SCHEMA, &RESOURCE_TYPE, &CONFIG];

/// What `/Schemas` answers. `base` is the URL of `/scim/v2`.
pub(super) fn schemas(base: &str) -> Vec<Value> {
    let one = |schema: &&Schema| {
        let attributes: Vec<Value> = schema.attributes.iter().map(Attribute::json).collect();
        json!({
            "schemas": [SCHEMA.urn], "id": schema.urn, "name": schema.name, "description": schema.description,
            "attributes": attributes,
            "meta": {"resourceType": "Schema", "location": format!("{base}/Schemas/{}", schema.urn)},
        })
    };
    SCHEMAS.iter().map(one).collect()
}

/// What `/ResourceTypes` answers.
pub(super) fn resource_types(base: &str) -> Vec<Value> {
    [Kind::User, Kind::Group].into_iter().map(|kind| kind.json(base)).collect()
}

/// What `/ServiceProviderConfig` answers (RFC 7643 5).
pub(super) fn provider_config(base: &str) -> Value {
    json!({
        "schemas": [CONFIG.urn],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": true, "maxResults": super::PAGE_MAX},
        "changePassword": {"supported": false},
        "sort": {"supported": false},
        "etag": {"supported": true},
        "authenticationSchemes": [{
            "type": "oauthbearertoken", "name": "OAuth 2.0 access token",
            "description": "A token of this issuer for ISSUER/admin with the scope scim:read or scim:write, as Bearer or DPoP.",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
        }],
        "meta": {"resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig")},
    })
}
