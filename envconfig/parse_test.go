package envconfig

import (
	"reflect"
	"testing"
	"time"
)

// smallestConfig is what the smallest configuration comes to: the defaults of the contract.
func smallestConfig() *Config {
	return &Config{
		Subscription: Subscription{
			ID: "orders-to-billing", Cluster: "my-cluster", Topic: "orders", Source: "kafka://my-cluster/orders",
			Sink:    Sink{Kind: SinkHTTP, URL: "http://localhost:8080/orders", Display: "http://localhost:8080/orders"},
			Options: map[string]string{"group.id": "orders-to-billing", "client.id": "kafka-sidecar"},
		},
		Kafka: Kafka{
			Name: "my-cluster", Brokers: []string{"localhost:9092"}, ClientID: "kafka-sidecar", GroupID: "orders-to-billing",
			SessionTimeout: 45 * time.Second, HeartbeatInterval: 3 * time.Second, RebalanceTimeout: time.Minute, ReadCommitted: true,
			FetchMinBytes: 1, FetchMaxBytes: 8 << 20, PartitionMaxBytes: 1 << 20, FetchMaxWait: 500 * time.Millisecond,
			FetchErrorBackoff: 500 * time.Millisecond, MaxResponseBytes: 100000000, SocketTimeout: time.Minute, SetupTimeout: 30 * time.Second,
			ReconnectBackoff: 100 * time.Millisecond, ReconnectBackoffMax: 10 * time.Second, RetryBackoff: 100 * time.Millisecond,
			RetryBackoffMax: time.Second, MetadataMaxAge: 5 * time.Minute, Network: "tcp", NoDelay: true,
		},
		Handler: Handler{
			Timeout: 20 * time.Second, ContentType: "application/json", Format: FormatValue, HeaderStyle: "restate", Auth: Auth{Kind: AuthNone},
			NullKey: "fail", InvalidKey: "fail", Tombstones: "deliver",
		},
		Delivery: Delivery{
			Ordering: "key", Concurrency: 64, MaxInFlight: 10000, MaxInFlightBytes: 64 << 20, RetryInitialInterval: 200 * time.Millisecond,
			RetryMaxInterval: time.Minute, RetryFactor: 2, OnFailure: "park", FailureLimit: 100, ParkedMax: 100000, ParkedMaxBytes: 64 << 20,
		},
		DeadLetter: DeadLetter{Auth: Auth{Kind: AuthNone}},
		Run: Run{
			StartAt: StartAt{Kind: "latest"}, CommitInterval: time.Second, StartupTimeout: time.Minute, ShutdownTimeout: 25 * time.Second,
			AdminAddr: ":9464", LogLevel: "info",
		},
	}
}

func TestSmallestConfigurationHasTheDefaultsOfTheContract(t *testing.T) {
	if got := mustParse(t, smallest...); !reflect.DeepEqual(got, smallestConfig()) {
		t.Errorf("got\n%+v\nwant\n%+v", got, smallestConfig())
	}
}

func TestGoodEnvironments(t *testing.T) {
	service := func(kind string, c *Config) {
		c.Subscription.Sink = Sink{Kind: SinkService, Service: "Billing", Handler: "charge", Keyed: kind != "service", Display: "service://Billing/charge"}
		c.Handler.BaseURL, c.Handler.Protocol, c.Handler.Type = "http://localhost:9080/base", "http", kind
	}
	serviceEnv := func(more ...string) []string {
		return append(more, "SUBSCRIPTION_SINK=service://Billing/charge", "HANDLER_URL=http://localhost:9080/base/")
	}
	cases := []struct {
		name   string
		env    []string
		change func(*Config)
	}{
		{"an empty variable counts as unset", []string{"HANDLER_TIMEOUT=", "KAFKA_CLUSTERS=", "KAFKA_NONSENSE=", "HANDLER_AUTH="}, func(c *Config) {}},
		{"variables of the handler", []string{
			"HANDLER_TIMEOUT=5s", "HANDLER_CONTENT_TYPE=text/plain; charset=utf-8", "HANDLER_FORMAT=envelope", "HANDLER_HEADER_STYLE=dashes", "HANDLER_AUTH=none",
			"HANDLER_FORWARD_HEADERS=x-*, tenant ,", "TOMBSTONES=skip", "HANDLER_DONE_STATUSES=409,404", "HANDLER_RETRY_STATUSES=3xx", "HANDLER_FAIL_STATUSES=503",
			"HANDLER_HEADERS=X-One: a:b\n\n x-two:c ",
		}, func(c *Config) {
			h := &c.Handler
			h.Timeout, h.ContentType, h.Format, h.HeaderStyle, h.Tombstones = 5*time.Second, "text/plain; charset=utf-8", FormatEnvelope, "dashes", "skip"
			h.ForwardHeaders = []string{"x-*", "tenant"}
			h.DoneStatuses, h.RetryStatuses, h.FailStatuses = []StatusRange{{409, 409}, {404, 404}}, []StatusRange{{300, 399}}, []StatusRange{{503, 503}}
			h.Headers = []HeaderValue{{"X-One", "a:b"}, {"x-two", "c"}}
		}},
		{"headers as JSON", []string{`HANDLER_HEADERS={"Authorization":"Bearer x=y"}`}, func(c *Config) {
			c.Handler.Headers = []HeaderValue{{"Authorization", "Bearer x=y"}}
		}},
		{"the first wait follows a shorter longest one", []string{"RETRY_MAX_INTERVAL=100ms"}, func(c *Config) {
			c.Delivery.RetryInitialInterval, c.Delivery.RetryMaxInterval = 100*time.Millisecond, 100*time.Millisecond
		}},
		{"variables of order, limits and failure", []string{
			"ORDERING=partition", "CONCURRENCY=2", "MAX_IN_FLIGHT=20", "MAX_IN_FLIGHT_BYTES=1000000", "RETRY_INITIAL_INTERVAL=1s", "RETRY_MAX_INTERVAL=1s",
			"RETRY_FACTOR=1.5", "RETRY_MAX_ATTEMPTS=3", "RETRY_MAX_AGE=24h", "ON_FAILURE=drop", "FAILURE_LIMIT=off", "PARKED_MAX=1", "PARKED_MAX_BYTES=2KiB",
			"SKIP_RECORDS=3@9,0@5, 3@7,3@9", "RATE_LIMIT=0.5/s",
		}, func(c *Config) {
			c.Delivery = Delivery{
				Ordering: "partition", Concurrency: 2, MaxInFlight: 20, MaxInFlightBytes: 1000000, RetryInitialInterval: time.Second, RetryMaxInterval: time.Second,
				RetryFactor: 1.5, RetryMaxAttempts: 3, RetryMaxAge: 24 * time.Hour, OnFailure: "drop", ParkedMax: 1, ParkedMaxBytes: 2048,
				SkipRecords: map[int32][]int64{0: {5}, 3: {7, 9}}, RateLimit: 0.5,
			}
		}},
		{"unlimited by name", []string{"RETRY_MAX_ATTEMPTS=unlimited", "RETRY_MAX_AGE=unlimited"}, func(c *Config) {}},
		{"variables of position and life cycle", []string{
			"START_AT=2026-01-31T08:00:00Z", "COMMIT_INTERVAL=200ms", "STARTUP_TIMEOUT=10s", "SHUTDOWN_TIMEOUT=60s", "PAUSED=true", "ADMIN_ADDR=127.0.0.1:0",
			"LOG_LEVEL=debug", "LOG_FORMAT=text",
		}, func(c *Config) {
			c.Run = Run{
				StartAt: StartAt{Kind: "time", Time: time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)}, CommitInterval: 200 * time.Millisecond,
				StartupTimeout: 10 * time.Second, ShutdownTimeout: time.Minute, Paused: true, AdminAddr: "127.0.0.1:0", LogLevel: "debug", LogFormat: "text",
			}
		}},
		{"an age and no admin", []string{"START_AT=-2h", "ADMIN_ADDR=off"}, func(c *Config) {
			c.Run.StartAt, c.Run.AdminAddr = StartAt{Kind: "age", Age: 2 * time.Hour}, ""
		}},
		{"a bounded replay", []string{"START_AT=earliest", "END_AT=2020-01-31T08:00:00Z"}, func(c *Config) {
			c.Run.StartAt.Kind, c.Run.EndAt = "earliest", EndAt{Kind: "time", Time: time.Date(2020, 1, 31, 8, 0, 0, 0, time.UTC)}
		}},
		{"an end by age", []string{"START_AT=-2h", "END_AT=-1h"}, func(c *Config) {
			c.Run.StartAt, c.Run.EndAt = StartAt{Kind: "age", Age: 2 * time.Hour}, EndAt{Kind: "age", Age: time.Hour}
		}},
		{"the end of today", []string{"START_AT=earliest", "END_AT=latest"}, func(c *Config) {
			c.Run.StartAt.Kind, c.Run.EndAt.Kind = "earliest", "latest"
		}},
		{"metrics for CloudWatch", []string{"METRICS_EMF=true"}, func(c *Config) { c.Run.EMFNamespace = "KafkaSidecar" }},
		{"their namespace", []string{"METRICS_EMF=true", "METRICS_EMF_NAMESPACE=shop/orders"}, func(c *Config) { c.Run.EMFNamespace = "shop/orders" }},
		{"earliest", []string{"START_AT=earliest"}, func(c *Config) { c.Run.StartAt.Kind = "earliest" }},
		{"a reset that is an error", []string{"KAFKA_OPTION_AUTO_OFFSET_RESET=error"}, func(c *Config) {
			c.Run.StartAt.Kind = "error"
			c.Subscription.Options["auto.offset.reset"] = "error"
		}},
		{"a keyed sink with a query", []string{"SUBSCRIPTION_SINK=https://h.example:8443/{topic}/{key}?p={partition}&o={offset}&token=hidden"}, func(c *Config) {
			c.Subscription.Sink = Sink{
				Kind: SinkHTTP, URL: "https://h.example:8443/{topic}/{key}?p={partition}&o={offset}&token=hidden", Keyed: true, Display: "https://h.example:8443/{topic}/{key}",
			}
		}},
		{"a dead letter topic", []string{"DEAD_LETTER_TOPIC=orders.dead"}, func(c *Config) {
			c.DeadLetter.Topic, c.Delivery.OnFailure = "orders.dead", "dead-letter"
		}},
		{"a dead letter URL", []string{"DEAD_LETTER_URL=https://dlq.example/in?key=1", "DEAD_LETTER_AUTH=none"}, func(c *Config) {
			c.DeadLetter.URL, c.Delivery.OnFailure = "https://dlq.example/in?key=1", "dead-letter"
		}},
		{"a service", serviceEnv(), func(c *Config) {
			service("service", c)
			c.Delivery.Ordering = "none"
		}},
		{"an object", serviceEnv("HANDLER_TYPE=object", "HANDLER_PROTOCOL=http"), func(c *Config) { service("object", c) }},
		{"a shared handler", serviceEnv("HANDLER_TYPE=workflow-shared"), func(c *Config) {
			service("workflow-shared", c)
			c.Delivery.Ordering = "none"
		}},
		{"a workflow in order of the partition", serviceEnv("HANDLER_TYPE=workflow", "ORDERING=partition", "NULL_KEY=empty", "INVALID_KEY=base64url"), func(c *Config) {
			service("workflow", c)
			c.Delivery.Ordering, c.Handler.NullKey, c.Handler.InvalidKey = "partition", "empty", "base64url"
		}},
		{"Restate's JSON", []string{
			"SUBSCRIPTION_SOURCE=", "SUBSCRIPTION_SINK=", "HANDLER_URL=http://localhost:9080/base",
			`SUBSCRIPTION={"source":"kafka://my-cluster/orders","sink":"service://Billing/charge","options":{"auto.offset.reset":"earliest"}}`,
		}, func(c *Config) {
			service("service", c)
			c.Delivery.Ordering, c.Run.StartAt.Kind = "none", "earliest"
			c.Subscription.Options["auto.offset.reset"] = "earliest"
		}},
		{"a group of another name", []string{"SUBSCRIPTION_OPTIONS=# mine\ngroup.id = billing\n"}, func(c *Config) {
			c.Kafka.GroupID, c.Subscription.Options["group.id"] = "billing", "billing"
		}},
		{"numbers and booleans in options", []string{`SUBSCRIPTION_OPTIONS={"session.timeout.ms":30000,"check.crcs":true}`}, func(c *Config) {
			c.Kafka.SessionTimeout, c.Kafka.CheckCRCs = 30*time.Second, true
			c.Subscription.Options["session.timeout.ms"], c.Subscription.Options["check.crcs"] = "30000", "true"
		}},
		{"a short session shortens the heartbeat", []string{"KAFKA_OPTION_SESSION_TIMEOUT_MS=6000"}, func(c *Config) {
			c.Kafka.SessionTimeout, c.Kafka.HeartbeatInterval = 6*time.Second, 2*time.Second
			c.Subscription.Options["session.timeout.ms"] = "6000"
		}},
		{"a long session lengthens the rebalance", []string{"KAFKA_OPTION_SESSION_TIMEOUT_MS=120000"}, func(c *Config) {
			c.Kafka.SessionTimeout, c.Kafka.RebalanceTimeout = 2*time.Minute, 2*time.Minute
			c.Subscription.Options["session.timeout.ms"] = "120000"
		}},
		{"a refresh that is off leaves the longer period", []string{"KAFKA_OPTION_TOPIC_METADATA_REFRESH_INTERVAL_MS=-1"}, func(c *Config) {
			c.Kafka.MetadataMaxAge = 15 * time.Minute
			c.Subscription.Options["topic.metadata.refresh.interval.ms"] = "-1"
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := smallestConfig()
			c.change(want)
			got := mustParse(t, with(c.env...)...)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}

func TestParseReadsNothingButTheList(t *testing.T) {
	t.Setenv("HANDLER_TIMEOUT", "1s")
	t.Setenv("KAFKA_TYPO", "x")
	if got := mustParse(t, smallest...).Handler.Timeout; got != 20*time.Second {
		t.Errorf("HANDLER_TIMEOUT of the process was read: %s", got)
	}
}

func TestShutdownTimeoutIsShorterOnCloudRun(t *testing.T) {
	if mustParse(t, smallest...).Run.CloudRun {
		t.Error("it is thought to run on Cloud Run")
	}
	for _, name := range []string{"K_SERVICE", "CLOUD_RUN_JOB", "CLOUD_RUN_WORKER_POOL"} {
		if got := mustParse(t, with(name+"=x")...).Run; got.ShutdownTimeout != 8*time.Second || !got.CloudRun {
			t.Errorf("%s: %s, want 8s; Cloud Run: %v", name, got.ShutdownTimeout, got.CloudRun)
		}
		if got := mustParse(t, with(name+"=x", "SHUTDOWN_TIMEOUT=9s")...).Run.ShutdownTimeout; got != 9*time.Second {
			t.Errorf("%s: %s, want the 9s that were set", name, got)
		}
	}
}

func TestDefaultsWrittenTwiceAgree(t *testing.T) {
	if got := mustParse(t, smallest...).Run.AdminAddr; got != DefaultAdminAddr {
		t.Errorf("ADMIN_ADDR defaults to %s, the constant is %s", got, DefaultAdminAddr)
	}
}

func TestNotes(t *testing.T) {
	cases := []struct {
		name string
		env  []string
		want string
	}{
		{"none for the smallest configuration", nil, ""},
		{"stop", []string{"ON_FAILURE=stop"}, "WARN ON_FAILURE: is stop: where something restarts the container, a record that fails makes a crash loop"},
		{"a target that is not used", []string{"ON_FAILURE=park", "DEAD_LETTER_TOPIC=d"}, "WARN ON_FAILURE: is park, so that the dead letter target is not used"},
		{"a timeout above the drain", []string{"HANDLER_TIMEOUT=30s"}, "INFO HANDLER_TIMEOUT: 30s is above what SHUTDOWN_TIMEOUT, which is 25s, leaves to attempts, 22s: a stop may cut them, exit 4, and they are made again"},
		{"a timeout that the final commit leaves no time for", []string{"HANDLER_TIMEOUT=23s"}, "INFO HANDLER_TIMEOUT: 23s is above what SHUTDOWN_TIMEOUT, which is 25s, leaves to attempts, 22s: a stop may cut them, exit 4, and they are made again"},
		{"a timeout above half of a short drain", []string{"HANDLER_TIMEOUT=3s", "SHUTDOWN_TIMEOUT=4s"}, "INFO HANDLER_TIMEOUT: 3s is above what SHUTDOWN_TIMEOUT, which is 4s, leaves to attempts, 2s: a stop may cut them, exit 4, and they are made again"},
		{"few in flight", []string{"MAX_IN_FLIGHT=10"}, "INFO MAX_IN_FLIGHT: 10 is below CONCURRENCY, which is 64: no more attempts than that run at once"},
		{"an exporter of spans without an endpoint", []string{"OTEL_TRACES_EXPORTER=otlp"}, "INFO OTEL_TRACES_EXPORTER: has no effect: there are no spans without OTEL_EXPORTER_OTLP_ENDPOINT"},
		{"keys of a sink without", []string{"NULL_KEY=empty", "INVALID_KEY=fail"}, "INFO INVALID_KEY: has no effect: the sink is not a keyed service://\nINFO NULL_KEY: has no effect: the sink is not keyed, and a null key is a key like others"},
		{"a namespace without metrics", []string{"METRICS_EMF_NAMESPACE=shop"}, "INFO METRICS_EMF_NAMESPACE: has no effect: METRICS_EMF is false"},
		{"TLS for http", []string{"HANDLER_TLS_SERVER_NAME=x"}, "INFO HANDLER_TLS_SERVER_NAME: has no effect: the handler's URL is http://"},
		{"SASL without SASL", []string{"KAFKA_OPTION_SASL_USERNAME=me"}, "INFO KAFKA_OPTION_SASL_USERNAME: option sasl.username has no effect: security.protocol has no SASL"},
		{"TLS without TLS", []string{"KAFKA_OPTION_SSL_CA_LOCATION=/x"}, "INFO KAFKA_OPTION_SSL_CA_LOCATION: option ssl.ca.location has no effect: security.protocol has no TLS"},
		{"no verification", []string{"SUBSCRIPTION_OPTIONS=security.protocol=ssl\nenable.ssl.certificate.verification=false"}, "WARN SUBSCRIPTION_OPTIONS: option enable.ssl.certificate.verification is false: any broker is trusted, and who is between can read and change everything"},
		{"a name near ours", []string{"LOGLEVEL=debug", "PAUSE=true", "PATH=/bin"}, "WARN LOGLEVEL: is not read by anything here; did you mean LOG_LEVEL?\nWARN PAUSE: is not read by anything here; did you mean PAUSED?"},
		{"a name near one that is set", []string{"LOGLEVEL=debug", "LOG_LEVEL=info"}, ""},
		{"who commits, whatever the value says", []string{`SUBSCRIPTION_OPTIONS={"enable.auto.commit":"yes","enable.auto.offset.store":"never"}`}, "INFO SUBSCRIPTION_OPTIONS: option enable.auto.commit has no effect: settled offsets are always committed by us\nINFO SUBSCRIPTION_OPTIONS: option enable.auto.offset.store has no effect: an offset counts when its record is settled"},
		{"our variable wins over a cluster's option", []string{
			"KAFKA_BOOTSTRAP_SERVERS=", `KAFKA_CLUSTERS=[{name="my-cluster",brokers=["b:1"],"auto.offset.reset"="earliest"}]`, "START_AT=latest",
		}, "INFO KAFKA_CLUSTERS: cluster my-cluster: option auto.offset.reset has no effect: START_AT is set and wins"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := noteTexts(mustParse(t, with(c.env...)...)); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
