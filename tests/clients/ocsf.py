"""Validates OCSF events, one a line, against the schema as others publish it: every class, field, type and enumeration."""

import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

VERSION = "1.8.0"

schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=VERSION))
validators = {}
faults = count = 0
for number, line in enumerate(open(sys.argv[1], encoding="utf-8"), 1):
    event = json.loads(line)
    assert event["metadata"]["version"] == VERSION, event
    uid = event["class_uid"]
    if uid not in validators:
        name = schema.lookup_class_name_from_uid(class_uid=uid)
        validators[uid] = Draft202012Validator(schema.get_class_schema(class_name=name))
    for error in validators[uid].iter_errors(event):
        faults += 1
        print(f"line {number}, class {uid}, {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}")
    count += 1
assert count and len(validators) == 6, (count, validators.keys())
print(f"ocsf: {count} events of {len(validators)} classes, {faults} faults")
sys.exit(1 if faults else 0)
