"""A mock of AWS: moto's server, and what the Terraform provider needs beyond it.

usage: awsfake.py PORT

moto 5.2.5 lacks tags of scalable targets and event source mappings of Kafka, and forgets some fields of ECS services and Lambda functions,
so that a second plan would not be empty. GET /_calls answers the bodies of the calls that tests look at, in order.
"""

import io
import json
import re
import sys
import threading
import time
import uuid
from urllib.parse import unquote

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

MAPPINGS = "/2015-03-31/event-source-mappings"
FUNCTIONS = "/2015-03-31/functions"
RECORDED = ("CreateService", "RegisterTaskDefinition", "RegisterScalableTarget", "PutScalingPolicy")
KEPT = ("capacityProviderStrategy", "enableECSManagedTags", "availabilityZoneRebalancing", "enableExecuteCommand")

moto = DomainDispatcherApplication(create_backend_app)
lock = threading.Lock()
calls, mappings, services, functions, target_tags = [], {}, {}, {}, {}


def answer(start, status, body, content_type="application/json"):
    data = json.dumps(body).encode()
    start(f"{status} .", [("Content-Type", content_type), ("Content-Length", str(len(data)))])
    return [data]


def mapping(start, method, path, body):
    """An event source mapping of Kafka; moto knows those of queues and streams."""
    ident = path[len(MAPPINGS):].strip("/")
    if method == "POST":
        ident = str(uuid.uuid4())
        calls.append({"call": "CreateEventSourceMapping", "body": dict(body)})
        name = body.pop("FunctionName")
        body.pop("Enabled", None)
        mappings[ident] = {
            "State": "Enabled", "LastModified": time.time(), "UUID": ident, "FunctionArn": name,
            "EventSourceMappingArn": f"arn:aws:lambda:eu-central-1:123456789012:event-source-mapping:{ident}", **body,
        }
    if ident not in mappings:
        return answer(start, 404, {"__type": "ResourceNotFoundException", "Type": "User", "Message": "not found"})
    found = mappings.pop(ident) if method == "DELETE" else mappings[ident]
    return answer(start, 200 if method == "GET" else 202, found)


def tags_of_target(start, action, body):
    tags = target_tags.setdefault(body["ResourceARN"], {})
    if action == "TagResource":
        tags.update(body["Tags"])
    if action == "UntagResource":
        for key in body["TagKeys"]:
            tags.pop(key, None)
    return answer(start, 200, {"Tags": tags} if action == "ListTagsForResource" else {}, "application/x-amz-json-1.1")


def service(action, body, got):
    """What moto forgets of a service."""
    for s in [got["service"]] if "service" in got else got.get("services", []):
        kept = services.setdefault(s["serviceArn"], {})
        if action == "CreateService":
            kept.update({k: body[k] for k in KEPT if k in body})
        for field in ("deploymentController", "healthCheckGracePeriodSeconds"):
            s.pop(field, None)
        s.update(kept)
        for c in s.get("capacityProviderStrategy", []):
            c.setdefault("base", 0)
        if kept.get("capacityProviderStrategy"):
            s.pop("launchType", None)
            s["platformVersion"] = "LATEST"


def function(path, body, got):
    """What moto forgets of a function: where it logs."""
    found = re.match(FUNCTIONS + r"/([^/]+)", path)
    name = body.get("FunctionName") or (found and found.group(1).split(":function:")[-1].split(":")[0])
    if "LoggingConfig" in body:
        functions[name] = body["LoggingConfig"]
        calls.append({"call": "CreateFunction", "body": {k: v for k, v in body.items() if k != "Code"}})
    got.get("Configuration", got).pop("ImageConfigResponse", None)  # nobody overrides the image's command, and AWS then leaves it out
    if name in functions:
        got.get("Configuration", got)["LoggingConfig"] = functions[name]


def app(environ, start):
    method, path = environ["REQUEST_METHOD"], unquote(environ["PATH_INFO"])
    raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(raw)
    body = json.loads(raw) if raw[:1] == b"{" else {}
    api, _, action = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")
    with lock:
        if path == "/_calls":
            return answer(start, 200, calls)
        if path.startswith(MAPPINGS):
            return mapping(start, method, path, body)
        if path.startswith("/2017-03-31/tags/") and ":event-source-mapping:" in path:
            return answer(start, 200, {"Tags": mappings.get(path.rsplit(":", 1)[1], {}).get("Tags", {})})
        if api == "AnyScaleFrontendService" and action in ("ListTagsForResource", "TagResource", "UntagResource"):
            return tags_of_target(start, action, body)

        head = {}
        data = b"".join(moto(environ, lambda status, headers, exc=None: head.update(status=status, headers=headers)))
        if head["status"].startswith("2") and data[:1] == b"{":
            got = json.loads(data)
            if action in RECORDED or path.startswith("/schedules/") and method == "POST":
                calls.append({"call": action or "CreateSchedule", "body": body})
            if action == "RegisterScalableTarget" and body.get("Tags"):
                target_tags[got["ScalableTargetARN"]] = body["Tags"]
            elif action in ("CreateService", "UpdateService", "DescribeServices", "DeleteService"):
                service(action, body, got)
            elif path.startswith(FUNCTIONS) and method != "DELETE":
                function(path, body, got)
            data = json.dumps(got).encode()
    start(head["status"], [(k, v) for k, v in head["headers"] if k.lower() != "content-length"] + [("Content-Length", str(len(data)))])
    return [data]


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True, request_handler=MotoRequestHandler)
