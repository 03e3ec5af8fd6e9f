"""A small company's documents, and who may read them: sections of the quarterly report have different readers.

The permissions are tuples of a model, not fields of the documents: a section is read by those whom a tuple names, and by
the readers of the document that it is in. Nothing is copied into the index, so nothing there can be out of date.
"""

MODEL = {
    "schema_version": "1.1",
    "type_definitions": [
        {"type": "user"},
        {
            "type": "division",
            "relations": {"member": {"this": {}}},
            "metadata": {"relations": {"member": {"directly_related_user_types": [{"type": "user"}]}}},
        },
        {
            "type": "document",
            "relations": {"reader": {"this": {}}},
            "metadata": {
                "relations": {
                    "reader": {
                        "directly_related_user_types": [
                            {"type": "user"},
                            {"type": "user", "wildcard": {}},
                            {"type": "division", "relation": "member"},
                        ]
                    }
                }
            },
        },
        {
            "type": "section",
            "relations": {
                "document": {"this": {}},
                "granted": {"this": {}},
                "reader": {
                    "union": {
                        "child": [
                            {"computedUserset": {"relation": "granted"}},
                            {
                                "tupleToUserset": {
                                    "tupleset": {"relation": "document"},
                                    "computedUserset": {"relation": "reader"},
                                }
                            },
                        ]
                    }
                },
            },
            "metadata": {
                "relations": {
                    "document": {"directly_related_user_types": [{"type": "document"}]},
                    "granted": {
                        "directly_related_user_types": [
                            {"type": "user"},
                            {"type": "user", "wildcard": {}},
                            {"type": "division", "relation": "member"},
                        ]
                    },
                }
            },
        },
    ],
}

# document -> section -> (who is granted the section by itself, text)
DOCUMENTS = {
    "quarterly-report": {
        "summary": (
            ["user:*"],
            "The company grew again; what each division earned is for its members to read.",
        ),
        "division-a": (
            ["division:a#member"],
            "The revenue of division A in the third quarter was 41 million, its margin 18 percent, after the delay "
            "of the turbine order.",
        ),
        "division-b": (
            ["division:b#member"],
            "The revenue of division B in the third quarter was 29 million, its margin 24 percent, thanks to the "
            "service contracts.",
        ),
        "outlook": (
            [],
            "The revenue of the third quarter does not cover the plan: a sale of division B is prepared for spring.",
        ),
    },
    "handbook": {
        "travel": (["user:*"], "Trips are booked through the travel desk. Trains come before flights."),
    },
    "turbine-project": {
        "schedule": (["division:a#member"], "The turbine order of division A is six weeks late; the casing is missing."),
    },
    "service-contracts": {
        "prices": (["division:b#member"], "Service contracts of division B are priced by running hours, with a floor."),
    },
}

# Who reads whole documents, and who is in which division.
TUPLES = [
    ("user:cfo", "reader", "document:quarterly-report"),
    ("user:alice", "member", "division:a"),
    ("user:bob", "member", "division:b"),
]

QUESTION = "What was the revenue of the division in the third quarter?"


def sections():
    """Every section as (id, document, granted, text)."""
    for document, parts in DOCUMENTS.items():
        for section, (granted, text) in parts.items():
            yield f"{document}.{section}", document, granted, text


def tuples():
    """All permissions, as (user, relation, object)."""
    for section, document, granted, _ in sections():
        yield f"document:{document}", "document", f"section:{section}"
        for user in granted:
            yield user, "granted", f"section:{section}"
    yield from TUPLES
