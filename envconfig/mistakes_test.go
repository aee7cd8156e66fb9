package envconfig

import (
	"errors"
	"strings"
	"testing"
)

func TestEveryMistakeIsToldInFull(t *testing.T) {
	const (
		wantSink  = "want service://<Service>/<handler>, http(s)://host/path, or lambda:// and a function"
		wantPlain = "want a duration above zero, like 500ms, 20s or 1m30s"
		wantWhole = "want a whole number from 1 to 2147483647"
		service   = "SUBSCRIPTION_SINK=service://Billing/charge"
		base      = "HANDLER_URL=http://h:9080"
	)
	cases := []struct {
		name string
		env  []string
		want string
	}{
		// Source and sink.
		{"no source", []string{"SUBSCRIPTION_SOURCE="}, "SUBSCRIPTION_SOURCE: is not set; want kafka://<cluster>/<topic>"},
		{"source of another scheme", []string{"SUBSCRIPTION_SOURCE=amqp://c/t"}, "SUBSCRIPTION_SOURCE: has no kafka:// in front; want kafka://<cluster>/<topic>"},
		{"source with a query", []string{"SUBSCRIPTION_SOURCE=kafka://c/t?x=1"}, "SUBSCRIPTION_SOURCE: has a query or a fragment; want kafka://<cluster>/<topic>"},
		{"source without topic", []string{"SUBSCRIPTION_SOURCE=kafka://c"}, "SUBSCRIPTION_SOURCE: has no valid topic name; want kafka://<cluster>/<topic>, the topic of letters, digits, '.', '_' and '-', at most 249"},
		{"source without cluster", []string{"SUBSCRIPTION_SOURCE=kafka:///t"}, "SUBSCRIPTION_SOURCE: has no valid cluster name; want kafka://<cluster>/<topic>, the cluster of letters, digits, '.', '_' and '-'"},
		{"source with several topics", []string{"SUBSCRIPTION_SOURCE=kafka://c/a,b"}, "SUBSCRIPTION_SOURCE: names several topics; want one topic, and one container for each"},
		{"source with a pattern", []string{"SUBSCRIPTION_SOURCE=kafka://c/^a.*"}, "SUBSCRIPTION_SOURCE: names several topics; want one topic, and one container for each"},
		{"no file for the sink", []string{"SUBSCRIPTION_SINK=", "SUBSCRIPTION_SINK_FILE=/nowhere/s"}, "SUBSCRIPTION_SINK_FILE: the file cannot be read (no such file or directory); want the path of a readable file"},
		{"no file for the subscription", []string{"SUBSCRIPTION_SOURCE=", "SUBSCRIPTION_SINK=", "SUBSCRIPTION_FILE=/nowhere/s"}, "SUBSCRIPTION_FILE: the file cannot be read (no such file or directory); want the path of a readable file"},
		{"no sink", []string{"SUBSCRIPTION_SINK="}, "SUBSCRIPTION_SINK: is not set; " + wantSink},
		{"sink of another scheme", []string{"SUBSCRIPTION_SINK=ftp://x/y"}, "SUBSCRIPTION_SINK: has no scheme that is known; " + wantSink},
		{"sink without scheme", []string{"SUBSCRIPTION_SINK=localhost:8080/x"}, "SUBSCRIPTION_SINK: has no scheme that is known; " + wantSink},
		{"a function", []string{"SUBSCRIPTION_SINK=lambda://f"}, "AWS_REGION: is not set, but the sink is lambda:// without a region; want AWS_REGION, or the function's whole ARN"},
		{"a function with a path", []string{"SUBSCRIPTION_SINK=lambda://f/x", "AWS_REGION=eu-west-1"}, "SUBSCRIPTION_SINK: is not a Lambda function; want lambda:// and a name, name:alias, or an ARN with its version or alias"},
		{"a function in a region that is none", []string{"SUBSCRIPTION_SINK=lambda://f", "AWS_REGION=eu-west-1.evil.example/"}, "AWS_REGION: holds a region that is none; want one like eu-central-1"},
		{"an ARN in a region that is none", []string{"SUBSCRIPTION_SINK=lambda://arn:aws:lambda:x:123456789012:function:f"}, "SUBSCRIPTION_SINK: holds a region that is none; want one like eu-central-1"},
		{"an endpoint of Lambda with a user", []string{"SUBSCRIPTION_SINK=lambda://f", "AWS_REGION=eu-west-1", "AWS_ENDPOINT_URL_LAMBDA=http://u:s3cret@h"}, "AWS_ENDPOINT_URL_LAMBDA: holds a user or password; want them out of the URL, in HANDLER_AUTH or DEAD_LETTER_AUTH and its variables"},
		{"what a function cannot have", []string{"SUBSCRIPTION_SINK=lambda://f", "AWS_REGION=eu-west-1", "HANDLER_AUTH=bearer", "HANDLER_BEARER_TOKEN=t", "HANDLER_FORMAT=cloudevents", "HANDLER_TYPE=object"}, "HANDLER_AUTH: is bearer, but the sink is lambda://, whose requests are signed with AWS credentials anyway; leave it out\nHANDLER_FORMAT: is cloudevents, whose attributes are headers, and Lambda passes none on to a function; want lambda, envelope, cloudevents-structured or value\nHANDLER_TYPE: is set, but the sink is not service://; leave it out"},
		{"sink with a user", []string{"SUBSCRIPTION_SINK=http://u:p@h/x"}, "SUBSCRIPTION_SINK: holds a user or password; want them out of the URL, in HANDLER_AUTH or DEAD_LETTER_AUTH and its variables"},
		{"sink with another placeholder", []string{"SUBSCRIPTION_SINK=http://h/{keys}"}, "SUBSCRIPTION_SINK: holds braces that are no placeholder; want only {key}, {topic}, {partition} and {offset}, and a brace itself as %7B or %7D"},
		{"sink with a placeholder as host", []string{"SUBSCRIPTION_SINK=http://{key}.example/x"}, "SUBSCRIPTION_SINK: has a placeholder in its host; want placeholders in the path or the query only"},
		{"sink that is a placeholder only", []string{"SUBSCRIPTION_SINK=http://{key}"}, "SUBSCRIPTION_SINK: has a placeholder in its host; want placeholders in the path or the query only"},
		{"sink without host", []string{"SUBSCRIPTION_SINK=http:///x"}, "SUBSCRIPTION_SINK: has no host; want http(s)://host/path"},
		{"sink with a fragment", []string{"SUBSCRIPTION_SINK=http://h/x#y"}, "SUBSCRIPTION_SINK: has a fragment; want a URL without #"},
		{"sink with a bad port", []string{"SUBSCRIPTION_SINK=http://h:99999/x"}, "SUBSCRIPTION_SINK: has an invalid port; want 1 to 65535"},
		{"sink with a bad escape", []string{"SUBSCRIPTION_SINK=http://h/%zz"}, "SUBSCRIPTION_SINK: is not a valid URL; want http(s)://host/path, other characters percent-encoded"},
		{"sink with a space", []string{"SUBSCRIPTION_SINK=http://h/a b"}, "SUBSCRIPTION_SINK: holds spaces or characters beyond ASCII; want them percent-encoded"},
		{"service without handler", []string{"SUBSCRIPTION_SINK=service://Billing", base}, "SUBSCRIPTION_SINK: is not a service and a handler; want service://<Service>/<handler>, each of letters, digits, '.', '_', '~' and '-'"},
		{"service with a key", []string{"SUBSCRIPTION_SINK=service://Billing/k/charge", base}, "SUBSCRIPTION_SINK: is not a service and a handler; want service://<Service>/<handler>, each of letters, digits, '.', '_', '~' and '-'"},
		{"service without URL", []string{service}, "HANDLER_URL: is not set, but the sink is service://; want the base URL, like http://localhost:9080"},
		{"URL without service", []string{base}, "HANDLER_URL: is set, but the sink is not service://; leave it out"},
		{"type without service", []string{"HANDLER_TYPE=object"}, "HANDLER_TYPE: is set, but the sink is not service://; leave it out"},
		{"protocol without service", []string{"HANDLER_PROTOCOL=http"}, "HANDLER_PROTOCOL: is set, but the sink is not service://; leave it out"},
		{"base URL with a user", []string{service, "HANDLER_URL=http://u:p@h"}, "HANDLER_URL: holds a user or password; want them out of the URL, in HANDLER_AUTH or DEAD_LETTER_AUTH and its variables"},
		{"base URL with a query", []string{service, "HANDLER_URL=http://h/?a=b"}, "HANDLER_URL: has a query string; want a base URL without one"},
		{"URLs with placeholders", []string{service, "HANDLER_URL=http://h/{key}", "DEAD_LETTER_URL=http://h/{topic}", "RESTATE_ADMIN_URL=http://h/}"}, "DEAD_LETTER_URL: holds braces, and nothing is filled into it; want a brace itself as %7B or %7D\nHANDLER_URL: holds braces, and nothing is filled into it; want a brace itself as %7B or %7D\nRESTATE_ADMIN_URL: holds braces, and nothing is filled into it; want a brace itself as %7B or %7D"},
		{"base URL of another scheme", []string{service, "HANDLER_URL=h:9080"}, "HANDLER_URL: is not an http URL; want http:// or https://"},
		{"an unknown type", []string{service, base, "HANDLER_TYPE=objects"}, `HANDLER_TYPE: "objects" is not valid; want service, object, object-shared, workflow, workflow-shared or auto`},
		{"an unknown protocol", []string{service, base, "HANDLER_PROTOCOL=grpc"}, `HANDLER_PROTOCOL: "grpc" is not valid; want http or restate`},
		{"Restate without a type", []string{service, base, "HANDLER_PROTOCOL=restate"}, "HANDLER_TYPE: is not set, but HANDLER_PROTOCOL is restate; want service, object, object-shared, workflow or workflow-shared, or RESTATE_ADMIN_URL to ask Restate for it"},
		{"nobody to ask", []string{service, base, "HANDLER_TYPE=auto"}, "RESTATE_ADMIN_URL: is not set, but HANDLER_TYPE is auto; want the base URL of Restate's Admin API, like http://localhost:9070"},
		{"a user for Restate", []string{service, base, "RESTATE_ADMIN_URL=http://u:s3cret@r"}, "RESTATE_ADMIN_URL: holds a user or password; want them out of the URL, in HANDLER_AUTH or DEAD_LETTER_AUTH and its variables"},
		{"a query for Restate", []string{service, base, "RESTATE_ADMIN_URL=http://r/?a=s3cret"}, "RESTATE_ADMIN_URL: has a query string; want a base URL without one"},
		{"a header that Restate refuses", []string{service, base, "HANDLER_PROTOCOL=restate", "HANDLER_TYPE=object", "HANDLER_HEADERS=a: b\nx-name: grün"}, "HANDLER_HEADERS: entry 2 has a value beyond ASCII, which Restate's ingress refuses; want visible ASCII"},
		{"a record header that steers Restate", []string{service, base, "HANDLER_PROTOCOL=restate", "HANDLER_TYPE=object", "HANDLER_FORWARD_HEADERS=x-tenant,X-Restate-Scope"}, "HANDLER_FORWARD_HEADERS: X-Restate-Scope is never passed on to Restate, whose ingress it steers; leave it out"},
		// The whole subscription.
		{"both forms", []string{`SUBSCRIPTION={"source":"kafka://c/t","sink":"http://h/x"}`}, "SUBSCRIPTION_SINK: is set beside SUBSCRIPTION, which holds the same; want one of the two\nSUBSCRIPTION_SOURCE: is set beside SUBSCRIPTION, which holds the same; want one of the two"},
		{"no JSON", []string{"SUBSCRIPTION_SOURCE=", "SUBSCRIPTION_SINK=", "SUBSCRIPTION=[1]"}, `SUBSCRIPTION: is not a JSON object (near byte 1); want one like {"name":"value"}`},
		{"another field", []string{"SUBSCRIPTION_SOURCE=", "SUBSCRIPTION_SINK=", `SUBSCRIPTION={"sauce":"x"}`}, "SUBSCRIPTION: holds a field that is none of ours; want source, sink and options"},
		{"a source that is no string", []string{"SUBSCRIPTION_SOURCE=", "SUBSCRIPTION_SINK=", `SUBSCRIPTION={"source":1}`}, `SUBSCRIPTION: source is not a string; want {"source":…,"sink":…,"options":{…}}`},
		{"half of it", []string{"SUBSCRIPTION_SOURCE=", "SUBSCRIPTION_SINK=", `SUBSCRIPTION={"options":null}`}, "SUBSCRIPTION: has no sink; " + wantSink + "\nSUBSCRIPTION: has no source; want kafka://<cluster>/<topic>"},
		{"options that are none", []string{"SUBSCRIPTION_SOURCE=", "SUBSCRIPTION_SINK=", `SUBSCRIPTION={"options":{"group.id":["x"]}}`}, "SUBSCRIPTION: options: option group.id is neither a string nor a number nor a boolean; want one of these"},
		// The identity.
		{"a loopback without name", []string{"SUBSCRIPTION_ID="}, "SUBSCRIPTION_ID: is not set, but the sink is on this host, so that two services beside their own sidecars would share a group; want a name, for example orders-to-orders-handler"},
		{"a loopback service without name", []string{"SUBSCRIPTION_ID=", service, "HANDLER_URL=http://[::1]:9080"}, "SUBSCRIPTION_ID: is not set, but the sink is on this host, so that two services beside their own sidecars would share a group; want a name, for example orders-to-billing"},
		{"a name with a line break", []string{"SUBSCRIPTION_ID=a\nb"}, `SUBSCRIPTION_ID: "a\nb" is not valid; want 1 to 255 visible ASCII characters, spaces only between them`},
		{"a group with a line break", []string{"KAFKA_OPTION_GROUP_ID=a\nb"}, "KAFKA_OPTION_GROUP_ID: option group.id is not valid; want 1 to 255 visible ASCII characters, spaces only between them"},
		{"an instance with a slash", []string{"KAFKA_OPTION_GROUP_INSTANCE_ID=a/b"}, "KAFKA_OPTION_GROUP_INSTANCE_ID: option group.instance.id is not valid; want letters, digits, '.', '_' and '-', at most 249"},
		// Options.
		{"no option lines", []string{"SUBSCRIPTION_OPTIONS=group.id"}, "SUBSCRIPTION_OPTIONS: line 1 is not name=value; want a JSON object, or name=value lines"},
		{"options as broken JSON", []string{`SUBSCRIPTION_OPTIONS={"a":}`}, `SUBSCRIPTION_OPTIONS: is not a JSON object (near byte 5); want one like {"name":"value"}`},
		{"a name twice in JSON", []string{`SUBSCRIPTION_OPTIONS={"group.id":"a","group.id":"b"}`}, "SUBSCRIPTION_OPTIONS: holds group.id twice; want each name once"},
		{"an option twice", []string{"SUBSCRIPTION_OPTIONS=group.id=a", "KAFKA_OPTION_GROUP_ID=a"}, "KAFKA_OPTION_GROUP_ID: option group.id is set twice, also by SUBSCRIPTION_OPTIONS; want it once"},
		{"an option twice by an alias", []string{"SUBSCRIPTION_OPTIONS=max.partition.fetch.bytes=1", "KAFKA_OPTION_FETCH_MESSAGE_MAX_BYTES=1"}, "KAFKA_OPTION_FETCH_MESSAGE_MAX_BYTES: option fetch.message.max.bytes means the same as max.partition.fetch.bytes, which SUBSCRIPTION_OPTIONS sets; want one of the two"},
		{"an unknown option", []string{"KAFKA_OPTION_SESION_TIMEOUT_MS=1"}, "KAFKA_OPTION_SESION_TIMEOUT_MS: option sesion.timeout.ms is not one of librdkafka's; did you mean session.timeout.ms?"},
		{"Java's name for an option", []string{"SUBSCRIPTION_OPTIONS=fetch.max.wait.ms=5"}, "SUBSCRIPTION_OPTIONS: option fetch.max.wait.ms is not one of librdkafka's; did you mean fetch.wait.max.ms?"},
		{"an option's name that looks like a secret", []string{"SUBSCRIPTION_OPTIONS=MIIEvQIBADANBg=="}, "SUBSCRIPTION_OPTIONS: option with an unusual name (not shown) is not one of librdkafka's; want a name of librdkafka's CONFIGURATION.md"},
		{"no option's name", []string{"KAFKA_OPTION_A____B=1", "KAFKA_OPTION_=2"}, "KAFKA_OPTION_: is not the name of an option; want KAFKA_OPTION_<NAME> with _ for a dot, __ for _ and ___ for -, like KAFKA_OPTION_SASL_PASSWORD\nKAFKA_OPTION_A____B: is not the name of an option; want KAFKA_OPTION_<NAME> with _ for a dot, __ for _ and ___ for -, like KAFKA_OPTION_SASL_PASSWORD"},
		{"START_AT beside its option", []string{"START_AT=latest", "KAFKA_OPTION_AUTO_OFFSET_RESET=latest"}, "KAFKA_OPTION_AUTO_OFFSET_RESET: option auto.offset.reset means the same as START_AT, which is set too; want one of the two"},
		{"COMMIT_INTERVAL beside its option", []string{"COMMIT_INTERVAL=1s", "SUBSCRIPTION_OPTIONS=auto.commit.interval.ms=1000"}, "SUBSCRIPTION_OPTIONS: option auto.commit.interval.ms means the same as COMMIT_INTERVAL, which is set too; want one of the two"},
		{"MAX_IN_FLIGHT_BYTES beside its option", []string{"MAX_IN_FLIGHT_BYTES=1MiB", "SUBSCRIPTION_OPTIONS=queued.max.messages.kbytes=1"}, "SUBSCRIPTION_OPTIONS: option queued.max.messages.kbytes means the same as MAX_IN_FLIGHT_BYTES, which is set too; want one of the two"},
		{"LOG_LEVEL beside its options", []string{"LOG_LEVEL=info", "KAFKA_OPTION_LOG__LEVEL=7", "KAFKA_OPTION_DEBUG=all"}, "KAFKA_OPTION_DEBUG: option debug means the same as LOG_LEVEL, which is set too; want one of the two\nKAFKA_OPTION_LOG__LEVEL: option log_level means the same as LOG_LEVEL, which is set too; want one of the two"},
		{"a slow heartbeat", []string{"SUBSCRIPTION_OPTIONS=session.timeout.ms=6000\nheartbeat.interval.ms=3000"}, "SUBSCRIPTION_OPTIONS: option heartbeat.interval.ms is more than a third of session.timeout.ms; want 2000 or less"},
		{"a very short session", []string{"SUBSCRIPTION_OPTIONS=session.timeout.ms=2000"}, "SUBSCRIPTION_OPTIONS: option session.timeout.ms is too short to hold a lease of it less 2 s; want 3000 or more"},
		{"a short rebalance", []string{"SUBSCRIPTION_OPTIONS=max.poll.interval.ms=30000"}, "SUBSCRIPTION_OPTIONS: option max.poll.interval.ms is less than session.timeout.ms, or than 6000; want 45000 or more"},
		{"waits that cross", []string{"SUBSCRIPTION_OPTIONS=retry.backoff.ms=200\nretry.backoff.max.ms=100"}, "SUBSCRIPTION_OPTIONS: option retry.backoff.max.ms is less than retry.backoff.ms; want it equal or more"},
		{"a response smaller than a fetch", []string{"SUBSCRIPTION_OPTIONS=receive.message.max.bytes=1000"}, "SUBSCRIPTION_OPTIONS: option receive.message.max.bytes is less than fetch.max.bytes and 512; want 8389120 or more"},
		{"a list that hides the topic", []string{"SUBSCRIPTION_OPTIONS=topic.blacklist=^ord"}, "SUBSCRIPTION_OPTIONS: option topic.blacklist hides the topic of the source; leave it out"},
		{"a cipher suite that is weak", []string{"SUBSCRIPTION_OPTIONS=ssl.cipher.suites=ECDHE-RSA-AES128-GCM-SHA256:RC4-SHA"}, "SUBSCRIPTION_OPTIONS: option ssl.cipher.suites: entry 1 is no cipher suite that can be chosen; want ECDHE suites of TLS 1.2, like ECDHE-RSA-AES128-GCM-SHA256"},
		{"a curve that is not there", []string{"SUBSCRIPTION_OPTIONS=ssl.curves.list=brainpoolP256r1"}, "SUBSCRIPTION_OPTIONS: option ssl.curves.list: entry 0 is no curve that can be chosen; want X25519, P-256, P-384, P-521 or X25519MLKEM768"},
		{"SASL with nothing", []string{"KAFKA_OPTION_SECURITY_PROTOCOL=SASL_SSL"}, "KAFKA_OPTION_SECURITY_PROTOCOL: security.protocol asks for SASL, but option sasl.mechanisms is not set, and librdkafka's default is GSSAPI, which is not supported; want PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER\n" +
			"KAFKA_OPTION_SECURITY_PROTOCOL: security.protocol asks for SASL, but option sasl.password is not set; want it, for example as KAFKA_OPTION_SASL_PASSWORD\n" +
			"KAFKA_OPTION_SECURITY_PROTOCOL: security.protocol asks for SASL, but option sasl.username is not set; want it, for example as KAFKA_OPTION_SASL_USERNAME"},
		{"Kerberos", []string{"KAFKA_BOOTSTRAP_SERVERS=SASL_SSL://b", "SUBSCRIPTION_OPTIONS=sasl.mechanism=GSSAPI\nsasl.username=u\nsasl.password=p"}, "SUBSCRIPTION_OPTIONS: option sasl.mechanism cannot be honoured: Kerberos (GSSAPI) is not supported; want PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"},
		{"a mechanism that is none", []string{"SUBSCRIPTION_OPTIONS=sasl.mechanisms=MD5"}, "SUBSCRIPTION_OPTIONS: option sasl.mechanisms is not a mechanism that is known; want PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"},
		// The handler.
		{"a duration that is none", []string{"HANDLER_TIMEOUT=20"}, `HANDLER_TIMEOUT: "20" is not valid; ` + wantPlain},
		{"a negative duration", []string{"HANDLER_TIMEOUT=-1s"}, `HANDLER_TIMEOUT: "-1s" is not valid; ` + wantPlain},
		{"no media type", []string{"HANDLER_CONTENT_TYPE=json"}, `HANDLER_CONTENT_TYPE: "json" is not valid; want a media type, like application/json`},
		{"a media type that no header can hold", []string{"HANDLER_CONTENT_TYPE=text/plain; a=\"\x01\"", "CONCURRENCY=0"}, "CONCURRENCY: \"0\" is not valid; " + wantWhole + "\nHANDLER_CONTENT_TYPE: \"text/plain; a=\\\"\\x01\\\"\" is not valid; want a media type, like application/json"},
		{"no format", []string{"HANDLER_FORMAT=xml"}, `HANDLER_FORMAT: "xml" is not valid; want value, envelope, cloudevents, cloudevents-structured or lambda`},
		{"no header style", []string{"HANDLER_HEADER_STYLE=dots"}, `HANDLER_HEADER_STYLE: "dots" is not valid; want restate or dashes`},
		{"a header without colon", []string{"HANDLER_HEADERS=X-A: 1\nsecret"}, `HANDLER_HEADERS: entry 2 has no colon; want "Name: value" per line, or a JSON object`},
		{"a header without name", []string{"HANDLER_HEADERS=a b: 1"}, `HANDLER_HEADERS: entry 1 has a name that is no HTTP token; want "Name: value" per line, or a JSON object`},
		{"headers as broken JSON", []string{`HANDLER_HEADERS={"a"}`}, `HANDLER_HEADERS: is not a JSON object with each name once; want "Name: value" per line, or a JSON object`},
		{"a header's value that is no string", []string{`HANDLER_HEADERS={"a":1}`}, `HANDLER_HEADERS: entry 1 has a value that is not a string; want "Name: value" per line, or a JSON object`},
		{"a header with a line break", []string{`HANDLER_HEADERS={"a":"b\nc"}`}, "HANDLER_HEADERS: entry 1 has a value with control characters; want visible text in one line"},
		{"a header twice", []string{"HANDLER_HEADERS=a: 1\nA: 2"}, "HANDLER_HEADERS: entry 2 repeats a name; want each name once"},
		{"a header of ours", []string{"HANDLER_HEADERS=Idempotency-Key: 1"}, "HANDLER_HEADERS: entry 1 sets idempotency-key, which we set ourselves; leave it out"},
		{"a header of ours in the other style", []string{"HANDLER_HEADERS=kafka-topic: 1"}, "HANDLER_HEADERS: entry 1 sets kafka-topic, which we set ourselves; leave it out"},
		{"the host", []string{"HANDLER_HEADERS=Host: x"}, "HANDLER_HEADERS: entry 1 sets host, which belongs to the connection; leave it out"},
		{"the content type as header", []string{"HANDLER_HEADERS=Content-Type: x"}, "HANDLER_HEADERS: entry 1 sets content-type; want it in HANDLER_CONTENT_TYPE"},
		{"a CloudEvents header", []string{"HANDLER_HEADERS=ce-id: x", "HANDLER_FORMAT=cloudevents"}, "HANDLER_HEADERS: entry 1 sets a ce- header, which HANDLER_FORMAT=cloudevents sets itself; leave it out"},
		{"record headers of the connection", []string{"HANDLER_FORWARD_HEADERS=x,TE,Proxy-Authorization,keep-alive"}, "HANDLER_FORWARD_HEADERS: Proxy-Authorization is never passed on: it is ours, or concerns the request itself; leave it out\nHANDLER_FORWARD_HEADERS: TE is never passed on: it is ours, or concerns the request itself; leave it out\nHANDLER_FORWARD_HEADERS: keep-alive is never passed on: it is ours, or concerns the request itself; leave it out"},
		{"a record header that is never passed on", []string{"HANDLER_FORWARD_HEADERS=x,Authorization"}, "HANDLER_FORWARD_HEADERS: Authorization is never passed on: it is ours, or concerns the request itself; leave it out"},
		{"a record header that is no name", []string{"HANDLER_FORWARD_HEADERS=a b"}, `HANDLER_FORWARD_HEADERS: "a b" is not valid; want header names, comma separated, * for any part`},
		{"no statuses", []string{"HANDLER_DONE_STATUSES=409,abc"}, `HANDLER_DONE_STATUSES: "abc" is not valid; want statuses from 200 to 599, or classes like 5xx, comma separated`},
		{"a status in two lists", []string{"HANDLER_DONE_STATUSES=409", "HANDLER_FAIL_STATUSES=4xx"}, "HANDLER_FAIL_STATUSES: status 409 is in HANDLER_DONE_STATUSES too; want each status in one list"},
		{"words of the handler", []string{"NULL_KEY=x", "INVALID_KEY=x", "TOMBSTONES=x"}, "INVALID_KEY: \"x\" is not valid; want fail or base64url\nNULL_KEY: \"x\" is not valid; want fail or empty\nTOMBSTONES: \"x\" is not valid; want deliver, skip or fail"},
		// Order, limits, failure.
		{"no order with an object", []string{service, base, "HANDLER_TYPE=object", "ORDERING=none"}, "ORDERING: is none, but HANDLER_TYPE is object, which needs order; want key or partition"},
		{"no order with a workflow", []string{service, base, "HANDLER_TYPE=workflow", "ORDERING=none"}, "ORDERING: is none, but HANDLER_TYPE is workflow, which needs order; want key or partition"},
		{"an unknown order", []string{"ORDERING=keys"}, `ORDERING: "keys" is not valid; want key, partition or none`},
		{"counts", []string{"CONCURRENCY=0", "MAX_IN_FLIGHT=-1", "PARKED_MAX=3000000000"}, `CONCURRENCY: "0" is not valid; ` + wantWhole + "\nMAX_IN_FLIGHT: \"-1\" is not valid; " + wantWhole + "\nPARKED_MAX: \"3000000000\" is not valid; " + wantWhole},
		{"sizes", []string{"MAX_IN_FLIGHT_BYTES=64 MiB", "PARKED_MAX_BYTES=0"}, "MAX_IN_FLIGHT_BYTES: \"64 MiB\" is not valid; want a size above zero and up to 1024GiB, like 64MiB or 65536\nPARKED_MAX_BYTES: \"0\" is not valid; want a size above zero and up to 1024GiB, like 64MiB or 65536"},
		{"waits that are both given", []string{"RETRY_INITIAL_INTERVAL=200ms", "RETRY_MAX_INTERVAL=100ms"}, "RETRY_INITIAL_INTERVAL: 200ms is above RETRY_MAX_INTERVAL, which is 100ms; want it equal or less"},
		{"waits", []string{"RETRY_INITIAL_INTERVAL=2m"}, "RETRY_INITIAL_INTERVAL: 2m0s is above RETRY_MAX_INTERVAL, which is 1m0s; want it equal or less"},
		{"no factor", []string{"RETRY_FACTOR=0.5"}, `RETRY_FACTOR: "0.5" is not valid; want a number from 1 to 100, like 2 or 1.5`},
		{"factor that is no number", []string{"RETRY_FACTOR=NaN"}, `RETRY_FACTOR: "NaN" is not valid; want a number from 1 to 100, like 2 or 1.5`},
		{"no attempts", []string{"RETRY_MAX_ATTEMPTS=0"}, `RETRY_MAX_ATTEMPTS: "0" is not valid; ` + wantWhole + ", or unlimited"},
		{"no age", []string{"RETRY_MAX_AGE=0"}, `RETRY_MAX_AGE: "0" is not valid; want a duration above zero, like 24h, or unlimited`},
		{"no failure limit", []string{"FAILURE_LIMIT=none"}, `FAILURE_LIMIT: "none" is not valid; ` + wantWhole + ", or off"},
		{"no rate", []string{"RATE_LIMIT=100"}, `RATE_LIMIT: "100" is not valid; want attempts a second, like 100/s or 0.5/s`},
		{"an unknown failure", []string{"ON_FAILURE=retry"}, `ON_FAILURE: "retry" is not valid; want park, dead-letter, drop or stop`},
		{"a dead letter without target", []string{"ON_FAILURE=dead-letter"}, "ON_FAILURE: is dead-letter, but there is no target; want DEAD_LETTER_TOPIC or DEAD_LETTER_URL too"},
		{"two targets", []string{"DEAD_LETTER_TOPIC=d", "DEAD_LETTER_URL=http://h/x"}, "DEAD_LETTER_URL: is set beside DEAD_LETTER_TOPIC; want one of the two"},
		{"a dead letter loop", []string{"DEAD_LETTER_TOPIC=orders"}, "DEAD_LETTER_TOPIC: is the topic of the source, which would be a loop; want another topic"},
		{"no topic", []string{"DEAD_LETTER_TOPIC=a/b"}, `DEAD_LETTER_TOPIC: "a/b" is not valid; want a topic's name of letters, digits, '.', '_' and '-', at most 249`},
		{"a target with a user", []string{"DEAD_LETTER_URL=http://u:p@h/x"}, "DEAD_LETTER_URL: holds a user or password; want them out of the URL, in HANDLER_AUTH or DEAD_LETTER_AUTH and its variables"},
		{"no records", []string{"SKIP_RECORDS=0@1,2"}, `SKIP_RECORDS: "2" is not valid; want <partition>@<offset>, comma separated, like 0@1234,3@77`},
		// Position, life cycle, operation.
		{"no start", []string{"START_AT=yesterday"}, `START_AT: "yesterday" is not valid; want earliest, latest, a time like 2026-01-31T08:00:00Z, or an age like -2h`},
		{"a start in the future", []string{"START_AT=2h"}, `START_AT: "2h" is not valid; want earliest, latest, a time like 2026-01-31T08:00:00Z, or an age like -2h`},
		{"no end", []string{"END_AT=earliest"}, `END_AT: "earliest" is not valid; want latest, a time like 2026-01-31T08:00:00Z, or an age like -2h`},
		{"an end in the future", []string{"END_AT=9999-01-01T00:00:00Z"}, `END_AT: "9999-01-01T00:00:00Z" is in the future; want latest, or a time or an age in the past`},
		{"an age to come", []string{"END_AT=2h"}, `END_AT: "2h" is not valid; want latest, a time like 2026-01-31T08:00:00Z, or an age like -2h`},
		{"an end before the start", []string{"START_AT=-1h", "END_AT=2020-01-01T00:00:00Z"}, "END_AT: 2020-01-01T00:00:00Z is not after START_AT, which is -1h0m0s; want a later one"},
		{"an end at the start", []string{"START_AT=-1h", "END_AT=-1h"}, "END_AT: -1h0m0s is not after START_AT, which is -1h0m0s; want a later one"},
		{"an end and a pause", []string{"START_AT=earliest", "END_AT=latest", "PAUSED=true"}, "PAUSED: is true beside END_AT: nothing would be read, and the end never reached; want one of the two"},
		{"periods", []string{"COMMIT_INTERVAL=0s", "STARTUP_TIMEOUT=x", "SHUTDOWN_TIMEOUT=x"}, "COMMIT_INTERVAL: \"0s\" is not valid; " + wantPlain + "\nSHUTDOWN_TIMEOUT: \"x\" is not valid; " + wantPlain + "\nSTARTUP_TIMEOUT: \"x\" is not valid; " + wantPlain},
		{"no boolean", []string{"PAUSED=yes"}, `PAUSED: "yes" is not valid; want true or false`},
		{"no address", []string{"ADMIN_ADDR=9464"}, `ADMIN_ADDR: "9464" is not valid; want [host]:port, like :9464 or 127.0.0.1:9464, or off`},
		{"logs", []string{"LOG_LEVEL=trace", "LOG_FORMAT=xml"}, "LOG_FORMAT: \"xml\" is not valid; want json or text\nLOG_LEVEL: \"trace\" is not valid; want debug, info, warn or error"},
		{"no switch", []string{"METRICS_EMF=yes"}, `METRICS_EMF: "yes" is not valid; want true or false`},
		{"a namespace of AWS", []string{"METRICS_EMF=true", "METRICS_EMF_NAMESPACE=AWS/ECS"}, `METRICS_EMF_NAMESPACE: "AWS/ECS" is not valid; want 1 to 255 of the characters A-Z a-z 0-9 . _ - / # :, not beginning with a colon or with AWS/`},
		{"a namespace with spaces", []string{"METRICS_EMF_NAMESPACE=my orders"}, `METRICS_EMF_NAMESPACE: "my orders" is not valid; want 1 to 255 of the characters A-Z a-z 0-9 . _ - / # :, not beginning with a colon or with AWS/`},
		// Authentication.
		{"no kind of authentication", []string{"HANDLER_AUTH=oauth2"}, `HANDLER_AUTH: "oauth2" is not valid; want none, bearer, basic, signature, google-id-token or sigv4`},
		{"authentication without its variables", []string{"HANDLER_AUTH=basic", "DEAD_LETTER_URL=http://h", "DEAD_LETTER_AUTH=signature"}, "DEAD_LETTER_SIGNATURE_SECRETS: is not set, but DEAD_LETTER_AUTH is signature; want it\nHANDLER_BASIC_PASSWORD: is not set, but HANDLER_AUTH is basic; want it\nHANDLER_BASIC_USERNAME: is not set, but HANDLER_AUTH is basic; want it"},
		{"variables of another authentication", []string{"HANDLER_BEARER_TOKEN=s3cret", "DEAD_LETTER_GOOGLE_AUDIENCE=a"}, "DEAD_LETTER_GOOGLE_AUDIENCE: is set, but DEAD_LETTER_AUTH is none; want DEAD_LETTER_AUTH=google-id-token, or leave it out\nHANDLER_BEARER_TOKEN: is set, but HANDLER_AUTH is none; want HANDLER_AUTH=bearer, or leave it out"},
		{"authentication towards nobody", []string{"DEAD_LETTER_AUTH=bearer", "DEAD_LETTER_BEARER_TOKEN=t"}, "DEAD_LETTER_AUTH: is set, but DEAD_LETTER_URL is not; leave it out"},
		{"a token with a space", []string{"HANDLER_AUTH=bearer", "HANDLER_BEARER_TOKEN=Bearer s3cret"}, "HANDLER_BEARER_TOKEN: holds characters that cannot be sent; want visible ASCII without spaces"},
		{"a user with a colon", []string{"HANDLER_AUTH=basic", "HANDLER_BASIC_USERNAME=a:b", "HANDLER_BASIC_PASSWORD=s3cret\n\n"}, "HANDLER_BASIC_PASSWORD: holds characters that cannot be sent; want a password without control characters\nHANDLER_BASIC_USERNAME: holds characters that cannot be sent; want a name without colons and control characters"},
		{"no signature secrets", []string{"HANDLER_AUTH=signature", "HANDLER_SIGNATURE_SECRETS=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw,s3cret!", "DEAD_LETTER_URL=http://h", "DEAD_LETTER_AUTH=signature", "DEAD_LETTER_SIGNATURE_SECRETS=,"}, "DEAD_LETTER_SIGNATURE_SECRETS: holds no secret; want at least one\nHANDLER_SIGNATURE_SECRETS: entry 2 is no secret of Standard Webhooks; want base64 with or without whsec_ before it, several separated by commas or white space"},
		{"an AWS that is not told", []string{"HANDLER_AUTH=sigv4"}, "HANDLER_SIGV4_REGION: is not set, nor is AWS_REGION, and the URL's host does not tell it; want a region, like eu-central-1\nHANDLER_SIGV4_SERVICE: is not set, and the URL's host does not tell it; want lambda for function URLs, execute-api for API Gateway, or vpc-lattice-svcs"},
		{"an AWS that is none", []string{"HANDLER_AUTH=sigv4", "HANDLER_SIGV4_REGION=Frankfurt", "HANDLER_SIGV4_SERVICE=a/b"}, "HANDLER_SIGV4_REGION: \"Frankfurt\" is no region; want one like eu-central-1\nHANDLER_SIGV4_SERVICE: \"a/b\" is no service; want one like lambda, execute-api or vpc-lattice-svcs"},
		{"a header of the authentication", []string{"HANDLER_AUTH=bearer", "HANDLER_BEARER_TOKEN=t", "HANDLER_HEADERS=Authorization: s3cret"}, "HANDLER_HEADERS: entry 1 sets authorization, which HANDLER_AUTH=bearer sets itself; leave it out"},
		{"a header of the signature", []string{"HANDLER_AUTH=signature", "HANDLER_SIGNATURE_SECRETS=MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "HANDLER_HEADERS=Webhook-Id: 1"}, "HANDLER_HEADERS: entry 1 sets webhook-id, which HANDLER_AUTH=signature sets itself; leave it out"},
		{"a token's file", []string{"HANDLER_BEARER_TOKEN_FILE=/x"}, "HANDLER_BEARER_TOKEN_FILE: the file cannot be read (no such file or directory); want the path of a readable file"},
		// Files.
		{"value and file", []string{"HANDLER_HEADERS=a: b", "HANDLER_HEADERS_FILE=/x"}, "HANDLER_HEADERS_FILE: is set beside HANDLER_HEADERS; want the value or the file, not both"},
		{"option and file", []string{"KAFKA_OPTION_SASL_PASSWORD=a", "KAFKA_OPTION_SASL_PASSWORD_FILE=/x"}, "KAFKA_OPTION_SASL_PASSWORD_FILE: is set beside KAFKA_OPTION_SASL_PASSWORD; want the value or the file, not both"},
		{"no file", []string{"SUBSCRIPTION_OPTIONS_FILE=/nowhere/x", "KAFKA_OPTION_SASL_PASSWORD_FILE=/nowhere/x"}, "KAFKA_OPTION_SASL_PASSWORD_FILE: the file cannot be read (no such file or directory); want the path of a readable file\nSUBSCRIPTION_OPTIONS_FILE: the file cannot be read (no such file or directory); want the path of a readable file"},
		{"an empty file", []string{"HANDLER_HEADERS_FILE=/dev/null", "KAFKA_OPTION_SASL_PASSWORD_FILE=/dev/null"}, "HANDLER_HEADERS_FILE: the file is empty; want the value of HANDLER_HEADERS in it\nKAFKA_OPTION_SASL_PASSWORD_FILE: the file is empty; want the value of KAFKA_OPTION_SASL_PASSWORD in it"},
		{"a file without end", []string{"HANDLER_HEADERS_FILE=/dev/zero"}, "HANDLER_HEADERS_FILE: the file cannot be read (larger than 1 MiB); want the path of a readable file"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := message(with(c.env...)); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestAllMistakesAreToldAtOnceAndSorted(t *testing.T) {
	got := message([]string{"RATE_LIMIT=x", "KAFKA_TYPO=1", "HANDLER_TIMEOUT=abc", "PAUSED=1", "SUBSCRIPTION_OPTIONS=acks=1"})
	want := strings.Join([]string{
		`HANDLER_TIMEOUT: "abc" is not valid; want a duration above zero, like 500ms, 20s or 1m30s`,
		"KAFKA_BOOTSTRAP_SERVERS: is not set and no other form names a Kafka cluster; want brokers, like localhost:9092, or KAFKA_CLUSTERS",
		"KAFKA_TYPO: is not known; want a name of the reference (kafka-sidecar help env)",
		`PAUSED: "1" is not valid; want true or false`,
		`RATE_LIMIT: "x" is not valid; want attempts a second, like 100/s or 0.5/s`,
		"SUBSCRIPTION_OPTIONS: option acks cannot be honoured: it is for producers; leave it out",
		"SUBSCRIPTION_SINK: is not set; want service://<Service>/<handler>, http(s)://host/path, or lambda:// and a function",
		"SUBSCRIPTION_SOURCE: is not set; want kafka://<cluster>/<topic>",
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	_, err := Parse([]string{"PAUSED=1"})
	if all := (*Errors)(nil); !errors.As(err, &all) || len(all.Problems) != 4 {
		t.Errorf("%v is no *Errors with all problems", err)
	}
}

func TestMistakesBesideAnOptionThatCannotBeReadAreToldToo(t *testing.T) {
	const unknown = "option foo is not one of librdkafka's; want a name of librdkafka's CONFIGURATION.md"
	path := file(t, "p", "bootstrap.servers=b\ngroup.id=a\ngroup.id=b\nfoo=1\n")
	for name, c := range map[string]struct{ env, want []string }{
		"lines": {with("SUBSCRIPTION_OPTIONS=bar\nfoo=1"), []string{
			"SUBSCRIPTION_OPTIONS: line 1 is not name=value; want a JSON object, or name=value lines", "SUBSCRIPTION_OPTIONS: " + unknown,
		}},
		"JSON": {with(`SUBSCRIPTION_OPTIONS={"bar":[],"foo":1}`), []string{
			"SUBSCRIPTION_OPTIONS: option bar is neither a string nor a number nor a boolean; want one of these", "SUBSCRIPTION_OPTIONS: " + unknown,
		}},
		"properties": {with("KAFKA_BOOTSTRAP_SERVERS=", "KAFKA_CLUSTERS_0_NAME=my-cluster", "KAFKA_CLUSTERS_0_OPTIONS_FILE="+path), []string{
			"KAFKA_CLUSTERS_0_OPTIONS_FILE: line 3 sets group.id a second time; want a .properties file", "KAFKA_CLUSTERS_0_OPTIONS_FILE: " + unknown,
		}},
	} {
		if got, want := message(c.env), strings.Join(c.want, "\n"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestMisspeltNamesAreShownBesideTheMistakes(t *testing.T) {
	got := message(with("UBSCRIPTION_SINK=http://h/x", "SUBSCRIPTION_SINK=", "CONCURENCY=7", "LOGLEVEL=debug", "LOG_LEVEL=info"))
	want := strings.Join([]string{
		"SUBSCRIPTION_SINK: is not set; want service://<Service>/<handler>, http(s)://host/path, or lambda:// and a function",
		"warning: CONCURENCY: is not read by anything here; did you mean CONCURRENCY?",
		"warning: UBSCRIPTION_SINK: is not read by anything here; did you mean SUBSCRIPTION_SINK?",
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestUnknownNames(t *testing.T) {
	cases := map[string]string{
		"KAFKA_BOOTSTRAP_SERVER=x":    "KAFKA_BOOTSTRAP_SERVER: is not known; did you mean KAFKA_BOOTSTRAP_SERVERS?",
		"KAFKA_GROUP_ID=x":            "KAFKA_GROUP_ID: is not known; did you mean KAFKA_OPTION_GROUP_ID?",
		"KAFKA_SASL_PASSWORD_FILE=x":  "KAFKA_SASL_PASSWORD_FILE: is not known; did you mean KAFKA_OPTION_SASL_PASSWORD_FILE?",
		"SUBSCRIPTIONS=x":             "SUBSCRIPTIONS: is not known; did you mean SUBSCRIPTION?",
		"HANDLER_TIMOUT=x":            "HANDLER_TIMOUT: is not known; did you mean HANDLER_TIMEOUT?",
		"RETRY_MAX_INTERVALL=x":       "RETRY_MAX_INTERVALL: is not known; did you mean RETRY_MAX_INTERVAL?",
		"DEAD_LETTER_QUEUE=x":         "DEAD_LETTER_QUEUE: is not known; want a name of the reference (kafka-sidecar help env)",
		"PARKED_LIMIT=x":              "PARKED_LIMIT: is not known; want a name of the reference (kafka-sidecar help env)",
		"MAX_IN_FLIGHT_RECORDS=x":     "MAX_IN_FLIGHT_RECORDS: is not known; want a name of the reference (kafka-sidecar help env)",
		"HANDLER_FOO\n=x":             "HANDLER_FOO?: is not known; want a name of the reference (kafka-sidecar help env)",
		"KAFKA_CLUSTERS_1_BROKER=x":   "KAFKA_BOOTSTRAP_SERVERS: is set beside another form of naming clusters; want one of the two\nKAFKA_CLUSTERS_1_BROKER: is not known; want KAFKA_CLUSTERS_<n>_NAME, _BROKERS, _OPTIONS or _OPTIONS_FILE with n from 0, or KAFKA_CLUSTERS_FILE",
		"HANDLER_TIMEOUT_FILE=x":      "HANDLER_TIMEOUT_FILE: is not known; want the value itself in HANDLER_TIMEOUT",
		"kafka_bootstrap=x":           "",
		"KAFKA_SERVICE_HOST=x":        "",
		"KAFKA_SERVICE_PORT=x":        "",
		"KAFKA_SERVICE_PORT_CLIENT=x": "",
		"KAFKA_PORT=tcp://1.2.3.4:9":  "",
		"KAFKA_PORT_9092_TCP=x":       "",
		"KAFKA_OPTION_SERVICE_HOST=x": "",
		"KAFKA_OPTION_PORT_1_TCP=x":   "",
		"HANDLER_PORT_80_TCP_PROTO=x": "",
		"HANDLER_PORT_80_UDP_PORT=x":  "",
		"HANDLER_PORT_80_SCTP_ADDR=x": "",
		"KAFKA_PORT_9092_TCPX=x":      "KAFKA_PORT_9092_TCPX: is not known; want a name of the reference (kafka-sidecar help env)",
		"OTHER=x":                     "",
	}
	for line, want := range cases {
		if got := message(with(line)); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	cases := []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "acb", 1}, {"abc", "ab", 1}, {"ab", "abc", 1}, {"kitten", "sitting", 3}, {"a", "abcdef", 4}}
	for _, c := range cases {
		if got := distance(c.a, c.b, 3); got != c.want && (c.want <= 3 || got <= 3) {
			t.Errorf("%s to %s: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
