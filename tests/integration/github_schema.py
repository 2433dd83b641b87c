"""What GitHub takes as an action's metadata and as a workflow, as far as this repository's need.

After docs.github.com: "Metadata syntax reference", "Workflow syntax". Nothing else is allowed: a
misspelt key is what such files fail by.
"""

TEXT = {"type": "string"}
SCALAR = {"type": ["string", "boolean", "number"]}
NAME = "^[A-Za-z_][A-Za-z0-9_-]*$"


def exactly(required, /, **keys):
    """An object of these keys; those named in `required` must be there. _ stands for -, __ for _."""
    return {"type": "object", "additionalProperties": False, "required": required.split(),
            "properties": {name.replace("_", "-").replace("--", "_"): schema for name, schema in keys.items()}}


def named(schema):
    return {"type": "object", "additionalProperties": False, "patternProperties": {NAME: schema}}


def steps(**more):
    run = exactly("run", id=TEXT, name=TEXT, run=TEXT, env=named(SCALAR), shell=TEXT,
                  working_directory=TEXT, continue_on_error=SCALAR, **{"if": TEXT, **more})
    uses = exactly("uses", id=TEXT, name=TEXT, uses={
        "type": "string", "pattern": r"^[\w.-]+/[\w./-]+@v\d+(\.\d+)*$"},
        env=named(SCALAR), continue_on_error=SCALAR, **{"if": TEXT, "with": named(SCALAR), **more})
    return {"type": "array", "minItems": 1, "items": {"oneOf": [run, uses]}}


COMPOSITE_STEPS = steps()
# In a composite action each `run` has to say its shell.
COMPOSITE_STEPS["items"]["oneOf"][0]["required"].append("shell")

ACTION = exactly(
    "name description runs", name=TEXT, description=TEXT, author=TEXT,
    inputs=named(exactly("description", description=TEXT, required={"type": "boolean"}, default=TEXT,
                         deprecationMessage=TEXT)),
    outputs=named(exactly("description value", description=TEXT, value=TEXT)),
    runs=exactly("using steps", using={"const": "composite"}, steps=COMPOSITE_STEPS))

PERMISSIONS = exactly("", **{name: {"enum": ["read", "write", "none"]} for name in (
    "actions", "attestations", "checks", "contents", "deployments", "id_token", "issues", "packages",
    "pages", "pull_requests", "security_events", "statuses")})

WORKFLOW = exactly(
    "on jobs permissions", name=TEXT, permissions=PERMISSIONS, env=named(SCALAR),
    concurrency=exactly("group", group=TEXT, cancel_in_progress=SCALAR),
    on=exactly("", push=exactly("", tags={"type": "array", "items": TEXT},
                                branches={"type": "array", "items": TEXT}),
               workflow__dispatch=exactly("", inputs=named(exactly(
                   "description type", description=TEXT, required={"type": "boolean"},
                   type={"enum": ["string", "boolean", "choice", "number", "environment"]},
                   default=SCALAR, options={"type": "array", "items": TEXT})))),
    jobs=named(exactly(
        "runs-on steps permissions environment", name=TEXT, needs=TEXT, runs_on=TEXT,
        environment=TEXT, permissions=PERMISSIONS, outputs=named(TEXT), env=named(SCALAR),
        timeout_minutes={"type": "number"}, steps=steps(), **{"if": TEXT})))
