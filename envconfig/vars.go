package envconfig

// variables is every variable that the product knows, in the order of the reference. Tags beside those of caarlos0/env:
//
//	group    starts a group of the reference
//	desc     what the variable means, in Markdown
//	default  the default as the reference words it, where envDefault does not say it
//	values   the words allowed, comma separated
//	file     true: the twin <NAME>_FILE may hold the value
//	pattern  the name as documented, for a family of variables (env is "-")
//
// Empty variables count as unset, for the library (with envDefault) and for us (parse.go drops them first).
type variables struct {
	SubscriptionSource  string      `group:"Subscription" env:"SUBSCRIPTION_SOURCE" default:"required" desc:"what is consumed: kafka://<cluster>/<topic>, one topic"`
	SubscriptionSink    string      `env:"SUBSCRIPTION_SINK" file:"true" default:"required" desc:"who is invoked: service://<Service>/<handler> under HANDLER_URL, or http(s)://host/path where {key}, {topic}, {partition} and {offset} are filled in, or lambda:// and a function's name or ARN, with its version or alias. A query string is sent and shown nowhere; user and password are a mistake"`
	SubscriptionOptions string      `env:"SUBSCRIPTION_OPTIONS" file:"true" default:"{}" desc:"librdkafka options (see below): a JSON object, or name=value lines"`
	Subscription        string      `env:"SUBSCRIPTION" file:"true" desc:"instead of the three above: the JSON that Restate's POST /subscriptions takes, with source, sink and options"`
	SubscriptionID      string      `env:"SUBSCRIPTION_ID" default:"sub_ and 16 hex digits of a hash over source, sink and HANDLER_URL" desc:"name of the subscription, sent as restate.subscription.id and the default of group.id. Required (or group.id) where the sink's host is a loopback"`
	KafkaOption         string      `env:"-" pattern:"KAFKA_OPTION_<NAME>" file:"true" desc:"one librdkafka option: _ is a dot, __ is _, ___ is -, so that KAFKA_OPTION_SASL_PASSWORD is sasl.password"`
	KafkaBootstrap      string      `group:"Kafka clusters" env:"KAFKA_BOOTSTRAP_SERVERS" desc:"short form: the brokers of the one cluster, which the source names. A mistake beside any other form"`
	KafkaClusters       string      `env:"KAFKA_CLUSTERS" desc:"clusters in Restate's own form, [{name=\"my-cluster\",brokers=[\"PLAINTEXT://broker:9092\"],\"sasl.username\"=\"me\"}], or the same as JSON. Other keys are librdkafka options"`
	RestateClusters     string      `env:"RESTATE_INGRESS__KAFKA_CLUSTERS" file:"true" desc:"the same, under Restate's name"`
	KafkaClustersFile   string      `env:"KAFKA_CLUSTERS_FILE" desc:"a file with clusters: restate.toml with [[ingress.kafka-clusters]], or the list above"`
	ClusterName         string      `env:"-" pattern:"KAFKA_CLUSTERS_<n>_NAME" desc:"name of cluster n, counted from 0 without gaps"`
	ClusterBrokers      string      `env:"-" pattern:"KAFKA_CLUSTERS_<n>_BROKERS" default:"bootstrap.servers of its options" desc:"its brokers, comma separated, each with an optional PLAINTEXT://, SSL://, SASL_PLAINTEXT:// or SASL_SSL:// that sets security.protocol"`
	ClusterOptions      string      `env:"-" pattern:"KAFKA_CLUSTERS_<n>_OPTIONS" desc:"its librdkafka options: a JSON object, or name=value lines"`
	ClusterOptionsFile  string      `env:"-" pattern:"KAFKA_CLUSTERS_<n>_OPTIONS_FILE" desc:"a .properties file as Kafka vendors hand out; KAFKA_CLUSTERS_<n>_OPTIONS goes over it"`
	HandlerURL          string      `group:"Handler" env:"HANDLER_URL" default:"required with service://" desc:"base URL for service:// sinks; a mistake with others"`
	HandlerProtocol     string      `env:"HANDLER_PROTOCOL" values:"http,restate" default:"http" desc:"http: POST {base}/{Service}/{handler} or {base}/{Service}/{key}/{handler}; restate: Restate's ingress, the same behind /restate/send. A mistake with other sinks than service://"`
	HandlerType         string      `env:"HANDLER_TYPE" values:"service,object,object-shared,workflow,workflow-shared,auto" default:"auto where RESTATE_ADMIN_URL is set; required with HANDLER_PROTOCOL=restate without it; else service" desc:"what a service:// sink is: objects and workflows are keyed, object and workflow are delivered in order per key; auto asks Restate. A mistake with other sinks"`
	RestateAdminURL     string      `env:"RESTATE_ADMIN_URL" desc:"base URL of Restate's Admin API, which is asked for the handler's type, like http://localhost:9070. With HANDLER_PROTOCOL=restate it gets HANDLER_HEADERS and the token or password of HANDLER_AUTH too, and HANDLER_TLS_CA, _CERT and _KEY hold for it"`
	HandlerTimeout      duration    `env:"HANDLER_TIMEOUT" envDefault:"20s" desc:"the longest one attempt may take"`
	HandlerContentType  string      `env:"HANDLER_CONTENT_TYPE" envDefault:"application/json" desc:"content type of the request"`
	HandlerFormat       string      `env:"HANDLER_FORMAT" values:"value,envelope,cloudevents,cloudevents-structured,lambda" default:"value; lambda for lambda://" desc:"body of the request: value (the record's bytes), envelope (JSON with everything), cloudevents (binary mode), cloudevents-structured, lambda (a Kafka event of one record, as Lambda's own event sources make it)"`
	HandlerHeaders      string      `env:"HANDLER_HEADERS" file:"true" desc:"extra request headers: Name: value per line, or a JSON object. Values count as secrets"`
	HandlerForward      string      `env:"HANDLER_FORWARD_HEADERS" default:"none" desc:"record headers that are passed on: a comma list of names, * matches any part"`
	HandlerHeaderStyle  string      `env:"HANDLER_HEADER_STYLE" values:"restate,dashes" envDefault:"restate" desc:"names of our headers: restate (kafka.topic) or dashes (kafka-topic, for proxies that drop dots)"`
	HandlerAuth         string      `env:"HANDLER_AUTH" values:"none,bearer,basic,signature,google-id-token,sigv4" envDefault:"none" desc:"how a request proves who sent it; signature is that of Standard Webhooks, sigv4 that of AWS. A mistake with lambda://, whose requests are signed for AWS anyway"`
	HandlerBearer       string      `env:"HANDLER_BEARER_TOKEN" file:"true" default:"required with bearer" desc:"token for HANDLER_AUTH=bearer"`
	HandlerBasicUser    string      `env:"HANDLER_BASIC_USERNAME" file:"true" default:"required with basic" desc:"user for HANDLER_AUTH=basic"`
	HandlerBasicPass    string      `env:"HANDLER_BASIC_PASSWORD" file:"true" default:"required with basic" desc:"password for HANDLER_AUTH=basic"`
	HandlerSignature    string      `env:"HANDLER_SIGNATURE_SECRETS" file:"true" default:"required with signature" desc:"secrets for HANDLER_AUTH=signature in base64, with or without whsec_ before them, separated by commas or white space; each message is signed with all of them"`
	HandlerGoogle       string      `env:"HANDLER_GOOGLE_AUDIENCE" default:"required with google-id-token" desc:"audience for HANDLER_AUTH=google-id-token: for Cloud Run the service's URL"`
	HandlerSigV4Region  string      `env:"HANDLER_SIGV4_REGION" default:"that of the URL's host, else AWS_REGION" desc:"region for HANDLER_AUTH=sigv4"`
	HandlerSigV4Service string      `env:"HANDLER_SIGV4_SERVICE" default:"that of the URL's host" desc:"service for HANDLER_AUTH=sigv4: lambda (function URLs), execute-api (API Gateway), vpc-lattice-svcs"`
	HandlerTLSCA        string      `env:"HANDLER_TLS_CA" file:"true" default:"system roots" desc:"PEM of the authorities that the handler's certificate is checked against"`
	HandlerTLSCert      string      `env:"HANDLER_TLS_CERT" file:"true" desc:"PEM of our client certificate"`
	HandlerTLSKey       string      `env:"HANDLER_TLS_KEY" file:"true" desc:"PEM of its key"`
	HandlerTLSName      string      `env:"HANDLER_TLS_SERVER_NAME" default:"the URL's host" desc:"name that the handler's certificate must hold"`
	NullKey             string      `env:"NULL_KEY" values:"fail,empty" envDefault:"fail" desc:"keyed sinks: what a record without key becomes"`
	InvalidKey          string      `env:"INVALID_KEY" values:"fail,base64url" envDefault:"fail" desc:"service:// sinks: what a key that is not valid UTF-8 becomes"`
	Tombstones          string      `env:"TOMBSTONES" values:"deliver,skip,fail" envDefault:"deliver" desc:"records without value: deliver (empty body, header kafka.tombstone: true), skip or fail"`
	DoneStatuses        string      `env:"HANDLER_DONE_STATUSES" desc:"further statuses that count as done, comma list, 5xx allowed"`
	RetryStatuses       string      `env:"HANDLER_RETRY_STATUSES" desc:"further statuses that are tried again"`
	FailStatuses        string      `env:"HANDLER_FAIL_STATUSES" desc:"further statuses that fail the record"`
	LambdaPartialBatch  toggle      `env:"LAMBDA_PARTIAL_BATCH" envDefault:"false" desc:"as a Lambda function: true answers batchItemFailures, in place of failing the invocation for one unsettled record. Only where the event source mapping has ReportBatchItemFailures: any other takes such an answer for success, and the records are lost"`
	Ordering            string      `group:"Order, limits, retries, failure" env:"ORDERING" values:"key,partition,none" default:"key; none for service and the shared types" desc:"what is delivered one at a time: the records of a key, of a partition, or nothing"`
	Concurrency         count       `env:"CONCURRENCY" envDefault:"64" desc:"attempts running at once; second and later ones use at most a quarter while first ones wait"`
	MaxInFlight         count       `env:"MAX_IN_FLIGHT" envDefault:"10000" desc:"records taken in and not settled"`
	MaxInFlightBytes    size        `env:"MAX_IN_FLIGHT_BYTES" envDefault:"64MiB" desc:"their bytes; one larger record is still taken, alone"`
	RetryInitial        duration    `env:"RETRY_INITIAL_INTERVAL" envDefault:"200ms" default:"200ms; RETRY_MAX_INTERVAL where that is less" desc:"the wait before attempt n is uniform between 0 and this times RETRY_FACTOR to the power n-2"`
	RetryMax            duration    `env:"RETRY_MAX_INTERVAL" envDefault:"60s" desc:"the longest wait between attempts"`
	RetryFactor         factor      `env:"RETRY_FACTOR" envDefault:"2" desc:"growth of the wait, 1 to 100"`
	RetryMaxAttempts    maxAttempts `env:"RETRY_MAX_ATTEMPTS" envDefault:"unlimited" desc:"attempts after which a record counts as failed; connection errors, 502, 503 and 504 are not counted"`
	RetryMaxAge         maxAge      `env:"RETRY_MAX_AGE" envDefault:"unlimited" desc:"time since the first attempt after which a record counts as failed"`
	OnFailure           string      `env:"ON_FAILURE" values:"park,dead-letter,drop,stop" default:"park; dead-letter where a target is set" desc:"what a failed record becomes: park (its lane waits and is tried again), dead-letter, drop, or stop (drain and exit 3)"`
	DeadLetterTopic     string      `env:"DEAD_LETTER_TOPIC" desc:"topic for failed records, on the source's cluster and not the source itself"`
	DeadLetterURL       string      `env:"DEAD_LETTER_URL" file:"true" desc:"URL for failed records, instead of a topic. A query string is sent and shown nowhere"`
	DeadLetterAuth      string      `env:"DEAD_LETTER_AUTH" values:"none,bearer,basic,signature,google-id-token,sigv4" envDefault:"none" desc:"how a request to DEAD_LETTER_URL proves who sent it"`
	DeadLetterBearer    string      `env:"DEAD_LETTER_BEARER_TOKEN" file:"true" desc:"as HANDLER_BEARER_TOKEN"`
	DeadLetterBasicUser string      `env:"DEAD_LETTER_BASIC_USERNAME" file:"true" desc:"as HANDLER_BASIC_USERNAME"`
	DeadLetterBasicPass string      `env:"DEAD_LETTER_BASIC_PASSWORD" file:"true" desc:"as HANDLER_BASIC_PASSWORD"`
	DeadLetterSignature string      `env:"DEAD_LETTER_SIGNATURE_SECRETS" file:"true" desc:"as HANDLER_SIGNATURE_SECRETS"`
	DeadLetterGoogle    string      `env:"DEAD_LETTER_GOOGLE_AUDIENCE" desc:"as HANDLER_GOOGLE_AUDIENCE"`
	DeadLetterSigRegion string      `env:"DEAD_LETTER_SIGV4_REGION" desc:"as HANDLER_SIGV4_REGION"`
	DeadLetterSigSvc    string      `env:"DEAD_LETTER_SIGV4_SERVICE" desc:"as HANDLER_SIGV4_SERVICE"`
	FailureLimit        failures    `env:"FAILURE_LIMIT" envDefault:"100" desc:"after this many failed records in a row without one success, further failures are retried instead of settled; off for no limit"`
	ParkedMax           count       `env:"PARKED_MAX" envDefault:"100000" desc:"records of parked lanes, outside MAX_IN_FLIGHT"`
	ParkedMaxBytes      size        `env:"PARKED_MAX_BYTES" envDefault:"64MiB" desc:"their bytes"`
	SkipRecords         string      `env:"SKIP_RECORDS" desc:"records that count as settled: <partition>@<offset>, comma list"`
	RateLimit           rate        `env:"RATE_LIMIT" default:"none" desc:"attempts a second, like 100/s"`
	StartAt             string      `group:"Position, life cycle, operation" env:"START_AT" default:"auto.offset.reset (latest)" desc:"where a group without any commit starts: earliest, latest, an RFC 3339 time, or an age like -2h"`
	EndAt               string      `env:"END_AT" default:"never" desc:"where to finish: latest (what is there at start), an RFC 3339 time, or an age like -2h, in the past. When everything before it is settled: commit and exit 0; when only keys are left that keep failing: exit 5; stopped before: exit 1"`
	CommitInterval      duration    `env:"COMMIT_INTERVAL" envDefault:"1s" desc:"how often settled offsets are committed (also every 5,000 settled)"`
	StartupTimeout      duration    `env:"STARTUP_TIMEOUT" envDefault:"60s" desc:"how long broker, topic, credentials or the Restate service may be missing at start before exit 1"`
	ShutdownTimeout     duration    `env:"SHUTDOWN_TIMEOUT" envDefault:"25s" default:"25s; 8s on Cloud Run" desc:"the time to drain after SIGTERM"`
	Paused              toggle      `env:"PAUSED" envDefault:"false" desc:"true: join the group and read nothing"`
	AdminAddr           string      `env:"ADMIN_ADDR" envDefault:":9464" desc:"address of /live, /ready, /startup, /metrics and /subscription; off for none"`
	MetricsEMF          toggle      `env:"METRICS_EMF" envDefault:"false" desc:"true: CloudWatch embedded metric format on standard output, one document a minute; as a Lambda function, one after each invocation"`
	MetricsEMFNamespace string      `env:"METRICS_EMF_NAMESPACE" envDefault:"KafkaSidecar" desc:"CloudWatch namespace of these metrics"`
	LogLevel            string      `env:"LOG_LEVEL" values:"debug,info,warn,error" envDefault:"info" desc:"the least level that is logged"`
	LogFormat           string      `env:"LOG_FORMAT" values:"json,text" default:"json; text on a terminal" desc:"form of a log line"`
	OTelEndpoint        string      `group:"Spans (OpenTelemetry)" env:"OTEL_EXPORTER_OTLP_ENDPOINT" default:"none: no spans" desc:"base URL of an OTLP collector, like http://localhost:4318; spans go to its /v1/traces. Where it is set each attempt has a span"`
	SpanEndpoint        string      `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" desc:"URL for spans, used as it stands. This and the other OTEL_EXPORTER_OTLP_TRACES_ variables go over those without TRACES_"`
	OTelProtocol        string      `env:"OTEL_EXPORTER_OTLP_PROTOCOL" default:"http/protobuf" desc:"protocol of the collector; http/protobuf is the only one"`
	SpanProtocol        string      `env:"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" desc:"the same for spans alone"`
	OTelHeaders         string      `env:"OTEL_EXPORTER_OTLP_HEADERS" file:"true" desc:"headers of every export, name=value, comma separated, values percent-encoded. Values count as secrets"`
	SpanHeaders         string      `env:"OTEL_EXPORTER_OTLP_TRACES_HEADERS" file:"true" desc:"the same for spans alone"`
	OTelTimeout         string      `env:"OTEL_EXPORTER_OTLP_TIMEOUT" default:"10000" desc:"milliseconds for one request to the collector"`
	SpanTimeout         string      `env:"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT" desc:"the same for spans alone"`
	OTelCompression     string      `env:"OTEL_EXPORTER_OTLP_COMPRESSION" default:"none" desc:"gzip or none"`
	SpanCompression     string      `env:"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION" desc:"the same for spans alone"`
	OTelCertificate     string      `env:"OTEL_EXPORTER_OTLP_CERTIFICATE" default:"system roots" desc:"PEM file of the authorities that the collector's certificate is checked against"`
	SpanCertificate     string      `env:"OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE" desc:"the same for spans alone"`
	OTelClientCert      string      `env:"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE" desc:"PEM file of our client certificate"`
	SpanClientCert      string      `env:"OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE" desc:"the same for spans alone"`
	OTelClientKey       string      `env:"OTEL_EXPORTER_OTLP_CLIENT_KEY" desc:"PEM file of its key"`
	SpanClientKey       string      `env:"OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY" desc:"the same for spans alone"`
	OTelExporter        string      `env:"OTEL_TRACES_EXPORTER" default:"otlp where an endpoint is set" desc:"otlp, or none for no spans"`
	OTelDisabled        string      `env:"OTEL_SDK_DISABLED" default:"false" desc:"true: no spans"`
	OTelServiceName     string      `env:"OTEL_SERVICE_NAME" default:"SUBSCRIPTION_ID" desc:"service.name of the spans"`
	OTelResource        string      `env:"OTEL_RESOURCE_ATTRIBUTES" desc:"further attributes of what the spans come from, name=value, comma separated, values percent-encoded"`
	OTelSampler         string      `env:"OTEL_TRACES_SAMPLER" default:"parentbased_always_on" desc:"which traces are exported: always_on, always_off or traceidratio, or one of them after parentbased_ for traces that begin here, where the others follow the record"`
	OTelSamplerArg      string      `env:"OTEL_TRACES_SAMPLER_ARG" default:"1" desc:"share of the traces, 0 to 1, for the samplers with traceidratio"`
	OTelDelay           string      `env:"OTEL_BSP_SCHEDULE_DELAY" default:"5000" desc:"milliseconds that a batch of spans waits to fill"`
	OTelExportTimeout   string      `env:"OTEL_BSP_EXPORT_TIMEOUT" default:"30000" desc:"milliseconds for one batch, with what is tried again"`
	OTelQueue           string      `env:"OTEL_BSP_MAX_QUEUE_SIZE" default:"2048" desc:"spans that wait for their export, at most 100000; more are dropped and counted"`
	OTelBatch           string      `env:"OTEL_BSP_MAX_EXPORT_BATCH_SIZE" default:"512" desc:"spans of one batch, at most the queue"`
}
