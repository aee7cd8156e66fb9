package sidecar

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
)

func TestRestateIsAskedWithTheTokenOnlyWhereItIsTheHandler(t *testing.T) {
	var seen string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Get("Authorization")
		w.WriteHeader(http.StatusNotFound)
	}))
	defer s.Close()
	for protocol, want := range map[string]string{"restate": "Bearer token", "http": ""} {
		cfg, err := envconfig.Parse([]string{
			"KAFKA_BOOTSTRAP_SERVERS=localhost:9092", "SUBSCRIPTION_ID=s", "SUBSCRIPTION_SOURCE=kafka://c/t", "SUBSCRIPTION_SINK=service://Cart/add",
			"HANDLER_URL=http://localhost:8080", "HANDLER_PROTOCOL=" + protocol, "RESTATE_ADMIN_URL=" + s.URL, "HANDLER_AUTH=bearer", "HANDLER_BEARER_TOKEN=token",
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := AskHandler(t.Context(), cfg); err == nil {
			t.Fatal("a service that is not there was found")
		}
		if seen != want {
			t.Errorf("%s: asked with %q, want %q", protocol, seen, want)
		}
	}
}
