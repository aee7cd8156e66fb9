package restateimport

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 11, 22, 10, 30, 0, 0, time.FixedZone("", 3600))

// adminAPI answers with fixed texts, and with 404 to any other path.
func adminAPI(t *testing.T, pages map[string]string, seen func(*http.Request)) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if seen != nil {
			seen(r)
		}
		body, ok := pages[r.URL.Path]
		if !ok {
			http.Error(w, `{"message":"not found"}`, http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// printed is what Write prints, and the variables in it.
func printed(t *testing.T, s Subscription) (text string, variables map[string]string) {
	t.Helper()
	var b strings.Builder
	if err := s.Write(&b, now); err != nil {
		t.Fatal(err)
	}
	variables = map[string]string{}
	for line := range strings.Lines(b.String()) {
		name, value, found := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if _, twice := variables[name]; !found || twice {
			t.Errorf("line %q is no variable, or a second one", line)
		}
		variables[name] = value
	}
	return b.String(), variables
}

// counter is a subscription of which everything is known.
func counter() Subscription {
	return Subscription{
		ID: "sub_1", Source: "kafka://main/orders", Sink: "service://Counter/add", HandlerType: "object", Ingress: "http://restate:8080/",
		Options: map[string]string{"bootstrap.servers": "broker:9092", "client.id": "restate", "group.id": "sub_1", "auto.offset.reset": "earliest"},
	}
}

func TestASubscriptionBecomesAnEnvironment(t *testing.T) {
	text, variables := printed(t, counter())
	for name, want := range map[string]string{
		"SUBSCRIPTION_ID": "sub_1", "SUBSCRIPTION_SOURCE": "kafka://main/orders", "SUBSCRIPTION_SINK": "service://Counter/add",
		"KAFKA_BOOTSTRAP_SERVERS": "broker:9092", "HANDLER_URL": "http://restate:8080", "HANDLER_PROTOCOL": "restate", "HANDLER_TYPE": "object",
		"NULL_KEY": "empty", "KAFKA_OPTION_AUTO_OFFSET_RESET": "earliest",
	} {
		if variables[name] != want {
			t.Errorf("%s is %q, want %q", name, variables[name], want)
		}
	}
	if len(variables) != 9 || !strings.Contains(text, "Delete the subscription there first:  restate subscriptions delete sub_1") {
		t.Errorf("printed:\n%s", text)
	}
	var environ []string
	for name, value := range variables {
		environ = append(environ, name+"="+value)
	}
	cfg, err := envconfig.Parse(environ)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Kafka.GroupID != "sub_1" || cfg.Subscription.ID != "sub_1" || cfg.Handler.Type != "object" {
		t.Errorf("group %s, subscription %s, type %s", cfg.Kafka.GroupID, cfg.Subscription.ID, cfg.Handler.Type)
	}
}

func TestReadingFromTheEndBeginsAtTheImport(t *testing.T) {
	for _, reset := range []string{"", "latest", "largest", "end"} {
		s := counter()
		s.Options["auto.offset.reset"] = reset
		if _, variables := printed(t, s); variables["START_AT"] != "2026-11-22T09:30:00Z" || variables["KAFKA_OPTION_AUTO_OFFSET_RESET"] != "" {
			t.Errorf("auto.offset.reset=%s: %v", reset, variables)
		}
	}
}

func TestWhatIsNotShownIsLeftToBeFilledIn(t *testing.T) {
	s := counter()
	s.Options = map[string]string{
		"sasl.password": hidden, "sasl.username": hidden, "sasl.mechanism": "PLAIN", "security.protocol": "sasl_ssl",
		"ssl.key.location": hidden, "sasl.oauthbearer.assertion.private.key.file": hidden,
	}
	s.HandlerType, s.TypeUnknown, s.Ingress, s.Token = "", "service \"Counter\" is not registered", "", true
	text, variables := printed(t, s)
	for name, want := range map[string]string{
		"KAFKA_BOOTSTRAP_SERVERS": "<brokers>", "HANDLER_URL": "<URL of Restate's ingress>", "KAFKA_OPTION_SASL_PASSWORD": "<sasl.password>",
		"KAFKA_OPTION_SASL_USERNAME": "<sasl.username>", "KAFKA_OPTION_SSL_KEY_LOCATION": "<ssl.key.location>", "HANDLER_HEADERS": "authorization: Bearer <token>",
		"HANDLER_TYPE": "<service, object, object-shared, workflow or workflow-shared>", "NULL_KEY": "",
	} {
		if variables[name] != want {
			t.Errorf("%s is %q, want %q", name, variables[name], want)
		}
	}
	if !strings.Contains(text, "not registered") || !strings.Contains(text, "# Left out: sasl.oauthbearer.assertion.private.key.file=<") || strings.Contains(text, "To be mended") {
		t.Errorf("printed:\n%s", text)
	}
}

func TestRefusedOptionsAreCommentsWithTheReason(t *testing.T) {
	s := counter()
	s.Options["ssl.sigalgs.list"] = "RSA+SHA256"
	s.Options["fetch.min.byts"] = "1"
	text, variables := printed(t, s)
	if !strings.Contains(text, "# Left out: ssl.sigalgs.list=RSA+SHA256: ") || !strings.Contains(text, "did you mean fetch.min.bytes?") || len(variables) != 9 {
		t.Errorf("printed:\n%s", text)
	}
}

func TestWhatCannotBeTakenOverIsSaid(t *testing.T) {
	s := counter()
	s.Source = "kafka://main/^orders.*"
	if text, _ := printed(t, s); !strings.Contains(text, "# To be mended: SUBSCRIPTION_SOURCE: ") {
		t.Errorf("printed:\n%s", text)
	}
}

func TestNothingFromTheServerBreaksOutOfItsLine(t *testing.T) {
	s := counter()
	s.ID, s.Source, s.Sink = "sub_1\nEVIL=1", "kafka://main/orders\nEVIL=1", "service://Counter/add\r\nEVIL=1"
	s.Options["ssl.ca.pem"] = "-----BEGIN CERTIFICATE-----\nEVIL=1\n-----END CERTIFICATE-----\n"
	s.Options["fetch.min.bytes"] = "1\nEVIL=1"
	s.HandlerType, s.TypeUnknown = "", "no\nEVIL=1"
	text, variables := printed(t, s)
	if _, out := variables["EVIL"]; out {
		t.Errorf("printed:\n%s", text)
	}
	if variables["KAFKA_OPTION_SSL_CA_PEM_FILE"] != "<file with the lines above>" {
		t.Errorf("certificates of several lines: %v", variables)
	}
}

func TestReadAsksForSubscriptionsClustersAndTypes(t *testing.T) {
	pages := map[string]string{
		"/version":          `{"version":"1.7.12","ingress_endpoint":"http://restate:8080/"}`,
		"/subscriptions":    `{"subscriptions":[{"id":"sub_2","source":"kafka://main/b","sink":"service://Counter/add","options":{"client.id":"mine"}},{"id":"sub_1","source":"kafka://other/a","sink":"service://Gone/x","options":{}}]}`,
		"/kafka-clusters":   `{"clusters":[{"name":"main","properties":{"bootstrap.servers":"broker:9092","client.id":"theirs"}}]}`,
		"/services/Counter": `{"name":"Counter","ty":"VirtualObject","public":true,"handlers":[{"name":"add","ty":"Exclusive","public":true}]}`,
		"/services":         `{"services":[]}`,
	}
	var tokens []string
	all, err := Read(context.Background(), adminAPI(t, pages, func(r *http.Request) { tokens = append(tokens, r.Header.Get("Authorization")) }), "s3cret", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].ID != "sub_1" || all[1].ID != "sub_2" {
		t.Fatalf("read %v", all)
	}
	if gone, counter := all[0], all[1]; gone.HandlerType != "" || !strings.Contains(gone.TypeUnknown, "not registered") ||
		counter.HandlerType != "object" || counter.Options["bootstrap.servers"] != "broker:9092" || counter.Options["client.id"] != "mine" || counter.Ingress != "http://restate:8080/" {
		t.Errorf("read %+v", all)
	}
	for _, token := range tokens {
		if token != "Bearer s3cret" {
			t.Errorf("authorization is %q", token)
		}
	}
	if text, _ := printed(t, all[1]); strings.Contains(text, "s3cret") {
		t.Errorf("the token is printed:\n%s", text)
	}
}

func TestAnOldRestateDoesNotTellOfClusters(t *testing.T) {
	pages := map[string]string{"/version": `{"version":"1.5.0"}`, "/subscriptions": `{"subscriptions":[{"id":"sub_1","source":"kafka://main/a","sink":"service://S/h","options":{}}]}`, "/services": `{"services":[]}`}
	all, err := Read(context.Background(), adminAPI(t, pages, nil), "", []string{"sub_1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, variables := printed(t, all[0]); variables["KAFKA_BOOTSTRAP_SERVERS"] != "<brokers>" {
		t.Errorf("printed %v", variables)
	}
	if _, err := Read(context.Background(), adminAPI(t, pages, nil), "", []string{"sub_2"}); err == nil || !strings.Contains(err.Error(), `"sub_2"`) {
		t.Errorf("an id that is not there: %v", err)
	}
}

func TestNothingFromTheServerBreaksOutOfItsStringInTerraform(t *testing.T) {
	s := counter()
	delete(s.Options, "group.id")
	s.ID, s.Sink = "sub_1\"\nevil = \"${file(\"x\")}", "service://Counter/add\"\nevil = \"%{if true}"
	var b strings.Builder
	if err := s.WriteTerraform(&b, now); err != nil {
		t.Fatal(err)
	}
	templates := regexp.MustCompile(`(^|[^$])\$\{|(^|[^%])%\{`)
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(strings.TrimSpace(line), "evil") || templates.MatchString(line) {
			t.Errorf("line %q in\n%s", line, b.String())
		}
	}
	if text := b.String(); !strings.Contains(text, "$${file") || !strings.Contains(text, "%%{if") {
		t.Errorf("printed:\n%s", text)
	}
}
