package envconfig

import "time"

// Config is one validated subscription: everything the engine needs, nothing left to interpret.
type Config struct {
	Subscription Subscription
	Kafka        Kafka
	Handler      Handler
	Delivery     Delivery
	DeadLetter   DeadLetter
	Run          Run
	Tracing      Tracing
	Function     Function
	// Notes are things worth one log line at start: options without effect, harmless oddities.
	Notes []Note
}

// Subscription says what is consumed and who is invoked.
type Subscription struct {
	ID      string // restate.subscription.id
	Cluster string // name of the cluster in the source
	Topic   string
	Source  string // kafka://<cluster>/<topic>
	Sink    Sink
	Options map[string]string // effective librdkafka options as the user wrote them; secrets included, redact before showing
}

// SinkKind tells the forms of SUBSCRIPTION_SINK apart.
type SinkKind int

// The forms of SUBSCRIPTION_SINK.
const (
	SinkHTTP    SinkKind = iota // http(s)://host/path with {key}, {topic}, {partition}, {offset}
	SinkService                 // service://<Service>/<handler> under HANDLER_URL
	SinkLambda                  // lambda://<function>
)

// Sink is the parsed SUBSCRIPTION_SINK.
type Sink struct {
	Kind    SinkKind
	URL     Secret // SinkHTTP: the URL template, its query may hold a secret; see LoadURL
	Service string // SinkService
	Handler string // SinkService
	Lambda  Lambda // SinkLambda
	Keyed   bool   // the record's key is part of the request's path
	Display string // the sink without its query, for logs and /subscription
	from    *urlFile
}

// Lambda is a function and where the Invoke API is called for it.
type Lambda struct {
	Function  string // name or ARN, without the qualifier
	Qualifier string // version or alias; empty: the latest version
	Region    string
	Endpoint  string // base URL of the API
}

// Auth is how a request proves who sent it.
type Auth struct {
	Kind               string // none, bearer, basic, signature, google-id-token, sigv4
	Token              SecretRef
	Username, Password SecretRef
	Secrets            SecretRef
	Audience           string
	Region, Service    string
}

// Kafka is the cluster the source names, with every option that is honoured.
type Kafka struct {
	Name                                  string
	Brokers                               []string // host:port
	ClientID                              string
	GroupID                               string
	GroupInstanceID                       string // empty: dynamic membership
	Rack                                  string
	Security                              Security
	SessionTimeout                        time.Duration
	HeartbeatInterval                     time.Duration
	RebalanceTimeout                      time.Duration // max.poll.interval.ms
	ReadCommitted                         bool
	CheckCRCs                             bool
	FetchMinBytes                         int32
	FetchMaxBytes                         int32
	PartitionMaxBytes                     int32
	FetchMaxWait                          time.Duration
	FetchErrorBackoff                     time.Duration
	MaxResponseBytes                      int32
	SocketTimeout                         time.Duration // one request
	SetupTimeout                          time.Duration // TCP, TLS and SASL together
	ReconnectBackoff, ReconnectBackoffMax time.Duration
	RetryBackoff, RetryBackoffMax         time.Duration
	MetadataMaxAge                        time.Duration // how often partitions and the topic id are looked at
	Network                               string        // tcp, tcp4, tcp6
	KeepAlive                             bool
	NoDelay                               bool
	SendBuffer                            int // bytes, 0: system default
	ReceiveBuffer                         int
}

// Security is how a connection to a broker is made.
type Security struct {
	TLS                bool
	CA                 PEM // empty: system roots
	Certificate, Key   PEM
	KeyPassword        SecretRef
	Keystore           string // PKCS#12 file
	KeystorePassword   SecretRef
	SkipVerify         bool // enable.ssl.certificate.verification=false
	SkipHostname       bool // ssl.endpoint.identification.algorithm=none
	CipherSuites       []uint16
	Curves             []uint16 // tls.CurveID
	Mechanism          string   // "", PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER
	Username, Password SecretRef
	OAuth              OAuth // with OAUTHBEARER
}

// OAuth is where the tokens of OAUTHBEARER come from: a token endpoint, or AWS's IAM.
type OAuth struct {
	TokenURL, ClientID, ClientSecret SecretRef
	Scope                            string
	CA                               PEM // of the token endpoint; empty: system roots
	MSK                              MSK
	Extensions                       []Extension
}

// MSK is who we are in AWS's IAM for Amazon MSK; the zero value means that tokens come from a token endpoint.
type MSK struct {
	Region  string
	Profile string // of AWS's shared files; empty: AWS's usual search
	Role    AWSRole
}

// AWSRole is a role that is assumed; the zero value means none.
type AWSRole struct{ ARN, SessionName, ExternalID string }

// Extension is a name and a value that a broker gets beside the token.
type Extension struct{ Name, Value string }

// Format is what the body of a request holds.
type Format string

// The values of HANDLER_FORMAT.
const (
	FormatValue                 Format = "value"
	FormatEnvelope              Format = "envelope"
	FormatCloudEvents           Format = "cloudevents"
	FormatCloudEventsStructured Format = "cloudevents-structured"
	FormatLambda                Format = "lambda"
)

// Handler is how attempts are made.
type Handler struct {
	BaseURL                                   string // HANDLER_URL, for service:// sinks
	Protocol                                  string // http, restate
	Type                                      string // service, object, object-shared, workflow, workflow-shared; TypeAuto until ResolveType
	AdminURL                                  string // RESTATE_ADMIN_URL where HANDLER_TYPE is auto, else empty
	Timeout                                   time.Duration
	ContentType                               string
	Format                                    Format
	Headers                                   []HeaderValue // HANDLER_HEADERS; see LoadHeaders
	HeadersFile                               string        // where they come from a file
	ForwardHeaders                            []string      // patterns with *
	HeaderStyle                               string        // restate, dashes
	Auth                                      Auth
	TLSCA, TLSCert, TLSKey                    PEM
	TLSServerName                             string
	NullKey                                   string // fail, empty
	InvalidKey                                string // fail, base64url
	Tombstones                                string // deliver, skip, fail
	DoneStatuses, RetryStatuses, FailStatuses []StatusRange
}

// HeaderValue is one extra request header; its value counts as a secret.
type HeaderValue struct {
	Name  string
	Value Secret
}

// StatusRange is one entry of a HANDLER_*_STATUSES list, both ends included: 409 is {409,409}, 5xx is {500,599}.
type StatusRange struct{ Low, High int }

// Delivery is order, limits, retries and failure.
type Delivery struct {
	Ordering             string // key, partition, none; empty where it follows from a type that ResolveType has not brought yet
	Concurrency          int
	MaxInFlight          int
	MaxInFlightBytes     int64
	RetryInitialInterval time.Duration
	RetryMaxInterval     time.Duration
	RetryFactor          float64
	RetryMaxAttempts     int           // 0: unlimited
	RetryMaxAge          time.Duration // 0: unlimited
	OnFailure            string        // park, dead-letter, drop, stop
	FailureLimit         int           // 0: off
	ParkedMax            int
	ParkedMaxBytes       int64
	SkipRecords          map[int32][]int64 // partition to ascending offsets
	RateLimit            float64           // attempts a second, 0: none
}

// DeadLetter is where failed records go; at most one of Topic and URL is set.
type DeadLetter struct {
	Topic string
	URL   Secret // see LoadURL
	Auth  Auth   // of URL
	from  *urlFile
}

// StartAt is the parsed START_AT or auto.offset.reset.
type StartAt struct {
	Kind string        // earliest, latest, time, age, error
	Time time.Time     // Kind time
	Age  time.Duration // Kind age: how far back, positive
}

// EndAt is the parsed END_AT.
type EndAt struct {
	Kind string        // latest, time, age; empty: never
	Time time.Time     // Kind time
	Age  time.Duration // Kind age: how far back, positive
}

// Function is what holds for a Lambda function alone. There MaxInFlight, ParkedMax, StartAt, CommitInterval and AdminAddr have no meaning, and
// Kafka may have no brokers.
type Function struct {
	Enabled      bool // we run as one: AWS_LAMBDA_RUNTIME_API is set
	PartialBatch bool // answer batchItemFailures in place of failing the invocation
}

// Run is position, life cycle and operation.
type Run struct {
	StartAt         StartAt
	EndAt           EndAt
	CommitInterval  time.Duration
	StartupTimeout  time.Duration
	ShutdownTimeout time.Duration
	Paused          bool
	AdminAddr       string // empty: off
	EMFNamespace    string // of METRICS_EMF; empty: off
	LogLevel        string // debug, info, warn, error
	LogFormat       string // json, text; empty: json, text on a terminal
	CloudRun        bool   // whether it runs on Google Cloud Run, by the variables that are set there
}

// Tracing is where the spans of attempts go. The zero value: there are none.
type Tracing struct {
	Endpoint             string // URL of the collector's page for traces; empty: no spans
	Headers              SecretRef
	Timeout              time.Duration // one request
	Gzip                 bool
	CA, Certificate, Key PEM
	Resource             map[string]string // service.name among them
	Sampler              string            // a name of OTEL_TRACES_SAMPLER
	Ratio                float64           // 0 to 1
	BatchDelay           time.Duration
	ExportTimeout        time.Duration // one batch
	QueueSize, BatchSize int
}

// DrainBudget is what running attempts get of ShutdownTimeout: all but 3 s for the final commit and for leaving the group, and at least half.
func (r *Run) DrainBudget() time.Duration {
	return max(r.ShutdownTimeout-3*time.Second, r.ShutdownTimeout/2)
}
