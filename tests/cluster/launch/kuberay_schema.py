"""RayJobs, and the clusters in them, against the schemas of KubeRay's own definitions."""

import functools
import gzip
from collections import Counter
from pathlib import Path

import jsonschema
import yaml
from cel_expr_python import cel

SCHEMAS = Path(__file__).parent / "kuberay"
VERSIONS = ("1.5.1", "1.6.2")
_RULES = cel.NewEnv(variables={"self": cel.Type.DYN})


@functools.cache
def definition(version):
    """The definition of RayJobs that comes with a version of KubeRay."""
    return yaml.load(
        gzip.decompress((SCHEMAS / f"rayjobs-v{version}.yaml.gz").read_bytes()),
        Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader),
    )


@functools.cache
def schema(version):
    """The schema of its RayJobs."""
    versions = definition(version)["spec"]["versions"]
    return next(each for each in versions if each["name"] == "v1")["schema"]["openAPIV3Schema"]


def mistakes(job, version):
    """What an API server would refuse in a RayJob, or leave out: one line each."""
    return _mistakes(job, schema(version))


def cluster_mistakes(cluster, version):
    """The same for a RayCluster: what it specifies, a RayJob specifies too."""
    job = schema(version)["properties"]
    spec = job["spec"]["properties"]["rayClusterSpec"]
    plain = {**job, "spec": spec}
    return _mistakes(cluster, {"type": "object", "properties": plain})


def _mistakes(whole, rules):
    wrong = jsonschema.Draft7Validator(_as_json_schema(rules)).iter_errors(whole)
    found = [f"{'.'.join(map(str, error.path))}: {error.message[:200]}" for error in wrong]
    return found or [
        mistake
        for path, value, its_rules in _below(whole, rules, ())
        for mistake in (*_broken(path, value, its_rules), *_left_out(path, value, its_rules))
    ]


def _as_json_schema(rules):
    """A schema of OpenAPI in the words of JSON schema."""
    if isinstance(rules, list):
        return list(map(_as_json_schema, rules))
    if not isinstance(rules, dict):
        return rules
    same = {key: _as_json_schema(value) for key, value in rules.items() if key != "format"}
    if same.pop("x-kubernetes-int-or-string", None):
        same = {"type": ["integer", "string"]}
    if same.pop("nullable", None) and "type" in same:
        same["type"] = [same["type"], "null"]
    return same


def _below(value, rules, path):
    """Every value that the rules know, with its rules."""
    yield ".".join(path), value, rules
    if isinstance(value, dict):
        for key, entry in value.items():
            if (below := _rules_of(key, rules)) is not None:
                yield from _below(entry, below, (*path, key))
    elif isinstance(value, list):
        for i, entry in enumerate(value):
            yield from _below(entry, rules.get("items", {}), (*path, str(i)))


def _rules_of(key, rules):
    others = rules.get("additionalProperties")
    return rules.get("properties", {}).get(key, others if isinstance(others, dict) else None)


def _broken(path, value, rules):
    """Rules in CEL, but for those that compare an object with what it was; and double entries."""
    for rule in rules.get("x-kubernetes-validations", ()):
        if "oldSelf" not in rule["rule"] and not _holds(rule["rule"], value):
            yield f"{path}: {rule['message']}"
    if keys := rules.get("x-kubernetes-list-map-keys"):
        named = Counter(tuple(str(entry.get(key)) for key in keys) for entry in value)
        yield from (f"{path}: twice {name}" for name, n in named.items() if n > 1)


def _left_out(path, value, rules):
    """Fields that an API server would not keep; those of metadata are its own."""
    if path in {"", "metadata"} or rules.get("x-kubernetes-preserve-unknown-fields"):
        return
    for key in value if isinstance(value, dict) else ():
        if _rules_of(key, rules) is None:
            yield f"{path}: no field {key}"


@functools.cache
def _compiled(rule):
    return _RULES.compile(rule)


def _holds(rule, value):
    return _compiled(rule).eval(data={"self": value}).value()
