package envconfig

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

const collector = "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318"

func TestSpansFollowTheStandardVariables(t *testing.T) {
	standard := Tracing{
		Endpoint: "http://localhost:4318/v1/traces", Timeout: 10 * time.Second, Resource: map[string]string{"service.name": "orders-to-billing"},
		Sampler: "parentbased_always_on", Ratio: 1, BatchDelay: 5 * time.Second, ExportTimeout: 30 * time.Second, QueueSize: 2048, BatchSize: 512,
	}
	for _, tt := range []struct {
		name string
		env  []string
		want func(*Tracing)
	}{
		{"off", nil, func(w *Tracing) { *w = Tracing{} }},
		{"the rest without an endpoint", []string{"OTEL_TRACES_SAMPLER=odd", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_BSP_SCHEDULE_DELAY=x"}, func(w *Tracing) { *w = Tracing{} }},
		{"switched off", []string{collector, "OTEL_SDK_DISABLED=TRUE", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, func(w *Tracing) { *w = Tracing{} }},
		{"no exporter", []string{collector, "OTEL_TRACES_EXPORTER=none", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, func(w *Tracing) { *w = Tracing{} }},
		{"an endpoint", []string{collector}, func(*Tracing) {}},
		{"an endpoint with a path", []string{collector + "/otlp/"}, func(w *Tracing) { w.Endpoint = "http://localhost:4318/otlp/v1/traces" }},
		{"an endpoint for traces", []string{collector, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://c.example/in"}, func(w *Tracing) { w.Endpoint = "https://c.example/in" }},
		{"headers", []string{collector, "OTEL_EXPORTER_OTLP_HEADERS=a=b", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=api-key=x%20y"},
			func(w *Tracing) { w.Headers.Value = "api-key=x%20y" }},
		{"transport", []string{collector, "OTEL_EXPORTER_OTLP_TIMEOUT=1", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=2500", "OTEL_EXPORTER_OTLP_COMPRESSION=gzip", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"},
			func(w *Tracing) { w.Timeout, w.Gzip = 2500*time.Millisecond, true }},
		{"names", []string{collector, "OTEL_SERVICE_NAME=billing", "OTEL_RESOURCE_ATTRIBUTES=service.name=no, deployment.environment.name=pr%20od"},
			func(w *Tracing) {
				w.Resource = map[string]string{"service.name": "billing", "deployment.environment.name": "pr od"}
			}},
		{"a name among the attributes", []string{collector, "OTEL_RESOURCE_ATTRIBUTES=service.name=billing"}, func(w *Tracing) { w.Resource["service.name"] = "billing" }},
		{"a sampler", []string{collector, "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.25"}, func(w *Tracing) { w.Sampler, w.Ratio = "traceidratio", 0.25 }},
		{"batches", []string{collector, "OTEL_BSP_SCHEDULE_DELAY=100", "OTEL_BSP_EXPORT_TIMEOUT=200", "OTEL_BSP_MAX_QUEUE_SIZE=300"},
			func(w *Tracing) {
				w.BatchDelay, w.ExportTimeout, w.QueueSize, w.BatchSize = 100*time.Millisecond, 200*time.Millisecond, 300, 300
			}},
		{"what is not ours", []string{collector, "OTEL_LOGS_EXPORTER=odd", "OTEL_METRICS_EXPORTER=odd", "OTEL_PROPAGATORS=odd", "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT=x"}, func(*Tracing) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := standard
			want.Resource = map[string]string{"service.name": "orders-to-billing"}
			tt.want(&want)
			if got := mustParse(t, with(tt.env...)...).Tracing; !reflect.DeepEqual(got, want) {
				t.Errorf("got %#v, want %#v", got, want)
			}
		})
	}
}

func TestMistakesAboutSpansAreTold(t *testing.T) {
	certificate, key, _, _ := identityPEM(t)
	cert, keyFile := file(t, "cert", certificate), file(t, "key", key)
	for _, tt := range []struct{ env, want string }{
		{"OTEL_EXPORTER_OTLP_ENDPOINT=localhost:4318", "OTEL_EXPORTER_OTLP_ENDPOINT: is not an http URL; want http:// or https://"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://u:hidden@c", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: holds a user or password; want them out of the URL, as a header of OTEL_EXPORTER_OTLP_HEADERS"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c/?key=hidden", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: has a query string; want a URL without one"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc", `OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" is not supported; want http/protobuf, for which collectors listen on port 4318`},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json", `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "http/json" is not supported; want http/protobuf, for which collectors listen on port 4318`},
		{"OTEL_EXPORTER_OTLP_COMPRESSION=zstd", `OTEL_EXPORTER_OTLP_COMPRESSION: "zstd" is not valid; want gzip or none`},
		{"OTEL_EXPORTER_OTLP_TIMEOUT=10s", `OTEL_EXPORTER_OTLP_TIMEOUT: "10s" is not valid; want a whole number from 1 to 2147483647`},
		{"OTEL_EXPORTER_OTLP_HEADERS=a=b,hidden", "OTEL_EXPORTER_OTLP_HEADERS: entry 2 is no name and value; want name=value, comma separated, other characters percent-encoded"},
		{"OTEL_EXPORTER_OTLP_HEADERS=a=hidden%", "OTEL_EXPORTER_OTLP_HEADERS: entry 1 has a percent sign without two hexadecimal digits; want name=value, comma separated, other characters percent-encoded"},
		{"OTEL_EXPORTER_OTLP_HEADERS=a=hidden%0D", "OTEL_EXPORTER_OTLP_HEADERS: entry 1 has a value with control characters; want visible text"},
		{"OTEL_EXPORTER_OTLP_HEADERS=a b=hidden", "OTEL_EXPORTER_OTLP_HEADERS: entry 1 has a name that is no HTTP token; want name=value, comma separated"},
		{"OTEL_EXPORTER_OTLP_HEADERS=Content-Type=x", "OTEL_EXPORTER_OTLP_HEADERS: entry 1 sets content-type, which belongs to the request itself; leave it out"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE=/nowhere", "OTEL_EXPORTER_OTLP_CERTIFICATE: the file cannot be read (no such file or directory); want PEM of at least one certificate"},
		{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=" + cert, "OTEL_EXPORTER_OTLP_CLIENT_KEY: is not set, but OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE is; want both or neither"},
		{"OTEL_EXPORTER_OTLP_CLIENT_KEY=" + keyFile, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: is not set, but OTEL_EXPORTER_OTLP_CLIENT_KEY is; want both or neither"},
		{"OTEL_TRACES_EXPORTER=zipkin", `OTEL_TRACES_EXPORTER: "zipkin" is not supported; want otlp or none`},
		{"OTEL_SDK_DISABLED=yes", `OTEL_SDK_DISABLED: "yes" is not valid; want true or false`},
		{"OTEL_RESOURCE_ATTRIBUTES=team", "OTEL_RESOURCE_ATTRIBUTES: entry 1 is no name and value; want name=value, comma separated, other characters percent-encoded"},
		{"OTEL_TRACES_SAMPLER=jaeger_remote", `OTEL_TRACES_SAMPLER: "jaeger_remote" is not supported; want always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio`},
		{"OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=2", `OTEL_TRACES_SAMPLER_ARG: "2" is not valid; want a number from 0 to 1`},
		{"OTEL_BSP_MAX_QUEUE_SIZE=100001", `OTEL_BSP_MAX_QUEUE_SIZE: "100001" is not valid; want a whole number from 1 to 100000`},
		{"OTEL_BSP_MAX_QUEUE_SIZE=5 OTEL_BSP_MAX_EXPORT_BATCH_SIZE=6", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE: 6 is above OTEL_BSP_MAX_QUEUE_SIZE, which is 5; want at most that"},
	} {
		env := []string{tt.env}
		if strings.Contains(tt.env, " OTEL_") {
			env = strings.Fields(tt.env)
		}
		if got := message(with(append(env, collector)...)); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.env, got, tt.want)
		}
	}
}

func TestHeadersOfExportsStaySecretAndFollowTheirFile(t *testing.T) {
	path := file(t, "headers", "api-key=hidden-1")
	rewrite := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := mustParse(t, with(collector, "OTEL_EXPORTER_OTLP_HEADERS_FILE="+path)...)
	rewrite("api-key=hidden-2")
	headers, err := cfg.Tracing.LoadHeaders()
	if err != nil || len(headers) != 1 || headers[0].Value.Reveal() != "hidden-2" {
		t.Errorf("headers %v, %v; want the file as it is now", headers, err)
	}
	rewrite("hidden-3")
	if _, err := cfg.Tracing.LoadHeaders(); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("an error that quotes nothing is wanted, got %v", err)
	}
	var shown string
	for _, s := range cfg.Redacted() {
		shown += s.Name + "=" + s.Value + "\n"
	}
	if strings.Contains(shown, "hidden") || !strings.Contains(shown, "OTEL_EXPORTER_OTLP_HEADERS=api-key: ***\n") {
		t.Errorf("shown:\n%s", shown)
	}
}
