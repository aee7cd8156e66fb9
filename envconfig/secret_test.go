package envconfig

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestSecretsPrintAsStars(t *testing.T) {
	secret := Secret("hunter2")
	text, err := json.Marshal(map[string]any{"s": secret})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", slog.Any("s", secret), slog.Any("ref", SecretRef{Value: secret}), slog.Any("header", HeaderValue{"a", secret}))
	for _, shown := range []string{string(text), log.String(), fmt.Sprintf("%v %+v %#v %s %q", secret, SecretRef{Value: secret}, PEM{Value: secret}, secret, secret)} {
		if strings.Contains(shown, "hunter2") || !strings.Contains(shown, redacted) {
			t.Errorf("shown as %s", shown)
		}
	}
	if secret.Reveal() != "hunter2" || Secret("").String() != "" {
		t.Error("the value is lost")
	}
}

// rotate writes a file, gives it to read, writes it anew and gives it to read again.
func rotate(t *testing.T, path, after string, read func() (Secret, error), want ...string) {
	t.Helper()
	for i, w := range want {
		got, err := read()
		if err != nil || got.Reveal() != w {
			t.Errorf("read %d: %q, %v, want %q", i, got.Reveal(), err, w)
		}
		if err := os.WriteFile(path, []byte(after), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got, err := read(); err == nil || strings.Contains(err.Error(), path) {
		t.Errorf("with the file gone: %q, %v, want an error without the path", got.Reveal(), err)
	}
}

func TestSecretsFromFilesAreReadAgain(t *testing.T) {
	const sasl = "security.protocol=SASL_SSL\nsasl.mechanisms=PLAIN\nsasl.username=me\n"
	forms := map[string]struct {
		before, after string
		env           func(path string) []string
	}{
		"a file of its own": {"old\n", "new\n", func(path string) []string {
			return with("SUBSCRIPTION_OPTIONS="+sasl, "KAFKA_OPTION_SASL_PASSWORD_FILE="+path)
		}},
		"options": {sasl + "sasl.password=old", sasl + "sasl.password=new", func(path string) []string {
			return with("SUBSCRIPTION_OPTIONS_FILE=" + path)
		}},
		"Restate's JSON": {`{"source":"kafka://c/t","sink":"http://h/x","options":{"security.protocol":"sasl_ssl","sasl.mechanism":"PLAIN","sasl.username":"me","sasl.password":"old"}}`, `{"options":{"sasl.password":"new"}}`, func(path string) []string {
			return with("SUBSCRIPTION_SOURCE=", "SUBSCRIPTION_SINK=", "SUBSCRIPTION_FILE="+path)
		}},
		"Restate's list": {strings.Replace(list, `"pw"`, `"old"`, 1), strings.Replace(list, `"pw"`, `"new"`, 1), func(path string) []string {
			return clusterEnv("RESTATE_INGRESS__KAFKA_CLUSTERS_FILE=" + path)
		}},
		"restate.toml": {strings.Replace(restateTOML, `"pw"`, `"old"`, 1), strings.Replace(restateTOML, `"pw"`, `"new"`, 1), func(path string) []string {
			return clusterEnv("KAFKA_CLUSTERS_FILE=" + path)
		}},
		"properties": {strings.Replace(properties, `"pw"`, `"old"`, 1), strings.Replace(properties, `"pw"`, `"new"`, 1), func(path string) []string {
			return clusterEnv("KAFKA_CLUSTERS_0_NAME=my-cluster", "KAFKA_CLUSTERS_0_OPTIONS_FILE="+path)
		}},
	}
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			path := file(t, "secret", form.before)
			password := mustParse(t, form.env(path)...).Kafka.Security.Password
			if !password.Reloads() {
				t.Error("the password should be read again")
			}
			rotate(t, path, form.after, password.Load, "old", "new")
		})
	}
}

func TestASecretThatLeftItsFileIsAnError(t *testing.T) {
	path := file(t, "options", "security.protocol=SASL_SSL\nsasl.mechanisms=PLAIN\nsasl.username=me\nsasl.password=pw")
	password := mustParse(t, with("SUBSCRIPTION_OPTIONS_FILE="+path)...).Kafka.Security.Password
	for text, want := range map[string]string{
		"sasl.username=me": "load secret: option sasl.password is no longer in its file",
		"sasl.password":    "load secret: line 1 is not name=value; want a JSON object, or name=value lines",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := password.Load(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestHeadersFromAFileAreReadAgain(t *testing.T) {
	path := file(t, "headers", "Authorization: Bearer old\n")
	h := mustParse(t, with("HANDLER_HEADERS_FILE="+path)...).Handler
	read := func() (Secret, error) {
		headers, err := h.LoadHeaders()
		if err != nil {
			return "", err
		}
		return headers[0].Value, nil
	}
	rotate(t, path, "Authorization: Bearer new", read, "Bearer old", "Bearer new")
	h = mustParse(t, with("HANDLER_HEADERS=a: b")...).Handler
	if got, err := h.LoadHeaders(); err != nil || !reflect.DeepEqual(got, []HeaderValue{{"a", "b"}}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestOneNewlineIsTrimmedFromAFile(t *testing.T) {
	for text, want := range map[string]string{"a": "a", "a\n": "a", "a\r\n": "a", "a\n\n": "a\n", " a ": " a "} {
		if got, err := (SecretRef{File: file(t, "s", text)}).Load(); err != nil || got.Reveal() != want {
			t.Errorf("%q: %q, %v, want %q", text, got.Reveal(), err, want)
		}
	}
}

func TestRedactedShowsWhatIsInEffectAndNoSecret(t *testing.T) {
	certificate, key, _, _ := identityPEM(t)
	cfg := mustParse(t, with(
		"SUBSCRIPTION_SINK=https://h.example/{key}?token=hidden-a", "HANDLER_HEADERS=Authorization: hidden-b", "DEAD_LETTER_URL=https://d.example/x?k=hidden-c",
		"HANDLER_TLS_CERT="+certificate, "HANDLER_TLS_KEY="+key, "HANDLER_TLS_CA_FILE="+file(t, "hidden-path", certificate),
		"SUBSCRIPTION_OPTIONS=security.protocol=sasl_ssl\nsasl.mechanisms=PLAIN\nsasl.username=hidden-d\nsasl.password=hidden-e\nclient.rack=r1",
		"RETRY_MAX_AGE=1h", "SKIP_RECORDS=1@2", "HANDLER_DONE_STATUSES=409,3xx", "RATE_LIMIT=10/s", "START_AT=-2h", "ADMIN_ADDR=off", "MAX_IN_FLIGHT_BYTES=1000",
	)...)
	got := map[string]string{}
	var lines strings.Builder
	for _, s := range cfg.Redacted() {
		if _, twice := got[s.Name]; twice {
			t.Errorf("%s is there twice", s.Name)
		}
		got[s.Name] = s.Value
		lines.WriteString(s.Name + "=" + s.Value + "\n")
	}
	if all := lines.String(); strings.Contains(all, "hidden") || strings.Contains(all, "BEGIN") {
		t.Errorf("a secret is shown:\n%s", all)
	}
	for name, want := range map[string]string{
		"SUBSCRIPTION_SINK": "https://h.example/{key}?***", "HANDLER_HEADERS": "Authorization: ***", "DEAD_LETTER_URL": "https://d.example/x?***",
		"HANDLER_TLS_CERT": "***", "HANDLER_TLS_CA": "from a file", "security.protocol": "sasl_ssl", "option sasl.password": "***", "option sasl.username": "***",
		"option client.rack": "r1", "RETRY_MAX_AGE": "1h0m0s", "RETRY_MAX_ATTEMPTS": "unlimited", "SKIP_RECORDS": "1@2", "HANDLER_DONE_STATUSES": "409,3xx",
		"RATE_LIMIT": "10/s", "START_AT": "-2h0m0s", "ADMIN_ADDR": "off", "MAX_IN_FLIGHT_BYTES": "1000", "PARKED_MAX_BYTES": "64MiB", "ON_FAILURE": "dead-letter",
	} {
		if got[name] != want {
			t.Errorf("%s is shown as %q, want %q", name, got[name], want)
		}
	}
}

func TestRedactedNamesEveryVariableThatIsBuilt(t *testing.T) {
	elsewhere := []string{"SUBSCRIPTION", "SUBSCRIPTION_OPTIONS"} // shown as source, sink and options
	// The form for traces is shown for both; the rest decides whether there are spans, or is part of the attributes.
	elsewhere = append(elsewhere, "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME")
	for _, e := range entries() {
		if strings.HasPrefix(e.name, otlpTracesPrefix) && e.name != otlpTracesPrefix+"ENDPOINT" {
			elsewhere = append(elsewhere, e.name)
		}
	}
	cfg := mustParse(t, with("SUBSCRIPTION_SINK=service://S/h", "HANDLER_URL=http://h", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c")...)
	shown := map[string]bool{}
	for _, s := range cfg.Redacted() {
		shown[s.Name] = true
	}
	for _, e := range entries() {
		if e.group != "Kafka clusters" && !strings.Contains(e.name, "<") && !shown[e.name] && !strings.Contains(" "+strings.Join(elsewhere, " ")+" ", " "+e.name+" ") {
			t.Errorf("%s is not shown", e.name)
		}
	}
}

func TestSubscriptionIDIsTheSameForTheSameSubscription(t *testing.T) {
	id := func(changes ...string) string {
		return mustParse(t, with(append(changes, "SUBSCRIPTION_ID=")...)...).Subscription.ID
	}
	const sink = "SUBSCRIPTION_SINK=https://h.example/x"
	first := id(sink)
	// sha256("kafka://my-cluster/orders\nhttps://h.example/x\n")
	if first != "sub_76e84a5cd604c75a" {
		t.Errorf("the name is %s: a deployed group would start anew", first)
	}
	if got := id(sink + "?token=1"); got != first {
		t.Errorf("a query changes the name to %s", got)
	}
	if got := id("SUBSCRIPTION_SINK=https://h.example/y"); got == first {
		t.Error("another sink has the same name")
	}
	service := func(url string) string { return id("SUBSCRIPTION_SINK=service://S/h", "HANDLER_URL="+url) }
	if service("http://a.example") == service("http://b.example") || service("http://a.example") != service("http://a.example/") {
		t.Error("the handler's URL should be part of the name, without slashes at its end")
	}
	grouped := mustParse(t, with("SUBSCRIPTION_ID=", "KAFKA_OPTION_GROUP_ID=g")...)
	if grouped.Kafka.GroupID != "g" || !strings.HasPrefix(grouped.Subscription.ID, "sub_") {
		t.Errorf("with a group on a loopback: %s in %s", grouped.Subscription.ID, grouped.Kafka.GroupID)
	}
}

// planted is a secret that none of the alphabets of names could hold as a whole.
const planted = "S3cr3t+/Zq9"

func FuzzParse(f *testing.F) {
	// What may hold a secret; % stands for where it is.
	variables := []string{
		"SUBSCRIPTION_OPTIONS=%", "SUBSCRIPTION=%", "SUBSCRIPTION_SINK=http://u:%", "SUBSCRIPTION_SINK=http://h/x?%", "SUBSCRIPTION_SINK=%", "HANDLER_URL=%",
		"HANDLER_HEADERS=%", "HANDLER_BEARER_TOKEN=%", "DEAD_LETTER_URL=%", "KAFKA_OPTION_SASL_PASSWORD=%", "KAFKA_OPTION_SSL_KEY_PEM=%", "KAFKA_CLUSTERS=%",
		"RESTATE_INGRESS__KAFKA_CLUSTERS=%", "KAFKA_BOOTSTRAP_SERVERS=%", "KAFKA_CLUSTERS_0_OPTIONS=%", "KAFKA_CLUSTERS_0_BROKERS=%", "HANDLER_TLS_KEY=%",
		"HANDLER_HEADERS_FILE=%", "KAFKA_OPTION_SASL_PASSWORD_FILE=%", "KAFKA_CLUSTERS_FILE=%", "KAFKA_OPTION_SESSION_TIMEOUT_MS=%", "SUBSCRIPTION_SOURCE=%",
		"OTEL_EXPORTER_OTLP_HEADERS=%", "OTEL_EXPORTER_OTLP_ENDPOINT=%",
	}
	shapes := []string{
		"%", "sasl.password=%", "session.timeout.ms=%", `{"sasl.password":"%"}`, `{"group.id":"%"`, `{"%":1}`, "a\n%", "%\nb=c", `{"source":"%","sink":"http://u:%@h"}`,
		"http://u:%@h/x", "http://h/{%}", "https://h:%/", "Authorization: %", "%: x", "Authorization %", "kafka-sidecar-%: x", `[{name="c",brokers=["%"],"a"="%"}]`,
		`[{name="my-cluster",brokers=["b:1"],"sasl.password"=%}]`, "u:%@b:9092", "SASL_%://b", "-----BEGIN PRIVATE KEY-----\n%\n-----END PRIVATE KEY-----", "kafka://u:%@c/t",
		`sasl.jaas.config=x.PlainLoginModule required username="a" password="%`,
	}
	for i := range variables {
		for _, shape := range shapes {
			f.Add(byte(i), shape, "")
		}
	}
	f.Fuzz(func(t *testing.T, pick byte, shape, other string) {
		line := strings.Replace(variables[int(pick)%len(variables)], "%", strings.ReplaceAll(shape, "%", planted), 1)
		environ := with(append([]string{line}, strings.Split(other, "\x00")...)...)
		cfg, err := Parse(environ)
		var shown string
		if err != nil {
			shown = err.Error()
		} else {
			shown = noteTexts(cfg)
			cfg.Redacted()
		}
		if !strings.Contains(strings.ToLower(other), "s3cr3t") && strings.Contains(strings.ToLower(shown), strings.ToLower(planted)) {
			t.Errorf("%q shows the secret:\n%s", line, shown)
		}
	})
}
